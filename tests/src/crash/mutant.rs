//! Logs that break exactly-once on purpose: the check must see it, or it checks nothing.

use std::sync::Arc;
use std::time::Duration;

use bus::{
    Admin, CommitError, Committed, Event, Log, LogError, OutRecord, Paused, Producer, Reader,
    TaskId, Tasks, Transaction,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Offsets are committed first and by themselves, outputs after: a crash between loses them.
    OffsetsOutside,
    /// Outputs stay on the log though their transaction was aborted: a crash before the offsets
    /// doubles them.
    AbortDoesNothing,
}

/// A log with a mutation.
pub struct Mutant {
    pub log: Arc<dyn Log>,
    pub mutation: Mutation,
}

struct MutantTasks {
    tasks: Box<dyn Tasks>,
    producer: Box<dyn Producer>,
    mutation: Mutation,
}

impl Log for Mutant {
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
        let producer = self.log.producer(stage, instance)?;
        Ok(Box::new(MutantTasks { tasks, producer, mutation: self.mutation }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

// === impl MutantTasks ===

impl MutantTasks {
    fn produce(&mut self, outputs: &[OutRecord]) -> Result<(), LogError> {
        for record in outputs {
            self.producer.send(record)?;
        }
        // A dead producer hears nothing: its next call says so.
        let mut waits = 0;
        while self.producer.in_flight() > 0 && waits < 200 {
            self.producer.poll(Duration::from_millis(5));
            waits += 1;
        }
        Ok(())
    }
}

impl Tasks for MutantTasks {
    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let Transaction { outputs, positions } = transaction;
        let offsets = Transaction { outputs: Vec::new(), positions };
        match self.mutation {
            Mutation::OffsetsOutside => {
                self.tasks.commit(offsets)?;
                self.produce(&outputs)?;
            }
            Mutation::AbortDoesNothing => {
                self.produce(&outputs)?;
                self.tasks.commit(offsets)?;
            }
        }
        Ok(())
    }

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

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        self.tasks.leave(deadline)
    }
}
