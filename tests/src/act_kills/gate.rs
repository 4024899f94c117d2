//! Where a receiver stops on the way of one request, so that act is killed at that very place: its
//! request has come, what it asks for is made, its answer is on its way.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is here, and nothing is made yet.
    Arrived,
    /// It is made, and nobody has been told.
    Made,
    /// The answer is sent.
    Answered,
}

/// Which request stops where: any one whose subject ends so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub subject: String,
    pub stop: Stop,
}

/// Stops at most one request, once.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    Armed(Spot),
    /// A request stands there.
    Holds,
}

/// A request is never held for longer: a check that went wrong must end.
const HOLD_MAX: Duration = Duration::from_secs(60);

// === impl Gate ===

impl Gate {
    pub fn arm(&self, spot: Spot) {
        *self.lock() = State::Armed(spot);
    }

    /// Whether a request has come to the place, waited for until a deadline.
    pub fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_awaited = |state: &mut State| !matches!(state, State::Holds);
        let waited = self.changed.wait_timeout_while(self.lock(), left, is_awaited);
        matches!(*waited.unwrap_or_else(PoisonError::into_inner).0, State::Holds)
    }

    /// Lets go of what stands there, and stops nothing more.
    pub fn open(&self) {
        *self.lock() = State::Open;
        self.changed.notify_all();
    }

    /// Called by the receiver. Whether the request was held: then its sender is dead.
    pub fn pass(&self, subject: &str, stop: Stop) -> bool {
        let mut state = self.lock();
        let is_it = matches!(&*state, State::Armed(spot)
            if spot.stop == stop && subject.ends_with(&spot.subject));
        if is_it {
            *state = State::Holds;
            self.changed.notify_all();
            let holds = |state: &mut State| matches!(state, State::Holds);
            drop(self.changed.wait_timeout_while(state, HOLD_MAX, holds));
        }
        is_it
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
