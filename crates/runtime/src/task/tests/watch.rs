//! A task whose input does not arrive: taken over anew where there is some, left alone where what
//! the log counts was aborted.

use std::sync::Arc;
use std::time::Duration;

use bus::{Event, Layer, Layered, LogError, TaskId, Tasks};

use super::bed::{Bed, ingest};
use super::toy::{Kind, ToyStage};

/// Deliveries stop at an offset until the task is started again, and ends count offsets that are
/// never delivered.
struct Deaf {
    stops_at: i64,
    aborted: i64,
    starts: u32,
}

impl Layer for Deaf {
    fn next(&mut self, tasks: &mut dyn Tasks, timeout: Duration) -> Result<Event, LogError> {
        match tasks.next(timeout)? {
            Event::Record(record) if self.starts == 1 && record.offset >= self.stops_at => {
                Ok(Event::Idle)
            }
            event => Ok(event),
        }
    }

    fn range(&mut self, tasks: &mut dyn Tasks, task: &TaskId) -> Result<(i64, i64), LogError> {
        let (start, end) = tasks.range(task)?;
        Ok((start, end + self.aborted))
    }

    fn start(&mut self, tasks: &mut dyn Tasks, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.starts += 1;
        tasks.start(task, offset)
    }
}

/// How often the task was taken over, and whether all of its input was read.
fn check(stops_at: i64, aborted: i64, takeovers: u64) {
    let mut bed = Bed::new();
    // Idle for longer than a look, in however small steps.
    bed.options.poll = Duration::from_millis(500);
    bed.idle_min = Duration::from_secs(12);
    let writer = ingest("i", 1);
    for second in 0..6 {
        bed.rows(&writer, second * 1_000, &[("a", 1, second * 1_000)]);
        bed.beat(&writer, (second + 1) * 1_000);
    }
    let deaf = move |_: &str, _: &str| Ok(Deaf { stops_at, aborted, starts: 0 });
    let log = Arc::new(Layered::new(bed.log.clone(), deaf));
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
