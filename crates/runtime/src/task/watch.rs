//! A watch over deliveries: a client library can stop fetching one partition after an error and say
//! nothing. A task whose input grows while nothing of it arrives is taken over anew.

use std::time::Duration;

use bus::TaskId;

use super::engine::Stage;
use super::metrics;
use super::open::is_crash;
use super::options::LoopError;
use super::run::Loop;

/// Between two looks at a silent task. Heartbeats come once a second, so silence this long is rare.
const LOOK: Duration = Duration::from_secs(5);

/// What was last heard of a task, and the end of its input at the last look.
#[derive(Debug, Default)]
pub struct Heard {
    at: Duration,
    end: Option<i64>,
}

// === impl Heard ===

impl Heard {
    pub fn now(at: Duration) -> Heard {
        Heard { at, end: None }
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
        let before = std::mem::replace(&mut running.heard, Heard { at: now, end });
        if before.end.is_none_or(|before| end.is_none_or(|end| end <= before)) {
            return Ok(());
        }
        self.tally.add(metrics::STALLS, "topic", &task.topic, 1);
        tracing::warn!(topic = %task.topic, partition = task.partition, next = running.state.next,
            end, "input grows and nothing of it arrives: taking the task over anew");
        self.open(task)
    }
}
