//! A log on which waiting takes no time, and which ends a loop when there is nothing more to read:
//! a run of a stage over what its input has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::{Event, Layer, Layered, Log, LogError, Tasks};
use runtime::shutdown::Shutdown;
use runtime::task::Clock;

/// A clock that only idling and messages move.
#[derive(Default)]
pub struct TestClock(AtomicU64);

// === impl TestClock ===

impl TestClock {
    fn step(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall_ms(&self) -> i64 {
        // Any time will do: these runs have no retention.
        1_700_000_000_000 + i64::try_from(self.0.load(Ordering::SeqCst)).unwrap_or(0)
    }

    fn wait(&self, time: Duration, _: &Shutdown) {
        self.step(time);
    }
}

struct Idle {
    shutdown: Shutdown,
    clock: Arc<TestClock>,
    idles: u32,
}

/// Enough for a commit and for the deliveries of a snapshot after the last message.
const IDLES: u32 = 6;
/// What a message takes on the test's clock: a commit every few messages.
const MESSAGE: Duration = Duration::from_millis(45);

/// See the module.
pub fn until_idle(log: Arc<dyn Log>, shutdown: Shutdown, clock: Arc<TestClock>) -> Layered {
    Layered::new(log, move |_, _| {
        Ok(Idle { shutdown: shutdown.clone(), clock: Arc::clone(&clock), idles: 0 })
    })
}

impl Layer for Idle {
    fn next(&mut self, tasks: &mut dyn Tasks, timeout: Duration) -> Result<Event, LogError> {
        let event = tasks.next(Duration::ZERO)?;
        match &event {
            Event::Idle => {
                self.clock.step(timeout.max(Duration::from_millis(100)));
                // Lets the log's own thread write what was sent.
                std::thread::sleep(Duration::from_micros(200));
                self.idles += 1;
                if self.idles > IDLES {
                    self.shutdown.request();
                }
            }
            Event::Record(_) => {
                self.idles = 0;
                self.clock.step(MESSAGE);
            }
            Event::Assigned(_) | Event::Revoked(_) => self.idles = 0,
        }
        Ok(event)
    }
}
