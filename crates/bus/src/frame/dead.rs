//! Dead letters: a message that could not be read or on which an engine failed, whole, with the
//! reason beside it.

use std::sync::Arc;

use bytes::Bytes;

use crate::RECORD_BYTES_MAX;
use crate::record::{OutRecord, Record};

/// Bytes left for the headers that a dead letter adds and for the record's own frame.
const ROOM: usize = 8 << 10;
/// Characters of the reason that are kept.
const REASON_MAX: usize = 1_000;

/// What a dead letter says of its message.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    pub stage: &'a str,
    /// A bounded word: `decode`, `panic`, `schema`, ...
    pub kind: &'a str,
    pub reason: &'a str,
}

/// The dead letter of a message for `<topic>.dlq`, same partition, key, headers, time and bytes. A
/// message so large that it does not fit with its reason is cut, and says its length.
pub fn dead_letter(record: &Record, letter: &DeadLetter<'_>) -> OutRecord {
    let mut headers = record.headers.clone();
    let mut put = |name: &str, value: String| headers.push((Arc::from(name), Bytes::from(value)));
    put("dlq-stage", letter.stage.to_owned());
    put("dlq-kind", letter.kind.to_owned());
    put("dlq-reason", letter.reason.chars().take(REASON_MAX).collect());
    put("dlq-topic", record.topic.to_string());
    put("dlq-partition", record.partition.to_string());
    put("dlq-offset", record.offset.to_string());
    let carried = record.key.as_ref().map_or(0, Bytes::len)
        + record.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
    let room = RECORD_BYTES_MAX.saturating_sub(ROOM + carried);
    let payload = record.payload.as_ref().map(|payload| {
        if payload.len() > room {
            put("dlq-length", payload.len().to_string());
        }
        payload.slice(..payload.len().min(room))
    });
    OutRecord {
        topic: Arc::from(format!("{}.dlq", record.topic)),
        partition: record.partition,
        timestamp_ms: record.timestamp_ms,
        key: record.key.clone(),
        headers,
        payload,
    }
}
