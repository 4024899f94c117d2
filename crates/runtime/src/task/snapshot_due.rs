//! When a loop takes snapshots: staggered by partition, at boundaries, and not more often than the
//! input pays for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bus::TaskId;

use super::engine::{Engine, Stage};
use super::metrics;
use super::options::LoopError;
use super::run::Loop;
use super::snapshot::{Taken, WriteError};

impl<S: Stage> Loop<'_, S> {
    /// Tasks that were taken over together write one after the other.
    pub(super) fn first_snapshot(&self, task: &TaskId) -> Duration {
        let partitions = self.setup.inputs.get(&*task.topic).map_or(1, |topic| topic.partitions);
        let interval = self.options.snapshots.interval;
        self.options.clock.now() + interval * (task.partition + 1) / partitions.max(1)
    }

    /// Begins the snapshots that are due, and hears of those that were begun.
    pub(super) fn snapshot_due(&mut self) -> Result<(), LoopError> {
        if self.snapshots.is_none() {
            return Ok(());
        }
        let now = self.options.clock.now();
        let due = self.running.iter().filter(|(_, r)| r.snapshot_at <= now && r.is_settled());
        let due: Vec<TaskId> = due.map(|(task, _)| task.clone()).collect();
        for task in &due {
            self.begin_snapshot(task, now);
        }
        self.snapshots_ended()
    }

    fn begin_snapshot(&mut self, task: &TaskId, now: Duration) {
        let (Some(snapshots), Some(running)) = (&mut self.snapshots, self.running.get_mut(task))
        else {
            return;
        };
        let interval = self.options.snapshots.interval;
        running.snapshot_at = now + interval;
        let share = self.options.snapshots.input_share;
        let budget = running.bytes_since_snapshot.checked_div(share).unwrap_or(u64::MAX);
        if snapshots.is_writing(task) || running.has_no_news_since_snapshot() || budget == 0 {
            return;
        }
        let engine = &running.state.engine;
        let Ok(blocks) = catch_unwind(AssertUnwindSafe(|| engine.snapshot())) else {
            self.tally.add(metrics::SNAPSHOTS, "result", "failed", 1);
            tracing::error!(topic = %task.topic, partition = task.partition,
                "an engine panicked while it gave its state: no snapshot");
            return;
        };
        let taken = Taken {
            task: task.clone(),
            topic_id: running.topic_id.clone(),
            at: running.state.next,
            taken_ms: running.state.writers.watermarks().least().unwrap_or(0),
            state: running.state.save(),
            blocks,
        };
        let wall_ms = self.options.clock.wall_ms();
        match snapshots.begin(taken, &running.catalog, budget, wall_ms) {
            Ok(()) | Err(WriteError::TooEarly { .. }) => {}
            Err(error) => {
                self.tally.add(metrics::SNAPSHOTS, "result", "refused", 1);
                tracing::warn!(topic = %task.topic, partition = task.partition, %error,
                    "no snapshot: a restart reads this task's input again");
            }
        }
    }

    fn snapshots_ended(&mut self) -> Result<(), LoopError> {
        let Some(snapshots) = self.snapshots.as_mut().filter(|s| !s.is_idle()) else {
            return Ok(());
        };
        for (task, done) in snapshots.poll(self.options.clock.wall_ms())? {
            let (Some(done), Some(running)) = (done, self.running.get_mut(&task)) else {
                self.tally.add(metrics::SNAPSHOTS, "result", "failed", 1);
                continue;
            };
            self.tally.add(metrics::SNAPSHOTS, "result", "done", 1);
            self.tally.add(metrics::SNAPSHOT_BYTES, "", "", done.bytes_written);
            self.tally.add(metrics::SNAPSHOT_REUSED_BYTES, "", "", done.bytes_reused);
            self.report.snapshots += 1;
            running.bytes_since_snapshot = 0;
            running.point_to(done.pointer, done.catalog);
        }
        Ok(())
    }
}
