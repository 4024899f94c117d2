//! A watch over deliveries: a client library can stop fetching one partition after an error and say
//! nothing. A task that has input to read while nothing of it arrives is taken over anew.

use std::time::Duration;

use bus::TaskId;

use super::engine::Stage;
use super::metrics;
use super::open::is_crash;
use super::options::LoopError;
use super::run::Loop;

/// Between two looks at a silent task. Heartbeats come once a second, so silence this long is rare.
const LOOK: Duration = Duration::from_secs(5);

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
        // The last offset may be a transaction's marker, which is never delivered.
        let waiting = end.filter(|end| *end > running.state.next + 1);
        if waiting.is_none() {
            return Ok(());
        }
        let Some(side) = self.sides.get_mut(task) else {
            return Ok(());
        };
        // Once for each end: what lies before it may be aborted, and then nothing can come.
        if side.stalled_at == waiting {
            return Ok(());
        }
        side.stalled_at = waiting;
        self.tally.add(metrics::STALLS, "topic", &task.topic, 1);
        tracing::warn!(topic = %task.topic, partition = task.partition, next = running.state.next,
            end, "there is input and nothing of it arrives: taking the task over anew");
        self.open(task)
    }
}
