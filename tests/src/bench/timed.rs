//! A log that notes how long each commit took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{
    Admin, CommitError, Committed, Event, Log, LogError, Paused, Producer, Reader, TaskId, Tasks,
    Transaction,
};

/// Shared by all stages of a run.
pub type Times = Arc<Mutex<Vec<Duration>>>;

pub struct Timed {
    log: Arc<dyn Log>,
    times: Times,
}

struct TimedTasks {
    tasks: Box<dyn Tasks>,
    times: Times,
}

// === impl Timed ===

impl Timed {
    pub fn new(log: Arc<dyn Log>, times: Times) -> Timed {
        Timed { log, times }
    }
}

impl Log for Timed {
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
        Ok(Box::new(TimedTasks { tasks, times: Arc::clone(&self.times) }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

impl Tasks for TimedTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        self.tasks.next(timeout)
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
        let begun = Instant::now();
        let result = self.tasks.commit(transaction);
        self.times.lock().unwrap_or_else(PoisonError::into_inner).push(begun.elapsed());
        result
    }

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        self.tasks.leave(deadline)
    }
}
