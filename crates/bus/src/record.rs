//! What lies on the log: records as read and as written, and the names that make a repeated output
//! recognizable (DESIGN §2). What a payload means is left to `frame`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

/// Header names and values in the order in which they were written. Values are UTF-8 by contract;
/// other bytes are kept as they came (a foreign producer may send anything).
pub type Headers = Vec<(Arc<str>, Bytes)>;

/// A record as it was read. Offsets of one partition rise but are not dense: transaction markers
/// take offsets too.
#[derive(Clone, Debug)]
pub struct Record {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: i64,
    /// Milliseconds since 1970, set by the producer: the largest receive time in the batch.
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub headers: Headers,
    /// `None` is a tombstone on a compacted topic.
    pub payload: Option<Bytes>,
}

impl Record {
    /// The first value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)?;
        std::str::from_utf8(value).ok()
    }
}

/// A record to be written. The partition is always explicit (murmur2 of the column or key).
#[derive(Clone, Debug, PartialEq)]
pub struct OutRecord {
    pub topic: Arc<str>,
    pub partition: u32,
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub headers: Headers,
    pub payload: Option<Bytes>,
}

/// Who writes: a task of a stage, known by its source, or a process that has no source.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Writer {
    /// `topic_id` is the log's own id of the source topic: a topic made again is another writer.
    Task { stage: String, topic_id: String, partition: u32 },
    /// A higher epoch of the same instance replaces the lower one.
    Instance { stage: String, instance: String, epoch: u64 },
}

/// The name of one output: its writer, then the offset of the source message or chunk end that made
/// it and an index within it; for a writer without a source a sequence number and 0.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Name {
    pub writer: Writer,
    pub offset: i64,
    pub index: u32,
}

/// A `name` header that is not one.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("not an output name: {0:?}")]
pub struct BadName(String);

// === impl Name ===

impl fmt::Display for Name {
    /// `task/STAGE/TOPIC_ID/PARTITION/OFFSET/INDEX` or
    /// `instance/STAGE/INSTANCE/EPOCH/OFFSET/INDEX`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.writer {
            Writer::Task { stage, topic_id, partition } => {
                write!(f, "task/{stage}/{topic_id}/{partition}")?;
            }
            Writer::Instance { stage, instance, epoch } => {
                write!(f, "instance/{stage}/{instance}/{epoch}")?;
            }
        }
        write!(f, "/{}/{}", self.offset, self.index)
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Name, BadName> {
        parse_name(text).ok_or_else(|| BadName(text.chars().take(200).collect()))
    }
}

fn parse_name(text: &str) -> Option<Name> {
    let parts: Vec<&str> = text.split('/').collect();
    let [kind, stage, source, number, offset, index] = parts.as_slice() else {
        return None;
    };
    let writer = match *kind {
        "task" => Writer::Task {
            stage: (*stage).to_owned(),
            topic_id: (*source).to_owned(),
            partition: number.parse().ok()?,
        },
        "instance" => Writer::Instance {
            stage: (*stage).to_owned(),
            instance: (*source).to_owned(),
            epoch: number.parse().ok()?,
        },
        _ => return None,
    };
    Some(Name { writer, offset: offset.parse().ok()?, index: index.parse().ok()? })
}
