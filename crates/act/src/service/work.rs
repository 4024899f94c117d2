//! Threads that call drivers. A write begins only while its task is ours and its lease holds; its
//! answer goes to the task's mail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::desk::Mail;
use super::{Shared, lock};
use crate::driver::DriverError;
use crate::engine::{Answer, Effect, Kind, Miss};
use crate::metrics;

/// One call to be made.
pub(super) struct Job {
    pub effect: Effect,
    pub alive: Arc<AtomicBool>,
    pub mail: Arc<Mutex<Mail>>,
}

/// Calls that wait for a thread: at most one a step in flight.
#[derive(Default)]
pub(super) struct Jobs {
    queue: Mutex<VecDeque<Job>>,
    some: Condvar,
}

const WAIT: Duration = Duration::from_millis(100);

// === impl Jobs ===

impl Jobs {
    pub fn put(&self, job: Job) {
        lock(&self.queue).push_back(job);
        self.some.notify_one();
    }

    fn take(&self) -> Option<Job> {
        let queue = lock(&self.queue);
        let waited = self.some.wait_timeout_while(queue, WAIT, |queue| queue.is_empty());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

/// Makes calls until it is told to stop.
pub(super) fn work(shared: &Shared, stop: &(dyn Fn() -> bool + Sync)) {
    while !stop() {
        if let Some(job) = shared.jobs.take() {
            let result = call(shared, &job);
            let answer = Answer { key: job.effect.key.clone(), result };
            lock(&job.mail).answers.push(answer);
        }
    }
}

fn call(shared: &Shared, job: &Job) -> Result<String, Miss> {
    let Effect { key, call, not_after } = &job.effect;
    let writes = matches!(key.kind, Kind::Write | Kind::WriteBack);
    let begun = shared.clock.now();
    let is_late = not_after.is_some_and(|not_after| begun >= not_after);
    if writes && (is_late || !job.alive.load(Ordering::SeqCst)) {
        count(&call.driver, "lease-over");
        return Err(Miss::LeaseOver);
    }
    // A driver that panics has an unknown effect, and must not take the thread with it.
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let driver = shared.drivers.get(&call.driver)?;
        if writes { driver.write(call) } else { driver.read(call) }
    }));
    let made = made.unwrap_or_else(|_| Err(DriverError::Unclear("the driver panicked".to_owned())));
    let seconds = shared.clock.now().saturating_sub(begun).as_secs_f64();
    let driver = call.driver.clone();
    ::metrics::histogram!(metrics::CALL_SECONDS, metrics::LABEL_DRIVER => driver).record(seconds);
    let result = match &made {
        Ok(_) => "done",
        Err(DriverError::Refused(_)) => "refused",
        Err(DriverError::Unreached(_)) => "unreached",
        Err(DriverError::Unclear(_)) => "unclear",
    };
    count(&call.driver, result);
    let (execution, step, kind, command) = (&key.execution, key.step, key.kind, call.text());
    tracing::debug!(execution, step, ?kind, command, result, "a driver was called");
    made.map_err(Miss::Driver)
}

fn count(driver: &str, result: &'static str) {
    let driver = driver.to_owned();
    ::metrics::counter!(metrics::CALLS, metrics::LABEL_DRIVER => driver,
        metrics::LABEL_RESULT => result)
    .increment(1);
}
