//! What goes from the embedded log and when: whole oldest chunks by age and size, and older values
//! of a key on compacted topics. Age counts against the largest timestamp of the partition and not
//! against a clock, so that a log of simulated or of recorded time keeps what it should.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::codec;
use super::store::{Failure, Part, Tables, Topic};
use crate::record::OutRecord;

/// Superseded records that one commit removes at most: a bound on its time.
const COMPACT_MAX: usize = 1_000;
/// Kafka's default of `delete.retention.ms`.
const TOMBSTONE_MS: i64 = 86_400_000;

/// A topic's settings, read once a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub compacted: bool,
    retention_ms: Option<i64>,
    retention_bytes: Option<u64>,
    lag_ms: i64,
}

// === impl Policy ===

impl Policy {
    pub fn of(settings: &BTreeMap<String, String>) -> Policy {
        let number = |name: &str| settings.get(name).and_then(|v| v.parse::<i64>().ok());
        let cleanup = settings.get("cleanup.policy").map_or("delete", String::as_str);
        let deletes = cleanup.split(',').any(|policy| policy.trim() == "delete");
        let limit = |name: &str| number(name).filter(|value| deletes && *value >= 0);
        Policy {
            compacted: cleanup.split(',').any(|policy| policy.trim() == "compact"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes").and_then(|v| u64::try_from(v).ok()),
            lag_ms: number("min.compaction.lag.ms").unwrap_or(0).max(0),
        }
    }
}

/// Remembers a new record of a compacted topic as its key's last; the one before becomes stale.
pub fn supersede(
    tables: &mut Tables<'_>,
    topic: &Topic,
    policy: &Policy,
    record: &OutRecord,
    offset: u64,
) -> Result<(), Failure> {
    let Some(key) = &record.key else {
        return Ok(());
    };
    let (number, partition) = (topic.number, record.partition);
    let before = tables.latest.insert((number, partition, &**key), offset)?.map(|row| row.value());
    if let Some(before) = before {
        let from = record.timestamp_ms.saturating_add(policy.lag_ms);
        tables.stale.insert((number, partition, before), from)?;
    }
    if record.payload.is_none() {
        let from = record.timestamp_ms.saturating_add(policy.lag_ms.max(TOMBSTONE_MS));
        tables.stale.insert((number, partition, offset), from)?;
    }
    Ok(())
}

/// Removes superseded records whose time has come.
pub fn compact(
    tables: &mut Tables<'_>,
    topic: &Topic,
    partition: u32,
    part: &mut Part,
) -> Result<u64, Failure> {
    let number = topic.number;
    let all = (number, partition, 0)..=(number, partition, u64::MAX);
    let mut due = Vec::new();
    for row in tables.stale.range(all)?.take(COMPACT_MAX) {
        let (key, from) = row?;
        if from.value() <= part.ts_max {
            due.push(key.value().2);
        }
    }
    for offset in &due {
        tables.stale.remove((number, partition, *offset))?;
        remove(tables, number, partition, *offset, part)?;
    }
    Ok(due.len() as u64)
}

/// Removes the oldest superseded records before `needed` although their time has not come, for a
/// log that is over its size; how many.
pub fn squeeze(
    tables: &mut Tables<'_>,
    topic: &Topic,
    partition: u32,
    part: &mut Part,
    needed: u64,
) -> Result<u64, Failure> {
    let number = topic.number;
    let mut due = Vec::new();
    for row in tables.stale.range((number, partition, 0)..(number, partition, needed))? {
        due.push(row?.0.value().2);
        if due.len() >= COMPACT_MAX {
            break;
        }
    }
    for offset in &due {
        tables.stale.remove((number, partition, *offset))?;
        remove(tables, number, partition, *offset, part)?;
    }
    Ok(due.len() as u64)
}

/// Removes one record (a superseded value or an old tombstone) and its place in the counts.
fn remove(
    tables: &mut Tables<'_>,
    topic: u32,
    partition: u32,
    offset: u64,
    part: &mut Part,
) -> Result<(), Failure> {
    let (len, key) = {
        let Some(row) = tables.records.remove((topic, partition, offset))? else {
            return Ok(());
        };
        let stored = row.value();
        (stored.len() as u64, codec::key(stored).map(<[u8]>::to_vec))
    };
    forget(tables, topic, partition, offset, key.as_deref())?;
    part.bytes = part.bytes.saturating_sub(len);
    if offset >= part.open.base {
        // The number of records stays: it bounds how far a search by time looks.
        part.open.bytes = part.open.bytes.saturating_sub(len);
        return Ok(());
    }
    let before = (topic, partition, 0)..=(topic, partition, offset);
    let chunk = tables.chunks.range(before)?.next_back().transpose()?;
    let Some((base, (bytes, records, ts_max))) = chunk.map(|(k, v)| (k.value(), v.value())) else {
        return Ok(());
    };
    tables.chunks.insert(base, (bytes.saturating_sub(len), records, ts_max))?;
    Ok(())
}

/// Forgets a removed record as the last of its key, where it was.
fn forget(
    tables: &mut Tables<'_>,
    topic: u32,
    partition: u32,
    offset: u64,
    key: Option<&[u8]>,
) -> Result<(), Failure> {
    let Some(key) = key else {
        return Ok(());
    };
    let last = tables.latest.get((topic, partition, key))?.map(|row| row.value());
    if last == Some(offset) {
        tables.latest.remove((topic, partition, key))?;
    }
    Ok(())
}

/// Drops the oldest chunks that are too old or too many; how many chunks.
pub fn retain(
    tables: &mut Tables<'_>,
    topic: &Topic,
    policy: &Policy,
    partition: u32,
    part: &mut Part,
) -> Result<u64, Failure> {
    let mut dropped = 0;
    loop {
        let Some((_, ts_max)) = oldest(tables, topic.number, partition)? else {
            return Ok(dropped);
        };
        let old = policy.retention_ms.is_some_and(|ms| ts_max < part.ts_max.saturating_sub(ms));
        let many = policy.retention_bytes.is_some_and(|bytes| part.bytes > bytes);
        if !old && !many {
            return Ok(dropped);
        }
        drop_oldest(tables, topic, policy, partition, part)?;
        dropped += 1;
    }
}

/// The first closed chunk: its base and largest timestamp.
fn oldest(tables: &Tables<'_>, topic: u32, partition: u32) -> Result<Option<(u64, i64)>, Failure> {
    let all = (topic, partition, 0)..=(topic, partition, u64::MAX);
    let first = tables.chunks.range(all)?.next().transpose()?;
    Ok(first.map(|(key, value)| (key.value().2, value.value().2)))
}

/// The offset after the oldest closed chunk.
pub fn oldest_end(
    tables: &Tables<'_>,
    topic: u32,
    partition: u32,
    part: &Part,
) -> Result<Option<u64>, Failure> {
    let all = (topic, partition, 0)..=(topic, partition, u64::MAX);
    let mut chunks = tables.chunks.range(all)?;
    if chunks.next().transpose()?.is_none() {
        return Ok(None);
    }
    let next = chunks.next().transpose()?.map(|(key, _)| key.value().2);
    Ok(Some(next.unwrap_or(part.open.base)))
}

/// Drops the oldest closed chunk. The open chunk is never dropped.
pub fn drop_oldest(
    tables: &mut Tables<'_>,
    topic: &Topic,
    policy: &Policy,
    partition: u32,
    part: &mut Part,
) -> Result<bool, Failure> {
    let number = topic.number;
    let Some((base, _)) = oldest(tables, number, partition)? else {
        return Ok(false);
    };
    let bytes = tables.chunks.remove((number, partition, base))?.map_or(0, |row| row.value().0);
    let end = oldest(tables, number, partition)?.map_or(part.open.base, |(next, _)| next);
    if policy.compacted {
        forget_keys(tables, number, partition, base..end)?;
    }
    tables.records.retain_in((number, partition, base)..(number, partition, end), |_, _| false)?;
    part.start = end;
    part.bytes = part.bytes.saturating_sub(bytes);
    Ok(true)
}

fn forget_keys(
    tables: &mut Tables<'_>,
    topic: u32,
    partition: u32,
    offsets: std::ops::Range<u64>,
) -> Result<(), Failure> {
    let range = (topic, partition, offsets.start)..(topic, partition, offsets.end);
    let mut keys = Vec::new();
    for row in tables.records.range(range.clone())? {
        let (place, value) = row?;
        keys.push((place.value().2, codec::key(value.value()).map(<[u8]>::to_vec)));
    }
    for (offset, key) in keys {
        forget(tables, topic, partition, offset, key.as_deref())?;
    }
    tables.stale.retain_in(range, |_, _| false)?;
    Ok(())
}

/// Removes all that a deleted topic had, but the positions of its readers (as Kafka does).
pub fn drop_topic(tables: &mut Tables<'_>, topic: &Topic) -> Result<(), Failure> {
    let number = topic.number;
    let all = || (number, 0, 0)..=(number, u32::MAX, u64::MAX);
    tables.records.retain_in(all(), |_, _| false)?;
    tables.chunks.retain_in(all(), |_, _| false)?;
    tables.stale.retain_in(all(), |_, _| false)?;
    tables.parts.retain_in((number, 0)..=(number, u32::MAX), |_, _| false)?;
    for partition in 0..topic.partitions {
        let from: (u32, u32, &[u8]) = (number, partition, &[]);
        let to: (u32, u32, &[u8]) = (number, partition + 1, &[]);
        tables.latest.retain_in(from..to, |_, _| false)?;
    }
    tables.topics.remove(&*topic.name)?;
    Ok(())
}
