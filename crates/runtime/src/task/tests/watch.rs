//! A task whose input does not arrive: taken over anew where there is some, left alone where what
//! the log counts was aborted.

use std::sync::Arc;
use std::time::Duration;

use bus::{
    Admin, CommitError, Committed, Event, Log, LogError, Paused, Producer, Reader, TaskId, Tasks,
    Transaction,
};

use super::bed::{Bed, ingest};
use super::toy::{Kind, ToyStage};

/// A log whose deliveries stop at an offset until the task is started again, and whose ends count
/// offsets that are never delivered.
#[derive(Clone)]
struct Deaf {
    log: Arc<dyn Log>,
    stops_at: i64,
    aborted: i64,
}

struct DeafTasks {
    tasks: Box<dyn Tasks>,
    deaf: Deaf,
    starts: u32,
}

impl Log for Deaf {
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
        Ok(Box::new(DeafTasks { tasks, deaf: self.clone(), starts: 0 }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

impl Tasks for DeafTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        match self.tasks.next(timeout)? {
            Event::Record(record) if self.starts == 1 && record.offset >= self.deaf.stops_at => {
                Ok(Event::Idle)
            }
            event => Ok(event),
        }
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        self.tasks.committed(task)
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        let (start, end) = self.tasks.range(task)?;
        Ok((start, end + self.deaf.aborted))
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.starts += 1;
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

/// How often the task was taken over, and whether all of its input was read.
fn check(stops_at: i64, aborted: i64, takeovers: u64) {
    let mut bed = Bed::new();
    // Idle for longer than a look.
    bed.options.poll = Duration::from_millis(500);
    let writer = ingest("i", 1);
    for second in 0..6 {
        bed.rows(&writer, second * 1_000, &[("a", 1, second * 1_000)]);
        bed.beat(&writer, (second + 1) * 1_000);
    }
    let log = Arc::new(Deaf { log: bed.log.clone(), stops_at, aborted });
    let report = bed.run_on(log, ToyStage(Kind::Snapshots)).expect("it stops when told");
    assert_eq!(report.restores, takeovers, "deaf at {stops_at}, {aborted} aborted");
    assert_eq!(bed.sums().len(), 3, "deaf at {stops_at}, {aborted} aborted");
}

#[test]
fn a_silent_task_is_taken_over_where_there_is_input() {
    check(i64::MAX, 0, 1);
    check(5, 0, 2);
}

#[test]
fn what_was_aborted_is_no_input() {
    check(i64::MAX, 7, 1);
}
