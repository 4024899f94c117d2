//! One task: what one message does to it. A function of the state and the message, so the loop, a
//! restore and a replay are one piece of code.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bus::{Meta, Record, TaskId, Writer};
use serde::{Deserialize, Serialize};

use super::engine::{BadMessage, Engine, Input};
use super::outputs::Outputs;
use super::stamp::{Made, Stamp, Stamper};
use super::writers::{Beat, Changes, Saved, Seen, Writers};

/// A task's whole state, but for what was not committed yet.
pub struct TaskState<E> {
    pub id: TaskId,
    pub engine: E,
    pub writers: Writers,
    /// Ourselves, in the names of our outputs.
    writer: Writer,
    /// The watermark of our last heartbeats.
    sent_ms: Option<i64>,
    /// The offset after the last message taken.
    pub next: i64,
    /// Messages on which the engine panicked, and what it said: dead-lettered and never given to it
    /// again.
    pub skipped: BTreeMap<i64, String>,
    stamper: Arc<Stamper>,
}

/// The part of the state that is not the engine's, as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedTask {
    #[serde(rename = "s")]
    sent_ms: Option<i64>,
    #[serde(rename = "t")]
    writers: Saved,
}

/// Whether outputs are wanted: not while a state is being restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Outputs,
    Nothing,
}

/// What became of a message.
#[derive(Debug)]
pub enum Taken {
    /// Taken, or dead-lettered (then `Made::dead` says so).
    Made(Made, Changes),
    Duplicate,
    /// The engine panicked: this state must not be used any more.
    Panicked(String),
}

// === impl TaskState ===

impl<E: Engine> TaskState<E> {
    pub fn new(
        id: TaskId,
        topic_id: &str,
        engine: E,
        writers: Writers,
        stamper: Arc<Stamper>,
    ) -> TaskState<E> {
        let (stage, partition) = (stamper.stage.clone(), id.partition);
        let writer = Writer::Task { stage, topic_id: topic_id.to_owned(), partition };
        let (sent_ms, next, skipped) = (None, 0, BTreeMap::new());
        TaskState { id, engine, writers, writer, sent_ms, next, skipped, stamper }
    }

    /// Takes the next message.
    pub fn take(&mut self, record: &Record, keep: Keep) -> Taken {
        self.next = record.offset + 1;
        let mut changes = Changes::default();
        let meta = match Meta::parse(record) {
            Ok(meta) => meta,
            Err(error) => {
                let bad = BadMessage::new("headers", error);
                return Taken::Made(self.dead(record, &bad, keep), changes);
            }
        };
        let beat = if meta.rows == 0 { Beat::Heartbeat } else { Beat::Rows };
        let seen = self.writers.see(&meta.name, meta.wm_ms, beat, record.offset, &mut changes);
        match seen {
            Seen::New => {}
            Seen::Refused => changes.refused += 1,
            Seen::Duplicate => return Taken::Duplicate,
        }
        if let Some(said) = self.skipped.get(&record.offset) {
            let bad = BadMessage::new("panic", said);
            return Taken::Made(self.dead(record, &bad, keep), changes);
        }
        match self.run(record, &meta) {
            Ok(Ok(outputs)) => Taken::Made(self.stamp(record, outputs, keep), changes),
            Ok(Err(bad)) if bad.is_chunk() => Taken::Panicked(bad.detail),
            Ok(Err(bad)) => Taken::Made(self.dead(record, &bad, keep), changes),
            Err(panic) => Taken::Panicked(panic_text(&*panic)),
        }
    }

    fn run(
        &mut self,
        record: &Record,
        meta: &Meta,
    ) -> Result<Result<Outputs, BadMessage>, Box<dyn Any + Send>> {
        let mut outputs = Outputs::default();
        let input = input(record, meta, &self.writers, &self.stamper);
        let engine = &mut self.engine;
        let run = AssertUnwindSafe(|| engine.message(&input, &mut outputs));
        Ok(catch_unwind(run)?.map(|()| outputs))
    }

    fn stamp(&mut self, record: &Record, outputs: Outputs, keep: Keep) -> Made {
        let stamp = Stamp::new(&self.stamper, &self.writer, record, self.sent_ms);
        match keep {
            Keep::Outputs => {
                let (made, sent_ms) = stamp.outputs(outputs);
                self.sent_ms = sent_ms;
                made
            }
            Keep::Nothing => {
                self.sent_ms = stamp.sent_after(&outputs);
                Made::default()
            }
        }
    }

    fn dead(&self, record: &Record, bad: &BadMessage, keep: Keep) -> Made {
        match keep {
            Keep::Nothing => Made::default(),
            Keep::Outputs => {
                Stamp::new(&self.stamper, &self.writer, record, self.sent_ms).dead(bad)
            }
        }
    }

    /// The engine's turn, between messages; its outputs stand behind the last message's.
    pub fn turn(&mut self) -> Result<Made, String> {
        let mut outputs = Outputs::default();
        let engine = &mut self.engine;
        let turn = AssertUnwindSafe(|| engine.turn(&mut outputs));
        catch_unwind(turn).map_err(|panic| panic_text(&*panic))?;
        let record = self.pseudo(self.next - 1, self.sent_ms.unwrap_or(0));
        let stamp = Stamp::new(&self.stamper, &self.writer, &record, self.sent_ms);
        let (made, sent_ms) = stamp.outputs(outputs);
        self.sent_ms = sent_ms;
        Ok(made)
    }

    fn pseudo(&self, at: i64, timestamp_ms: i64) -> Record {
        Record {
            topic: Arc::clone(&self.id.topic),
            partition: self.id.partition,
            offset: at,
            timestamp_ms,
            key: None,
            headers: Vec::new(),
            payload: None,
        }
    }

    /// An output that no message made, under the name of the message `at`.
    pub fn say(&self, at: i64, out: super::outputs::Out) -> Made {
        let record = self.pseudo(at, out.max_ts_ms);
        Stamp::new(&self.stamper, &self.writer, &record, self.sent_ms).only(out)
    }

    /// Which of the messages since the last boundary the engine panics on, each tried alone on an
    /// engine of the state at that boundary; all of them if none does so alone.
    pub fn culprits(&self, since: &[Record], fresh: &mut dyn FnMut() -> E) -> Vec<i64> {
        if let [only] = since {
            return vec![only.offset];
        }
        let fails = |record: &&Record| {
            let Ok(meta) = Meta::parse(record) else {
                return false;
            };
            let input = input(record, &meta, &self.writers, &self.stamper);
            let mut engine = fresh();
            let tried = catch_unwind(AssertUnwindSafe(|| engine.trial(&input)));
            !matches!(tried, Ok(Ok(())))
        };
        let found: Vec<i64> = since.iter().filter(fails).map(|record| record.offset).collect();
        if found.is_empty() { since.iter().map(|record| record.offset).collect() } else { found }
    }

    pub fn save(&self) -> SavedTask {
        SavedTask { sent_ms: self.sent_ms, writers: self.writers.save() }
    }

    pub fn restore(&mut self, saved: &SavedTask) -> Result<(), String> {
        self.sent_ms = saved.sent_ms;
        self.writers.restore(&saved.writers)
    }
}

fn input<'a>(
    record: &'a Record,
    meta: &'a Meta,
    writers: &'a Writers,
    stamper: &Stamper,
) -> Input<'a> {
    Input {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        meta,
        record,
        watermarks: writers.watermarks(),
        limits: bus::frame::read_limits(&stamper.limits),
    }
}

/// What a panic said, for the log of the process.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
