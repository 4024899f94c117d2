//! A small compacted topic as it now is: the last record of each key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::log::{Log, LogError, ReadEvent, from_start};
use crate::record::Record;

const POLL: Duration = Duration::from_millis(100);

/// The last record of each key, by key; what a tombstone took out is not there. Records without a
/// key are not of a compacted topic, and are left out.
pub fn latest(
    log: &dyn Log,
    topic: &str,
    patience: Duration,
) -> Result<BTreeMap<Bytes, Record>, LogError> {
    let mut reader = log.reader()?;
    let mut open = Vec::new();
    for (topic, partition, start) in from_start(log, &mut *reader, topic)? {
        if start < reader.range(&topic, partition)?.1 {
            open.push((topic, partition, start));
        }
    }
    reader.assign(&open)?;
    let deadline = Instant::now() + patience;
    let mut found = BTreeMap::new();
    while !open.is_empty() {
        match reader.poll(POLL)? {
            ReadEvent::End { partition, .. } => open.retain(|(_, p, _)| *p != partition),
            ReadEvent::Record(record) => put(&mut found, record),
            ReadEvent::Idle => {}
        }
        if Instant::now() > deadline && !open.is_empty() {
            return Err(LogError::Timeout { call: "reading a topic to its end", limit: patience });
        }
    }
    Ok(found)
}

fn put(found: &mut BTreeMap<Bytes, Record>, record: Record) {
    let Some(key) = record.key.clone() else {
        return;
    };
    match record.payload {
        Some(_) => found.insert(key, record),
        None => found.remove(&key),
    };
}
