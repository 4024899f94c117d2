//! A record as bytes in the store: timestamp, key, headers, payload, each with its length. The
//! timestamp comes first, so that a search by time reads no more.

use std::sync::Arc;

use bytes::Bytes;

use crate::log::LogError;
use crate::record::{OutRecord, Record};

const HAS_KEY: u8 = 1;
const HAS_PAYLOAD: u8 = 2;

/// How many bytes `encode` writes.
pub fn len(record: &OutRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(n, v)| 2 + n.len() + 4 + v.len()).sum();
    let key = record.key.as_ref().map_or(0, |key| 4 + key.len());
    8 + 1 + key + 2 + headers + record.payload.as_ref().map_or(0, Bytes::len)
}

/// Fills `out`, which is `len(record)` long.
pub fn encode(record: &OutRecord, out: &mut [u8]) {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&record.timestamp_ms.to_le_bytes());
    let key = if record.key.is_some() { HAS_KEY } else { 0 };
    let payload = if record.payload.is_some() { HAS_PAYLOAD } else { 0 };
    put(&[key | payload]);
    if let Some(key) = &record.key {
        put(&(key.len() as u32).to_le_bytes());
        put(key);
    }
    put(&(record.headers.len() as u16).to_le_bytes());
    for (name, value) in &record.headers {
        put(&(name.len() as u16).to_le_bytes());
        put(name.as_bytes());
        put(&(value.len() as u32).to_le_bytes());
        put(value);
    }
    if let Some(payload) = &record.payload {
        put(payload);
    }
}

/// The timestamp of a stored record.
pub fn timestamp(stored: &[u8]) -> i64 {
    stored.get(..8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_le_bytes)
}

/// The key of a stored record, where it has one.
pub fn key(stored: &[u8]) -> Option<&[u8]> {
    if stored.get(8)? & HAS_KEY == 0 {
        return None;
    }
    let len = u32::from_le_bytes(stored.get(9..13)?.try_into().ok()?) as usize;
    stored.get(13..13 + len)
}

/// Reads a stored record; its parts share one copy of the bytes.
pub fn decode(
    topic: &Arc<str>,
    partition: u32,
    offset: i64,
    stored: Bytes,
) -> Result<Record, LogError> {
    let mut cursor = Cursor { rest: stored };
    cursor.record(topic, partition, offset).ok_or_else(|| LogError::Call {
        call: "read",
        reason: format!("record {topic}/{partition}/{offset} is damaged"),
    })
}

struct Cursor {
    rest: Bytes,
}

// === impl Cursor ===

impl Cursor {
    fn record(&mut self, topic: &Arc<str>, partition: u32, offset: i64) -> Option<Record> {
        let timestamp_ms = i64::from_le_bytes(self.array()?);
        let [flags] = self.array()?;
        let key = match flags & HAS_KEY {
            0 => None,
            _ => Some(self.sized()?),
        };
        let count = u16::from_le_bytes(self.array()?);
        let mut headers = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let name_len = u16::from_le_bytes(self.array()?);
            let name = self.take(usize::from(name_len))?;
            headers.push((Arc::from(std::str::from_utf8(&name).ok()?), self.sized()?));
        }
        let payload = (flags & HAS_PAYLOAD != 0).then(|| self.rest.clone());
        let topic = Arc::clone(topic);
        Some(Record { topic, partition, offset, timestamp_ms, key, headers, payload })
    }

    fn take(&mut self, len: usize) -> Option<Bytes> {
        (len <= self.rest.len()).then(|| self.rest.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }

    fn sized(&mut self) -> Option<Bytes> {
        let len = u32::from_le_bytes(self.array()?);
        self.take(len as usize)
    }
}
