//! A watch over deliveries: a client library can stop fetching one partition after an error and say
//! nothing. A task that has input to read while nothing of it arrives is taken over anew. What was
//! aborted looks like input that does not come, so another reader says whether there is any. To
//! look and to take over cost calls of the log and begin the fetch again, so on a slow machine it
//! must not be done so often that nothing else is: only undisturbed waiting counts, and each round
//! waits longer.

use std::time::Duration;

use bus::{Log, LogError, ReadEvent, TaskId};

use super::engine::Stage;
use super::metrics;
use super::open::is_crash;
use super::options::LoopError;
use super::run::Loop;

/// Silence after which a task is looked at first. Heartbeats come once a second, so it is rare.
const LOOK: Duration = Duration::from_secs(5);
/// How long the other reader is asked, in calls of a tenth of a second. Its client fetches within
/// one or two; without an answer the next look asks again.
const ASKS: u32 = 10;
const ASK: Duration = Duration::from_millis(100);
/// Rounds of taking over wait twice as long each time, up to this.
const LOOK_MAX: Duration = Duration::from_secs(80);

/// How long the loop has waited for messages, and how long it waits until it looks.
#[derive(Debug)]
pub struct Watch {
    /// When a task was last taken over: until then nobody waited for messages.
    pub polling_since: Duration,
    look: Duration,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { polling_since: Duration::ZERO, look: LOOK }
    }
}

// === impl Watch ===

impl Watch {
    /// Whether a task that was heard of at `heard` is silent for too long.
    fn is_silent(&self, heard: &Heard, now: Duration) -> bool {
        now.saturating_sub(heard.at.max(self.polling_since)) >= self.look
    }

    /// After a round: `quiet` is how long the one before is ago.
    fn round(&mut self, has_opened: bool, quiet: Duration) {
        self.look = match has_opened {
            true if quiet < self.look * 4 => (self.look * 2).min(LOOK_MAX),
            true => LOOK * 2,
            false => LOOK,
        };
    }
}

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
    /// Looks after tasks that have been silent for a while, when nothing else is to do.
    pub(super) fn watch(&mut self) -> Result<(), LoopError> {
        let now = self.options.clock.now();
        let is_silent = |heard: &Heard| self.watch.is_silent(heard, now);
        let silent = self.running.iter().filter(|(_, running)| is_silent(&running.heard));
        let silent: Vec<TaskId> = silent.map(|(task, _)| task.clone()).collect();
        if silent.is_empty() {
            return Ok(());
        }
        let before = self.watch.polling_since;
        silent.iter().try_for_each(|task| self.look_after(task, now))?;
        let has_opened = self.watch.polling_since != before;
        self.watch.round(has_opened, now.saturating_sub(before));
        // To look took time, too, in which nobody waited for messages.
        self.watch.polling_since = self.options.clock.now();
        Ok(())
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
            running.ended_at(0);
            return Ok(());
        };
        if side.empty_to == waiting {
            running.ended_at(0);
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

#[cfg(test)]
mod tests;
