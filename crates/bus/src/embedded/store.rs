//! The tables of the embedded log and what is done in one of their transactions: appending,
//! reading, searching by time, positions. Dropping old records is left to `clean`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::codec;
use super::memory::Memory;
use crate::config::EmbeddedConfig;
use crate::log::{Committed, LogError};
use crate::record::{OutRecord, Record};

/// (topic, partition, offset).
type Place = (u32, u32, u64);

const TOPICS: TableDefinition<&str, &[u8]> = TableDefinition::new("topics");
const PARTS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("partitions");
const RECORDS: TableDefinition<Place, &[u8]> = TableDefinition::new("records");
/// Closed chunks by their first offset: bytes, records, largest timestamp.
const CHUNKS: TableDefinition<Place, (u64, u64, i64)> = TableDefinition::new("chunks");
/// The offset of the last record of each key of a compacted topic.
const LATEST: TableDefinition<(u32, u32, &[u8]), u64> = TableDefinition::new("latest");
/// Records of compacted topics that may go once the log has passed this timestamp.
const STALE: TableDefinition<Place, i64> = TableDefinition::new("stale");
/// (stage, topic, partition): the next offset and the stage's note. By name, as Kafka keeps them:
/// they outlive the topic.
const POSITIONS: TableDefinition<(&str, &str, u32), (i64, &str)> =
    TableDefinition::new("positions");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

/// A chunk is closed at either: what retention drops at once, and what a search by time scans.
const CHUNK_BYTES: u64 = 4 << 20;
const CHUNK_RECORDS: u64 = 1_024;

/// A topic as it is in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Topic {
    pub number: u32,
    pub name: Arc<str>,
    pub partitions: u32,
    pub settings: BTreeMap<String, String>,
}

/// Where a partition stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub start: u64,
    pub end: u64,
    pub bytes: u64,
    pub ts_max: i64,
    pub open: Chunk,
}

/// Neighbouring records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    pub base: u64,
    pub bytes: u64,
    pub records: u64,
    pub ts_max: i64,
}

/// All tables within one write transaction.
pub struct Tables<'t> {
    pub topics: Table<'t, &'static str, &'static [u8]>,
    pub parts: Table<'t, (u32, u32), &'static [u8]>,
    pub records: Table<'t, Place, &'static [u8]>,
    pub chunks: Table<'t, Place, (u64, u64, i64)>,
    pub latest: Table<'t, (u32, u32, &'static [u8]), u64>,
    pub stale: Table<'t, Place, i64>,
    pub positions: Table<'t, (&'static str, &'static str, u32), (i64, &'static str)>,
    pub counters: Table<'t, &'static str, u64>,
}

pub type Failure = redb::Error;

/// Opens the store, and makes it where there is none.
pub fn open(config: &EmbeddedConfig) -> Result<Database, LogError> {
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes);
    let opened = match &config.path {
        None => builder.create_with_backend(Memory::default()),
        Some(path) => builder.create(path),
    };
    let db = opened.map_err(|e| open_error(config.path.as_deref(), &e))?;
    let prepared = || -> Result<(), Failure> {
        let txn = db.begin_write()?;
        drop(Tables::open(&txn)?);
        Ok(txn.commit()?)
    };
    prepared().map_err(|e| LogError::call("open", e))?;
    Ok(db)
}

fn open_error(path: Option<&Path>, error: &redb::DatabaseError) -> LogError {
    let path = path.map_or("memory".to_owned(), |path| path.display().to_string());
    let reason = match error {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            "another process has it open; the embedded log is for one process".to_owned()
        }
        other => other.to_string(),
    };
    LogError::Call { call: "open", reason: format!("{path}: {reason}") }
}

// === impl Topic ===

impl Topic {
    /// The log's own id of the topic; numbers are never used twice in one store.
    pub fn id(&self) -> String {
        format!("embedded-{}", self.number)
    }
}

// === impl Part ===

impl Default for Part {
    fn default() -> Part {
        Part { start: 0, end: 0, bytes: 0, ts_max: i64::MIN, open: Chunk::at(0) }
    }
}

// === impl Chunk ===

impl Chunk {
    pub fn at(base: u64) -> Chunk {
        Chunk { base, bytes: 0, records: 0, ts_max: i64::MIN }
    }

    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES || self.records >= CHUNK_RECORDS
    }
}

// === impl Tables ===

impl<'t> Tables<'t> {
    pub fn open(txn: &'t WriteTransaction) -> Result<Tables<'t>, Failure> {
        Ok(Tables {
            topics: txn.open_table(TOPICS)?,
            parts: txn.open_table(PARTS)?,
            records: txn.open_table(RECORDS)?,
            chunks: txn.open_table(CHUNKS)?,
            latest: txn.open_table(LATEST)?,
            stale: txn.open_table(STALE)?,
            positions: txn.open_table(POSITIONS)?,
            counters: txn.open_table(COUNTERS)?,
        })
    }

    /// Appends a record; its offset. Closes the open chunk first where it is full.
    pub fn append(
        &mut self,
        topic: u32,
        part: &mut Part,
        record: &OutRecord,
    ) -> Result<u64, Failure> {
        if part.open.is_full() {
            let Chunk { base, bytes, records, ts_max } = part.open;
            self.chunks.insert((topic, record.partition, base), (bytes, records, ts_max))?;
            part.open = Chunk::at(part.end);
        }
        let offset = part.end;
        let len = codec::len(record);
        let mut slot = self.records.insert_reserve((topic, record.partition, offset), len)?;
        codec::encode(record, slot.as_mut());
        drop(slot);
        part.end += 1;
        part.bytes += len as u64;
        part.ts_max = part.ts_max.max(record.timestamp_ms);
        part.open.bytes += len as u64;
        part.open.records += 1;
        part.open.ts_max = part.open.ts_max.max(record.timestamp_ms);
        Ok(offset)
    }

    pub fn set_position(
        &mut self,
        stage: &str,
        topic: &str,
        partition: u32,
        to: &Committed,
    ) -> Result<(), Failure> {
        self.positions.insert((stage, topic, partition), (to.offset, to.metadata.as_str()))?;
        Ok(())
    }

    pub fn position(
        &self,
        stage: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<Committed>, Failure> {
        let found = self.positions.get((stage, topic, partition))?;
        Ok(found.map(|row| {
            let (offset, metadata) = row.value();
            Committed { offset, metadata: metadata.to_owned() }
        }))
    }

    pub fn put_topic(&mut self, topic: &Topic) -> Result<(), Failure> {
        self.topics.insert(&*topic.name, to_bytes(topic)?.as_slice())?;
        Ok(())
    }

    pub fn put_part(&mut self, topic: u32, partition: u32, part: &Part) -> Result<(), Failure> {
        self.parts.insert((topic, partition), to_bytes(part)?.as_slice())?;
        Ok(())
    }

    /// A number that no topic of this store had before.
    pub fn next_topic_number(&mut self) -> Result<u32, Failure> {
        let last = self.counters.get("topic")?.map_or(0, |row| row.value());
        self.counters.insert("topic", last + 1)?;
        u32::try_from(last + 1).map_err(|_| corrupted("too many topics"))
    }
}

/// All topics and where their partitions stand.
#[allow(clippy::type_complexity)]
pub fn load(db: &Database) -> Result<(Vec<Topic>, BTreeMap<(u32, u32), Part>), Failure> {
    let txn = db.begin_read()?;
    let mut topics = Vec::new();
    for row in txn.open_table(TOPICS)?.iter()? {
        topics.push(from_bytes::<Topic>(row?.1.value())?);
    }
    let mut parts = BTreeMap::new();
    for row in txn.open_table(PARTS)?.iter()? {
        let (key, value) = row?;
        parts.insert(key.value(), from_bytes::<Part>(value.value())?);
    }
    Ok((topics, parts))
}

/// The next offset of each stage, topic and partition.
pub fn positions(db: &Database) -> Result<BTreeMap<(String, String, u32), i64>, Failure> {
    let txn = db.begin_read()?;
    let mut positions = BTreeMap::new();
    for row in txn.open_table(POSITIONS)?.iter()? {
        let (key, value) = row?;
        let (stage, topic, partition) = key.value();
        positions.insert((stage.to_owned(), topic.to_owned(), partition), value.value().0);
    }
    Ok(positions)
}

/// How much `fetch` takes at once.
#[derive(Clone, Copy)]
pub struct FetchSize {
    pub bytes: usize,
    pub records: usize,
}

/// Records of a partition from an offset on; those that are there, at least one where there is one.
pub fn fetch(
    db: &Database,
    topic: &Topic,
    partition: u32,
    from: u64,
    size: FetchSize,
) -> Result<Vec<Record>, LogError> {
    let failed = |e: Failure| LogError::call("fetch", e);
    let rows = (|| {
        let table = db.begin_read()?.open_table(RECORDS)?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        let range = (topic.number, partition, from)..=(topic.number, partition, u64::MAX);
        for row in table.range(range)?.take(size.records) {
            let (key, value) = row?;
            let stored = Bytes::copy_from_slice(value.value());
            bytes += stored.len();
            rows.push((key.value().2, stored));
            if bytes >= size.bytes {
                break;
            }
        }
        Ok(rows)
    })()
    .map_err(failed)?;
    let decode = |(offset, stored)| codec::decode(&topic.name, partition, signed(offset), stored);
    rows.into_iter().map(decode).collect()
}

/// The first offset at or after a timestamp; the end where there is none.
pub fn offset_at(
    db: &Database,
    topic: u32,
    partition: u32,
    part: &Part,
    timestamp_ms: i64,
) -> Result<u64, Failure> {
    let txn = db.begin_read()?;
    let chunks = txn.open_table(CHUNKS)?;
    for row in chunks.range((topic, partition, 0)..=(topic, partition, u64::MAX))? {
        let (key, chunk) = row?;
        if chunk.value().2 < timestamp_ms {
            continue;
        }
        if let Some(found) = first_at(&txn, topic, partition, key.value().2, timestamp_ms)? {
            return Ok(found.min(part.end));
        }
    }
    let found = first_at(&txn, topic, partition, part.open.base, timestamp_ms)?;
    Ok(found.map_or(part.end, |found| found.min(part.end)))
}

/// The first record at or after a timestamp within one chunk's length of records.
fn first_at(
    txn: &ReadTransaction,
    topic: u32,
    partition: u32,
    base: u64,
    timestamp_ms: i64,
) -> Result<Option<u64>, Failure> {
    let records = txn.open_table(RECORDS)?;
    let range = (topic, partition, base)..(topic, partition, base + CHUNK_RECORDS);
    for row in records.range(range)? {
        let (key, value) = row?;
        if codec::timestamp(value.value()) >= timestamp_ms {
            return Ok(Some(key.value().2));
        }
    }
    Ok(None)
}

/// Offsets are unsigned in the store's keys, so that they sort.
pub fn signed(offset: u64) -> i64 {
    i64::try_from(offset).expect("an offset is a count of records")
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    postcard::to_stdvec(value).map_err(|e| corrupted(&e.to_string()))
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    postcard::from_bytes(bytes).map_err(|e| corrupted(&e.to_string()))
}

fn corrupted(what: &str) -> Failure {
    redb::Error::Corrupted(what.to_owned())
}
