//! The one clock of ingest: monotonic from the start, slewed to the wall clock, never stepped
//! (DESIGN §4 "Time is data"). Only the service reads it; engines get times as arguments.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How much faster or slower than the monotonic clock it may run to meet the wall clock.
const SLEW: f64 = 0.05;

#[derive(Debug)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    read: Instant,
    now_ms: f64,
}

// === impl Clock ===

impl Clock {
    pub fn start() -> Clock {
        Clock { state: Mutex::new(State { read: Instant::now(), now_ms: wall_ms() }) }
    }

    /// Milliseconds since 1970; never less than what was read before.
    pub fn now(&self) -> i64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Instant::now();
        let passed = read.duration_since(state.read).as_secs_f64() * 1000.0;
        state.now_ms = advance(state.now_ms, passed, wall_ms());
        state.read = read;
        state.now_ms as i64
    }
}

fn wall_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}

/// Where the clock is after `passed` ms of the monotonic clock, the wall clock being at `wall`.
pub(crate) fn advance(now: f64, passed: f64, wall: f64) -> f64 {
    let off = wall - (now + passed);
    now + passed + off.clamp(-passed * SLEW, passed * SLEW)
}
