//! Names of the task loop's metrics, and the tally that is recorded once per commit.

use std::collections::BTreeMap;

/// Messages taken, by `stage` and `topic`.
pub const MESSAGES: &str = "gannet_task_messages_total";
/// Bytes of the messages taken.
pub const BYTES: &str = "gannet_task_input_bytes_total";
/// Messages whose name was seen before: resends, and the rest of torn commits.
pub const DUPLICATES: &str = "gannet_task_duplicates_total";
/// Messages that went to the dead letters, by `reason`.
pub const DEAD_LETTERS: &str = "gannet_task_dead_letters_total";
/// Rows that came after their window closed.
pub const LATE: &str = "gannet_task_late_rows_total";
/// Messages written, heartbeats and dead letters included.
pub const OUTPUTS: &str = "gannet_task_outputs_total";
pub const OUTPUT_BYTES: &str = "gannet_task_output_bytes_total";
/// Commits, by `result`: `done`, `aborted`, `indeterminate`, `fenced`, `failed`.
pub const COMMITS: &str = "gannet_task_commits_total";
pub const COMMIT_SECONDS: &str = "gannet_task_commit_duration_seconds";
/// Messages on which an engine panicked.
pub const PANICS: &str = "gannet_task_panics_total";
/// Skipped offsets that a commit's metadata had no room for: a restore finds them by their panic.
pub const SKIPS_REFUSED: &str = "gannet_task_skips_refused_total";
/// Tasks restored, by `from`: `nothing`, `note`, `snapshot`, `older_snapshot`, `input`.
pub const RESTORES: &str = "gannet_task_restores_total";
/// Restores that the log could not serve whole: a snapshot was unreadable, or input is gone.
pub const RESTORES_INCOMPLETE: &str = "gannet_task_restores_incomplete_total";
/// Rows of the past that were read for an engine after its restore.
pub const HISTORY_ROWS: &str = "gannet_task_history_rows_total";
/// Messages of the past that could not be read, and are missing in it.
pub const HISTORY_UNREADABLE: &str = "gannet_task_unreadable_history_messages_total";
/// Attempts to take a task over that failed and are made again.
pub const OPENS_FAILED: &str = "gannet_task_opens_failed_total";
/// Tasks taken over anew because nothing of their input arrived.
pub const STALLS: &str = "gannet_task_stalls_total";
/// Offsets of input that retention took before they were read.
pub const LOST: &str = "gannet_task_lost_offsets_total";
/// Snapshots, by `result`: `done`, `failed`, `refused` (over a limit).
pub const SNAPSHOTS: &str = "gannet_task_snapshots_total";
/// Bytes of blocks that a snapshot wrote, and that it took from one before.
pub const SNAPSHOT_BYTES: &str = "gannet_task_snapshot_bytes_total";
pub const SNAPSHOT_REUSED_BYTES: &str = "gannet_task_snapshot_reused_bytes_total";
/// Writers that are not waited for any more, for their silence.
pub const WRITERS_LEFT_OUT: &str = "gannet_task_writers_left_out_total";
/// Writers that were forgotten to make room for others.
pub const WRITERS_EVICTED: &str = "gannet_task_writers_evicted_total";
/// Messages whose writer could not be remembered (the table is full of writers that live).
pub const WRITERS_REFUSED: &str = "gannet_task_writers_refused_total";
/// The least watermark of each task, by `stage`, `topic`, `partition`.
pub const WATERMARK: &str = "gannet_task_watermark_seconds";
/// Tasks that this instance has.
pub const TASKS: &str = "gannet_task_tasks";

/// Steps of the loop's counters since they were last recorded.
#[derive(Debug, Default)]
pub struct Tally {
    steps: BTreeMap<(&'static str, &'static str, String), u64>,
}

// === impl Tally ===

impl Tally {
    /// `label` is empty for a counter that has only its stage.
    pub fn add(&mut self, metric: &'static str, label: &'static str, value: &str, step: u64) {
        if step > 0 {
            *self.steps.entry((metric, label, value.to_owned())).or_default() += step;
        }
    }

    pub fn record(&mut self, stage: &str) {
        for ((metric, label, value), step) in std::mem::take(&mut self.steps) {
            let stage = stage.to_owned();
            if label.is_empty() {
                metrics::counter!(metric, "stage" => stage).increment(step);
            } else {
                metrics::counter!(metric, "stage" => stage, label => value).increment(step);
            }
        }
    }
}
