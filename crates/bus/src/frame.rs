//! Batches into messages and back (DESIGN §2): split by partition, split by size, with headers and
//! names; heartbeats; dead letters. What the columns mean is left to `model` and the stages.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use bytes::Bytes;
use model::ipc::{self, IpcError};

use crate::config::LimitsConfig;
use crate::meta::{BadMeta, HEARTBEAT, Meta};
use crate::record::{Name, OutRecord, Record};

mod dead;
mod split;
#[cfg(test)]
mod tests;

pub use dead::{DeadLetter, dead_letter};

/// Which partition the rows of a batch go to.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    Fixed(u32),
    /// By murmur2 of a column's value: text and binary as they are, integers big-endian (as Java's
    /// serializers write them), null as nothing.
    ByColumn(String),
    /// The whole batch to one partition, even over seeds that count up.
    Spread(u64),
}

/// Where the record's timestamp and `min-ts`, `max-ts` come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Time {
    /// A column of milliseconds since 1970 (timestamp or 64-bit integer).
    Column(String),
    /// The same for the whole batch.
    At(i64),
    /// The least and the largest of the whole batch, for each of its messages.
    Between(i64, i64),
}

/// A batch on its way to a topic.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The full name.
    pub topic: Arc<str>,
    pub to: Where,
    pub batch: RecordBatch,
    /// Only on compacted topics, where a batch is one element and is never split.
    pub key: Option<Bytes>,
    pub time: Time,
    /// The headers, but for `rows`, `min_ts_ms` and `max_ts_ms`, which the pieces get of their own.
    /// The name is that of the first message; the index counts up from there.
    pub meta: Meta,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Framed {
    pub records: Vec<OutRecord>,
    /// Rows that alone are over the hard limit: to be counted, never sent.
    pub refused: Vec<Refused>,
}

/// One row that no message can carry.
#[derive(Debug)]
pub struct Refused {
    pub partition: u32,
    pub row: RecordBatch,
    pub bytes: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("failed to frame a batch for {topic}: there is no column {column}")]
    NoColumn { topic: String, column: String },
    #[error("failed to frame a batch for {topic}: column {column} of type {found} is no {wanted}")]
    Column { topic: String, column: String, found: String, wanted: &'static str },
    #[error("failed to frame a batch for {topic}: partition {partition} of {partitions}")]
    Partition { topic: String, partition: u32, partitions: u32 },
    #[error("failed to frame a batch for {topic}")]
    Encode {
        topic: String,
        #[source]
        source: IpcError,
    },
    #[error("failed to split a batch for {topic}")]
    Split {
        topic: String,
        #[source]
        source: ArrowError,
    },
}

/// Why a message could not be read. It goes to the dead letters.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Meta(#[from] BadMeta),
    #[error("no payload")]
    Tombstone,
    #[error(transparent)]
    Payload(#[from] IpcError),
    #[error("{found} rows where the header says {stated}")]
    Rows { stated: u32, found: usize },
}

/// The messages of a batch, in the order of their partitions and rows.
pub fn frame(
    outgoing: Outgoing,
    partitions: u32,
    limits: &LimitsConfig,
) -> Result<Framed, FrameError> {
    let mut framed = Framed::default();
    let pieces = split::by_partition(&outgoing, partitions)?;
    for (partition, batch) in pieces {
        let whole = outgoing.key.is_some();
        split::by_size(&outgoing, partition, batch, whole, limits, &mut framed)?;
    }
    Ok(framed)
}

/// A message of no rows that says: nothing older than `wm_ms` will come from this writer here.
pub fn heartbeat(
    topic: &Arc<str>,
    partition: u32,
    wm_ms: i64,
    name: Name,
    producer: &str,
    extra: Vec<(String, String)>,
) -> OutRecord {
    let (payload, fingerprint) = &*EMPTY;
    let meta = Meta {
        schema: HEARTBEAT.to_owned(),
        schema_fp: fingerprint.clone(),
        producer: producer.to_owned(),
        rows: 0,
        min_ts_ms: wm_ms,
        max_ts_ms: wm_ms,
        wm_ms: Some(wm_ms),
        name,
        config_fp: None,
        replay_id: None,
        extra,
    };
    OutRecord {
        topic: Arc::clone(topic),
        partition,
        timestamp_ms: wm_ms,
        key: None,
        headers: meta.headers(),
        payload: Some(payload.clone()),
    }
}

/// A batch of no rows and no columns, and its schema's fingerprint: the same in every heartbeat.
static EMPTY: LazyLock<(Bytes, String)> = LazyLock::new(|| {
    let schema = Schema::empty();
    let fingerprint = model::schema::fingerprint(&schema);
    let batch = RecordBatch::new_empty(Arc::new(schema));
    (ipc::encode(&batch).expect("an empty batch has nothing that could fail"), fingerprint)
});

/// Headers and rows of a message, within limits.
pub fn read(record: &Record, limits: &LimitsConfig) -> Result<(Meta, RecordBatch), ReadError> {
    let meta = Meta::parse(record)?;
    let payload = record.payload.as_ref().ok_or(ReadError::Tombstone)?;
    let batch = ipc::decode(payload, read_limits(limits))?;
    if batch.num_rows() != meta.rows as usize {
        return Err(ReadError::Rows { stated: meta.rows, found: batch.num_rows() });
    }
    Ok((meta, batch))
}

/// What a reader accepts of one payload.
pub fn read_limits(limits: &LimitsConfig) -> ipc::Limits {
    ipc::Limits {
        rows_max: limits.read_rows_max,
        bytes_max: limits.read_bytes_max,
        ..ipc::Limits::default()
    }
}
