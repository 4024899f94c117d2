//! What an engine hands out while it takes one message. Names, partitions and headers are the
//! loop's (`stamp`).

use arrow::array::RecordBatch;
use bus::{Meta, Name};
use bytes::Bytes;

/// Outputs of one message, in order. `Outputs::default()` makes an empty one for tests.
#[derive(Debug, Default)]
pub struct Outputs {
    emitted: Vec<Emitted>,
    watermark_ms: Option<i64>,
    counts: Vec<Count>,
    soon: bool,
    /// Places in `emitted` whose records have names of the engine's own.
    named: Vec<(usize, Name)>,
}

/// Rows to be written to one topic. The loop splits them by partition and by size.
#[derive(Clone, Debug, PartialEq)]
pub struct Out {
    /// The full name.
    pub topic: String,
    /// The header `schema`: `signals/1`.
    pub schema: String,
    /// The header `schema-fp`.
    pub schema_fp: String,
    pub batch: RecordBatch,
    pub place: Place,
    /// The record key (compacted topics), the same for all rows.
    pub key: Option<Bytes>,
    /// Least and largest time of the rows; the largest becomes the record's timestamp.
    pub min_ts_ms: i64,
    pub max_ts_ms: i64,
    /// Further headers, after the loop's own.
    pub headers: Vec<(String, String)>,
    /// Evidence, incidents and actions do not wait for the commit interval.
    pub urgent: bool,
}

/// Which partition rows go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By murmur2 of each row's value in this column (`bus::Where::ByColumn`).
    ByColumn(String),
    /// All rows by murmur2 of these bytes.
    ByKey(Bytes),
    Fixed(u32),
    /// Anywhere, evenly; decided by the output's name, so the same again after a crash.
    Spread,
}

/// A message that is no Arrow batch (the JSON mirrors), for a topic of `Stage::mirrors`.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// The full name.
    pub topic: String,
    pub content_type: String,
    pub payload: Bytes,
    /// Not `ByColumn`: there are no columns.
    pub place: Place,
    pub key: Option<Bytes>,
    pub timestamp_ms: i64,
    /// Further headers, after the loop's own.
    pub headers: Vec<(String, String)>,
    pub urgent: bool,
}

/// Something that an engine handed out.
#[derive(Clone, Debug, PartialEq)]
pub enum Emitted {
    Data(Out),
    Raw(Raw),
    Late(Late),
    Dead(Dead),
}

/// Rows that no message can carry, for `<topic>.dlq`: whole, or cut where they are too large even
/// for that, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Dead {
    /// The output as it would have been.
    pub out: Out,
    /// A bounded word, part of the letter and of a metric's label.
    pub kind: &'static str,
    pub reason: String,
}

/// Rows that came after their window closed, for `<input topic>.late`.
#[derive(Clone, Debug, PartialEq)]
pub struct Late {
    pub batch: RecordBatch,
    /// Of the message that they came in, which need not be the one that showed them late.
    pub meta: Meta,
    /// The rules that missed them.
    pub rules: Vec<String>,
    pub reason: &'static str,
}

/// A step of a counter (`metrics::counter!`), made only when the message's commit stood, so that
/// what is done again after a crash is counted once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// A constant of the stage's `metrics.rs`.
    pub metric: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub step: u64,
}

// === impl Outputs ===

impl Outputs {
    /// Rows for a topic. An empty batch is left out: time is told by `advance` alone.
    pub fn send(&mut self, out: Out) {
        if out.batch.num_rows() > 0 {
            self.emitted.push(Emitted::Data(out));
        }
    }

    /// One message as it is.
    pub fn raw(&mut self, raw: Raw) {
        self.emitted.push(Emitted::Raw(raw));
    }

    /// What was handed out last has this name, and not that of the message that made it: an output
    /// of a turn has no message. Rising for each writer; of one message's size.
    pub fn name_last(&mut self, name: Name) {
        if let Some(last) = self.emitted.len().checked_sub(1) {
            self.named.push((last, name));
        }
    }

    /// Rows for `<input topic>.late`, with the schema of the message that they came in.
    pub fn late(&mut self, late: Late) {
        if late.batch.num_rows() > 0 {
            self.emitted.push(Emitted::Late(late));
        }
    }

    /// An output that cannot be sent goes to the dead letters of its topic.
    pub fn dead(&mut self, dead: Dead) {
        self.emitted.push(Emitted::Dead(dead));
    }

    /// The task's own watermark: nothing older than this will be sent by this task any more. For
    /// each new second that it enters the loop appends heartbeats to every partition of every
    /// output topic, after the data of this message; they say the second's start, and the data
    /// carries the one sent before. A value below the last one is ignored.
    pub fn advance(&mut self, watermark_ms: i64) {
        self.watermark_ms = self.watermark_ms.max(Some(watermark_ms));
    }

    /// Somebody waits for what this message made: its commit does not wait for the interval once
    /// no more input is there. While there is, the interval goes on to spare commits.
    pub fn soon(&mut self) {
        self.soon = true;
    }

    pub fn count(&mut self, metric: &'static str, labels: &[(&'static str, &str)], step: u64) {
        if step == 0 {
            return;
        }
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let count = Count { metric, labels, step };
        let same = |c: &&mut Count| c.metric == count.metric && c.labels == count.labels;
        match self.counts.iter_mut().find(same) {
            Some(found) => found.step += count.step,
            None => self.counts.push(count),
        }
    }

    pub fn emitted(&self) -> &[Emitted] {
        &self.emitted
    }

    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark_ms
    }

    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// Only the data, for tests of engines.
    pub fn data(&self) -> impl Iterator<Item = &Out> {
        self.emitted.iter().filter_map(|e| match e {
            Emitted::Data(out) => Some(out),
            Emitted::Raw(_) | Emitted::Late(_) | Emitted::Dead(_) => None,
        })
    }

    pub(super) fn is_soon(&self) -> bool {
        self.soon
    }

    /// What was handed out, each with its own name where it has one; the watermark; the counts.
    pub(super) fn into_parts(self) -> (Vec<(Emitted, Option<Name>)>, Option<i64>, Vec<Count>) {
        let mut named = self.named.into_iter().peekable();
        let own = |(at, emitted)| {
            let name = named.next_if(|(of, _)| *of == at).map(|(_, name)| name);
            (emitted, name)
        };
        let emitted = self.emitted.into_iter().enumerate().map(own).collect();
        (emitted, self.watermark_ms, self.counts)
    }
}
