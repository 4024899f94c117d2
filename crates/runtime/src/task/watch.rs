//! A watch over deliveries: a client library can stop fetching one partition after an error and say
//! nothing. A task that has input to read while nothing of it arrives is taken over anew. What was
//! aborted looks like input that does not come, so another reader says whether there is any.

use std::time::Duration;

use bus::{Log, LogError, ReadEvent, TaskId};

use super::engine::Stage;
use super::metrics;
use super::open::is_crash;
use super::options::LoopError;
use super::run::Loop;

/// Between two looks at a silent task. Heartbeats come once a second, so silence this long is rare.
const LOOK: Duration = Duration::from_secs(5);
/// How long the other reader is asked, in calls of a tenth of a second. Its client fetches within
/// one or two; without an answer the next look asks again.
const ASKS: u32 = 10;
const ASK: Duration = Duration::from_millis(100);

/// When a task was last heard of.
#[derive(Debug, Default)]
pub struct Heard {
    at: Duration,
}

// === impl Heard ===

impl Heard {
    pub fn now(at: Duration) -> Heard {
        Heard { at }
    }
}

impl<S: Stage> Loop<'_, S> {
    /// Looks after tasks that have been silent for a while.
    pub(super) fn watch(&mut self) -> Result<(), LoopError> {
        let now = self.options.clock.now();
        let is_due = |heard: &Heard| now.saturating_sub(heard.at) >= LOOK;
        let silent = self.running.iter().filter(|(_, running)| is_due(&running.heard));
        let silent: Vec<TaskId> = silent.map(|(task, _)| task.clone()).collect();
        silent.iter().try_for_each(|task| self.look_after(task, now))
    }

    fn look_after(&mut self, task: &TaskId, now: Duration) -> Result<(), LoopError> {
        let end = match self.tasks.range(task) {
            Ok((_, end)) => Some(end),
            Err(error) if is_crash(&error) => return Err(error.into()),
            Err(_) => None,
        };
        let Some(running) = self.running.get_mut(task) else {
            return Ok(());
        };
        running.heard.at = now;
        let next = running.state.next;
        // The last offset may be a transaction's marker, which is never delivered.
        let waiting = end.filter(|end| *end > next + 1);
        let Some(side) = self.sides.get_mut(task).filter(|_| waiting.is_some()) else {
            return Ok(());
        };
        if side.empty_to == waiting {
            return Ok(());
        }
        match has_input(self.log, task, next) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                side.empty_to = waiting;
                return Ok(());
            }
            Err(error) if is_crash(&error) => return Err(error.into()),
            Ok(None) | Err(_) => return Ok(()),
        }
        self.tally.add(metrics::STALLS, "topic", &task.topic, 1);
        tracing::warn!(topic = %task.topic, partition = task.partition, next, end,
            "there is input and nothing of it arrives: taking the task over anew");
        self.open(task)
    }
}

/// Whether a record that counts stands at an offset or after it; `None` without an answer in time.
fn has_input(log: &dyn Log, task: &TaskId, from: i64) -> Result<Option<bool>, LogError> {
    let mut reader = log.reader()?;
    reader.assign(&[(task.topic.to_string(), task.partition, from)])?;
    for _ in 0..ASKS {
        match reader.poll(ASK)? {
            ReadEvent::Record(_) => return Ok(Some(true)),
            ReadEvent::End { .. } => return Ok(Some(false)),
            ReadEvent::Idle => {}
        }
    }
    Ok(None)
}
