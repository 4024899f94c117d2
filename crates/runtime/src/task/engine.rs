//! What a stage is to the task loop: a pure engine per task, its inputs and its outputs. The loop
//! does all else (DESIGN §4): offsets, names, duplicates, watermarks, dead letters, commits,
//! snapshots, restore.

use std::time::Duration;

use arrow::array::RecordBatch;
use bus::{Meta, Record, TaskId};
use bytes::Bytes;

use super::outputs::{Count, Outputs};
use super::watermarks::Watermarks;

/// One message of a task's input: headers decoded, not a duplicate, in offset order.
pub struct Input<'a> {
    pub offset: i64,
    /// The record's timestamp: the largest receive time in the batch.
    pub timestamp_ms: i64,
    pub meta: &'a Meta,
    pub record: &'a Record,
    /// Watermarks with this message counted in.
    pub watermarks: &'a Watermarks,
    /// What a payload may declare.
    pub limits: model::ipc::Limits,
}

/// The pure half of a stage: `(state, message) -> (state, outputs)`. No clock, no I/O, no random
/// source but one seeded from the input, no order taken from a hash map.
pub trait Engine: Send {
    /// Takes the next message, heartbeats included (`Input::is_heartbeat`).
    ///
    /// An error dead-letters the message, so the state must be as before the call. A panic too, but
    /// then the loop restores the state itself.
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage>;

    /// May a commit stand after the last message? An engine that works in chunks says yes only
    /// where no message of a chunk is waiting; so the message that ends a chunk belongs to it.
    /// Chunks must end by what the input says (time, bytes), never by a clock.
    fn at_boundary(&self) -> bool {
        true
    }

    /// After a panic within a chunk (or `BadMessage::chunk`): this one message alone, on the state
    /// of the last boundary, to find the culprit: it panics again, or this returns an error. Only
    /// called where a boundary is more than one message away; a chunk must then be closed by this
    /// call.
    fn trial(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        self.message(input, &mut Outputs::default())
    }

    /// The state as blocks in a stable order; a block whose bytes did not change costs nothing.
    /// Only called at boundaries, and only where `Stage::snapshots`. Blocks may be of any size.
    fn snapshot(&self) -> Vec<Block> {
        Vec::new()
    }

    /// The state of `snapshot` into a fresh engine. Blocks that this configuration no longer knows
    /// are ignored.
    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        match blocks.first() {
            None => Ok(()),
            Some(block) => Err(RestoreError(format!("unexpected block {}", block.name))),
        }
    }

    /// The whole state where it is small (at most `NOTE_BYTES_MAX`): it then goes with every commit
    /// and replaces snapshots (rollup). Taken at boundaries.
    fn note(&self) -> Option<String> {
        None
    }

    fn restore_note(&mut self, note: &str) -> Result<(), RestoreError> {
        Err(RestoreError(format!("unexpected note of {} bytes", note.len())))
    }

    /// What of the past the state lacks, once it is restored and before the first message; `None`
    /// where nothing is missing. The rows come by `history`, then `history_read` is called.
    fn history_wanted(&self) -> Option<History> {
        None
    }

    /// Committed rows of the past: each partition in order, partitions in any order. A later
    /// restore of the same state finds what was written since as well: only what lies before the
    /// state's own next step may count, or two restores differ.
    fn history(&mut self, _: &RecordBatch) {}

    /// The past has been read. What is to be counted of it, with at most one label each.
    fn history_read(&mut self) -> Vec<Count> {
        Vec::new()
    }

    /// What the task does by inputs that are not on its topic (`Stage::turns`): answers from
    /// outside, timers. Only called at boundaries, once the state is that of the commit and no
    /// older input waits. Its outputs go into the next transaction, and nothing that they allow may
    /// happen before `stood`. The state must follow again from input and `history`: a restore does
    /// not call this. Not for `Outputs::advance`: time is the input's.
    fn turn(&mut self, _: &mut Outputs) {}

    /// All that was handed out so far is on the log. `begun` is the loop's clock just before the
    /// commit was called.
    fn stood(&mut self, _begun: Duration) {}
}

/// A topic to be read from a time on, or from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The full name.
    pub topic: String,
    /// By the records' timestamps.
    pub since_ms: Option<i64>,
}

/// Most bytes of an engine's note: with the writers it must fit the offset's metadata, of which a
/// Kafka broker takes 4,096 bytes (`offset.metadata.max.bytes`).
pub const NOTE_BYTES_MAX: usize = 512;

/// A stage as the loop runs it: names and a maker of engines.
pub trait Stage: Send {
    type Engine: Engine;

    /// `rollup`, `score`, `correlate`: part of the names of its outputs and of its group.
    fn name(&self) -> &str;

    fn inputs(&self) -> Vec<InputSpec>;

    /// Every topic that it can write to (full names, without `.dlq` and `.late`): its heartbeats go
    /// to all their partitions.
    fn outputs(&self) -> Vec<String>;

    /// Topics for others' readers (full names) that get raw messages, and no heartbeats.
    fn mirrors(&self) -> Vec<String> {
        Vec::new()
    }

    fn engine(&self, task: &TaskId) -> Self::Engine;

    /// Whether tasks write snapshots; no where the note is the whole state.
    fn snapshots(&self) -> bool;

    /// The fingerprint of the stage's configuration, for the header `config-fp`.
    fn config_fp(&self) -> &str;

    /// How long an input of the engine's own may wait for its turn; `None`: it has none.
    fn turns(&self) -> Option<Duration> {
        None
    }
}

/// An input topic and whose word on time counts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// The full name.
    pub topic: String,
    pub writers: WriterPolicy,
}

/// The writers whose watermarks hold time back. Messages of all others are read, not waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterPolicy {
    /// Processes without a source (ingest), known from having spoken. One that is silent while
    /// another writer of the partition beats `left_out_after` times is left out.
    Instances { left_out_after: u32, grace_ms: i64 },
    /// Tasks of stages, known from the partition counts of their source topics: time stands still
    /// until each has spoken.
    Tasks { expected: Vec<SourceTasks> },
}

/// All tasks of `stage` over the partitions of `topic` (full name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTasks {
    pub stage: String,
    pub topic: String,
}

/// A piece of an engine's state under a stable name (at most 200 bytes, without `#`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub name: String,
    pub data: Bytes,
}

/// A message that an engine cannot take. `reason` becomes a metric label and must be bounded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct BadMessage {
    pub reason: &'static str,
    pub detail: String,
}

/// Blocks or a note that are not this engine's state: the task falls back to an older snapshot.
#[derive(Debug, thiserror::Error)]
#[error("failed to restore an engine: {0}")]
pub struct RestoreError(pub String);

/// The reason of `BadMessage::chunk`.
const CHUNK: &str = "chunk";

// === impl Input ===

impl Input<'_> {
    /// The rows, all columns. Checked against the limits before they are decoded.
    pub fn batch(&self) -> Result<RecordBatch, BadMessage> {
        let batch = model::ipc::decode(self.payload()?, self.limits);
        self.counted(batch.map_err(|e| BadMessage::new("payload", e))?)
    }

    /// The rows, of the wanted columns only, those that are there.
    pub fn columns(&self, wanted: &dyn Fn(&str) -> bool) -> Result<RecordBatch, BadMessage> {
        let batch = model::ipc::decode_columns(self.payload()?, self.limits, wanted);
        self.counted(batch.map_err(|e| BadMessage::new("payload", e))?)
    }

    /// A header that says another number of rows is one of another message.
    fn counted(&self, batch: RecordBatch) -> Result<RecordBatch, BadMessage> {
        let (stated, found) = (self.meta.rows, batch.num_rows());
        if found != stated as usize {
            let detail = format!("{found} rows where the header says {stated}");
            return Err(BadMessage::new("rows", detail));
        }
        Ok(batch)
    }

    /// No rows, only time.
    pub fn is_heartbeat(&self) -> bool {
        self.meta.rows == 0
    }

    fn payload(&self) -> Result<&Bytes, BadMessage> {
        let payload = self.record.payload.as_ref();
        payload.ok_or_else(|| BadMessage::new("payload", "a tombstone has no rows"))
    }
}

// === impl BadMessage ===

impl BadMessage {
    /// A chunk failed, and which of its messages is at fault is not known: the loop restores the
    /// state and tries them alone, as after a panic, so the state may be left as it is.
    pub fn chunk(detail: impl std::fmt::Display) -> BadMessage {
        BadMessage::new(CHUNK, detail)
    }

    pub(super) fn is_chunk(&self) -> bool {
        self.reason == CHUNK
    }

    pub fn new(reason: &'static str, detail: impl std::fmt::Display) -> BadMessage {
        BadMessage { reason, detail: detail.to_string() }
    }
}
