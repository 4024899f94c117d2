//! A log that dies at a scripted call: what a process that crashes there has done and not done.
//! It counts each call of each trait method twice, before and after its effect. From the scripted
//! point on every call fails, as of a dead process; a new join on the log beneath takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::acls::{Acl, Resource};
use crate::log::{
    Admin, CommitError, Committed, Delivery, Event, Log, LogError, Paused, Producer, ReadEvent,
    Reader, TaskId, Tasks, TopicInfo, Transaction,
};
use crate::record::OutRecord;
use crate::topics::TopicSpec;

/// Wraps a log; see the module.
pub struct Crashing {
    log: Arc<dyn Log>,
    script: Arc<Script>,
}

struct Script {
    passed: AtomicU64,
    /// The point to die at, counted from 1; `u64::MAX` never comes.
    at: u64,
}

// === impl Crashing ===

impl Crashing {
    /// Dies at the given point (counted from 1), or only counts.
    pub fn new(log: Arc<dyn Log>, at: Option<u64>) -> Arc<Crashing> {
        let script = Script { passed: AtomicU64::new(0), at: at.unwrap_or(u64::MAX) };
        Arc::new(Crashing { log, script: Arc::new(script) })
    }

    /// Points passed so far.
    pub fn points(&self) -> u64 {
        self.script.passed.load(Ordering::SeqCst)
    }

    /// Whether the scripted point was reached.
    pub fn is_dead(&self) -> bool {
        self.points() >= self.script.at
    }

    fn wrap<T: ?Sized>(&self, inner: Box<T>) -> Wrapped<T> {
        Wrapped { inner, script: Arc::clone(&self.script) }
    }
}

// === impl Script ===

impl Script {
    fn point(&self) -> Result<(), LogError> {
        let point = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if point >= self.at { Err(LogError::CrashPoint(self.at)) } else { Ok(()) }
    }

    /// A call with a point before and a point after it. The effect of a call that dies after it
    /// stands, its result is lost.
    fn around<T, E: From<LogError>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.point()?;
        let result = call();
        self.point()?;
        result
    }
}

impl Log for Crashing {
    fn admin(&self) -> &dyn Admin {
        self
    }

    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError> {
        let tasks = self.script.around(|| self.log.join(stage, instance, inputs))?;
        Ok(Box::new(self.wrap(tasks)))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        let producer = self.script.around(|| self.log.producer(stage, instance))?;
        Ok(Box::new(self.wrap(producer)))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        let reader = self.script.around(|| self.log.reader())?;
        Ok(Box::new(self.wrap(reader)))
    }
}

impl Admin for Crashing {
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>, LogError> {
        self.script.around(|| self.log.admin().describe(topic))
    }

    fn create(&self, topic: &TopicSpec) -> Result<(), LogError> {
        self.script.around(|| self.log.admin().create(topic))
    }

    fn alter(&self, topic: &TopicSpec) -> Result<(), LogError> {
        self.script.around(|| self.log.admin().alter(topic))
    }

    fn delete(&self, topic: &str) -> Result<(), LogError> {
        self.script.around(|| self.log.admin().delete(topic))
    }

    fn members(&self, stage: &str) -> Result<Vec<String>, LogError> {
        self.script.around(|| self.log.admin().members(stage))
    }

    fn acls(&self, resource: Resource, name: &str) -> Result<Vec<Acl>, LogError> {
        self.script.around(|| self.log.admin().acls(resource, name))
    }

    fn grant(&self, acl: &Acl) -> Result<(), LogError> {
        self.script.around(|| self.log.admin().grant(acl))
    }
}

/// A handle of the wrapped log.
struct Wrapped<T: ?Sized> {
    script: Arc<Script>,
    inner: Box<T>,
}

impl Tasks for Wrapped<dyn Tasks> {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        self.script.around(|| self.inner.next(timeout))
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        self.script.around(|| self.inner.committed(task))
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        self.script.around(|| self.inner.range(task))
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.script.around(|| self.inner.start(task, offset))
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        self.script.around(|| self.inner.pause(task, paused))
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.script.around(|| self.inner.commit(transaction))
    }

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        let Wrapped { script, inner } = *self;
        if let Err(dead) = script.point() {
            return Err(dead);
        }
        let result = inner.leave(deadline);
        script.point()?;
        result
    }
}

impl Producer for Wrapped<dyn Producer> {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        self.script.around(|| self.inner.send(record))
    }

    /// A dead process hears of no delivery.
    fn poll(&mut self, timeout: Duration) -> Vec<Delivery> {
        let polled = self.script.around(|| Ok::<_, LogError>(self.inner.poll(timeout)));
        polled.unwrap_or_default()
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

impl Reader for Wrapped<dyn Reader> {
    fn assign(&mut self, from: &[(String, u32, i64)]) -> Result<(), LogError> {
        self.script.around(|| self.inner.assign(from))
    }

    fn poll(&mut self, timeout: Duration) -> Result<ReadEvent, LogError> {
        self.script.around(|| self.inner.poll(timeout))
    }

    fn range(&mut self, topic: &str, partition: u32) -> Result<(i64, i64), LogError> {
        self.script.around(|| self.inner.range(topic, partition))
    }

    fn offset_at(
        &mut self,
        topic: &str,
        partition: u32,
        timestamp_ms: i64,
    ) -> Result<i64, LogError> {
        self.script.around(|| self.inner.offset_at(topic, partition, timestamp_ms))
    }
}

#[cfg(test)]
mod tests;
