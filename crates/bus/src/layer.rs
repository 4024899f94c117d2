//! A log with some calls of its tasks changed, for checks that count, time, stop or spoil them.
//! What a layer does not name is handed on as it is.

use std::sync::Arc;
use std::time::Duration;

use crate::log::{
    Admin, CommitError, Committed, Event, Log, LogError, Paused, Producer, Reader, TaskId, Tasks,
    Transaction,
};

/// Calls of tasks that are worth a change, each with the tasks below.
pub trait Layer: Send {
    fn next(&mut self, tasks: &mut dyn Tasks, timeout: Duration) -> Result<Event, LogError> {
        tasks.next(timeout)
    }

    fn range(&mut self, tasks: &mut dyn Tasks, task: &TaskId) -> Result<(i64, i64), LogError> {
        tasks.range(task)
    }

    fn start(&mut self, tasks: &mut dyn Tasks, task: &TaskId, offset: i64) -> Result<(), LogError> {
        tasks.start(task, offset)
    }

    fn commit(
        &mut self,
        tasks: &mut dyn Tasks,
        transaction: Transaction,
    ) -> Result<(), CommitError> {
        tasks.commit(transaction)
    }
}

/// Makes the layer of an instance that joins: stage, instance.
type Make = dyn Fn(&str, &str) -> Result<Box<dyn Layer>, LogError> + Send + Sync;

pub struct Layered {
    log: Arc<dyn Log>,
    make: Box<Make>,
}

struct LayeredTasks {
    tasks: Box<dyn Tasks>,
    layer: Box<dyn Layer>,
}

// === impl Layered ===

impl Layered {
    pub fn new<L: Layer + 'static>(
        log: Arc<dyn Log>,
        make: impl Fn(&str, &str) -> Result<L, LogError> + Send + Sync + 'static,
    ) -> Layered {
        let boxed = move |stage: &str, instance: &str| -> Result<Box<dyn Layer>, LogError> {
            Ok(Box::new(make(stage, instance)?))
        };
        Layered { log, make: Box::new(boxed) }
    }
}

impl Log for Layered {
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
        Ok(Box::new(LayeredTasks { tasks, layer: (self.make)(stage, instance)? }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

// === impl LayeredTasks ===

impl Tasks for LayeredTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        self.layer.next(self.tasks.as_mut(), timeout)
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        self.tasks.committed(task)
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        self.layer.range(self.tasks.as_mut(), task)
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.layer.start(self.tasks.as_mut(), task, offset)
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        self.tasks.pause(task, paused)
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.layer.commit(self.tasks.as_mut(), transaction)
    }

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        self.tasks.leave(deadline)
    }
}
