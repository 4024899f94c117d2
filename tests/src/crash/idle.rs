//! A log on which waiting takes no time, and which ends a loop when there is nothing more to read:
//! a run of a stage over what its input has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::{
    Admin, CommitError, Committed, Event, Log, LogError, Paused, Producer, Reader, TaskId, Tasks,
    Transaction,
};
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

/// See the module.
pub struct UntilIdle {
    pub log: Arc<dyn Log>,
    pub shutdown: Shutdown,
    pub clock: Arc<TestClock>,
}

impl Log for UntilIdle {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError> {
        let tasks = self.log.join(stage, instance, inputs)?;
        let (shutdown, clock) = (self.shutdown.clone(), Arc::clone(&self.clock));
        Ok(Box::new(IdleTasks { tasks, shutdown, clock, idles: 0 }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

struct IdleTasks {
    tasks: Box<dyn Tasks>,
    shutdown: Shutdown,
    clock: Arc<TestClock>,
    idles: u32,
}

/// Enough for a commit and for the deliveries of a snapshot after the last message.
const IDLES: u32 = 6;
/// What a message takes on the test's clock: a commit every few messages.
const MESSAGE: Duration = Duration::from_millis(45);

impl Tasks for IdleTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        let event = self.tasks.next(Duration::ZERO)?;
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

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        self.tasks.committed(task)
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        self.tasks.range(task)
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.tasks.start(task, offset)
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        self.tasks.pause(task, paused)
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.tasks.commit(transaction)
    }

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        self.tasks.leave(deadline)
    }
}
