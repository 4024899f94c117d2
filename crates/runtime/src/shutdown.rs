//! One request to stop, seen by every thread of a process. It says only *that* to stop: who asks
//! (a signal, a failed stage, a test) and how long a drain may take is left to `process`.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A handle; clones share one request. A request is never taken back.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requested: Mutex<bool>,
    changed: Condvar,
}

// === impl Shutdown ===

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    pub fn requested(&self) -> bool {
        *self.lock()
    }

    pub fn request(&self) {
        *self.lock() = true;
        self.shared.changed.notify_all();
    }

    /// Blocks until the request or the timeout, whichever is first; says whether it was requested.
    pub fn wait(&self, timeout: Duration) -> bool {
        // A timeout too large for the clock means: wait without one.
        let deadline = Instant::now().checked_add(timeout);
        let mut requested = self.lock();
        while !*requested {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(requested, left);
            requested = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *requested
    }

    /// A bool cannot be half written, so a panic of another thread spoils nothing.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shared.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
