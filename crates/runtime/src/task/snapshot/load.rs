//! A snapshot back from the topic. Anything that is not exactly what the manifest says makes it
//! unreadable, and the loop takes an older one or the input itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{LogError, ReadEvent, Reader, Record, TaskId};
use bytes::{Bytes, BytesMut};

use super::super::engine::Block;
use super::super::metadata::Pointer;
use super::super::state::SavedTask;
use super::{Catalog, MANIFEST, Manifest, Part, Row, VERSION, task_text};

/// A whole snapshot.
#[derive(Debug)]
pub struct Loaded {
    pub task: SavedTask,
    pub blocks: Vec<Block>,
    pub catalog: Catalog,
}

/// Why a snapshot could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not there any more, or not what it should be: take another.
    #[error("snapshot at input offset {at} is not readable: {reason}")]
    Unreadable { at: i64, reason: String },
    #[error(transparent)]
    Log(LogError),
}

/// One wait for a record; after `WAITS_MAX` of them it counts as gone.
const WAIT: Duration = Duration::from_millis(100);
const WAITS_MAX: u32 = 100;
/// A gap up to this is read over: cheaper than another fetch.
const GAP_MAX: i64 = 64;

/// Loads the snapshot of `task` (of the input topic with this id) that `pointer` names.
pub fn load(
    reader: &mut dyn Reader,
    topic: &str,
    pointer: Pointer,
    task: &TaskId,
    topic_id: &str,
) -> Result<Loaded, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { at: pointer.at, reason };
    let found = fetch(reader, topic, pointer.p, &[pointer.o], pointer.at)?;
    let row = found.get(&pointer.o).ok_or_else(|| unreadable("no manifest".to_owned()))?;
    if row.task != task_text(task) || row.block != MANIFEST || row.at != pointer.at {
        return Err(unreadable(format!("offset {} holds something else", pointer.o)));
    }
    let manifest: Manifest =
        serde_json::from_slice(&row.data).map_err(|e| unreadable(e.to_string()))?;
    if manifest.v != VERSION || manifest.topic != topic_id {
        return Err(unreadable("another format, or of another topic".to_owned()));
    }
    let mut offsets: Vec<i64> = manifest.parts.iter().map(|part| part.offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let rows = fetch(reader, topic, pointer.p, &offsets, pointer.at)?;
    let blocks = blocks(&manifest.parts, &rows, &row.task).map_err(unreadable)?;
    let catalog = manifest.parts.into_iter().map(|part| (part.name.clone(), part)).collect();
    Ok(Loaded { task: manifest.task, blocks, catalog })
}

/// Puts the pieces together; they follow each other in the manifest.
fn blocks(parts: &[Part], rows: &BTreeMap<i64, Row>, task: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<(String, BytesMut)> = Vec::new();
    for part in parts {
        let row = rows.get(&part.offset).filter(|row| row.block == part.name && row.task == task);
        let row = row.ok_or_else(|| format!("offset {} is not {}", part.offset, part.name))?;
        if model::schema::hex16(&row.data) != part.hash {
            return Err(format!("{} is not as it was written", part.name));
        }
        let (name, _) = part.name.rsplit_once('#').ok_or("a piece without a number")?;
        match blocks.last_mut().filter(|(last, _)| last == name) {
            Some((_, data)) => data.extend_from_slice(&row.data),
            None => blocks.push((name.to_owned(), BytesMut::from(&row.data[..]))),
        }
    }
    let block = |(name, data): (String, BytesMut)| Block { name, data: data.freeze() };
    Ok(blocks.into_iter().map(block).collect())
}

/// The rows at the given offsets (rising) of one partition.
fn fetch(
    reader: &mut dyn Reader,
    topic: &str,
    partition: u32,
    offsets: &[i64],
    at: i64,
) -> Result<BTreeMap<i64, Row>, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { at, reason };
    let mut rows = BTreeMap::new();
    let mut next = i64::MIN;
    for offset in offsets {
        if next == i64::MIN || *offset - next > GAP_MAX {
            let from = [(topic.to_owned(), partition, *offset)];
            reader.assign(&from).map_err(|e| gone_or(e, at))?;
        }
        let record = read_to(reader, *offset, at)?;
        next = offset + 1;
        let payload = record.payload.unwrap_or_else(Bytes::new);
        let batch = model::ipc::decode(&payload, model::ipc::Limits::default());
        let batch = batch.map_err(|e| unreadable(e.to_string()))?;
        let row = Row::read(&batch).ok_or_else(|| unreadable("not a snapshot row".to_owned()))?;
        rows.insert(*offset, row);
    }
    Ok(rows)
}

/// Reads on to the record at an offset.
fn read_to(reader: &mut dyn Reader, offset: i64, at: i64) -> Result<Record, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { at, reason };
    let mut waits = 0;
    loop {
        match reader.poll(WAIT).map_err(|e| gone_or(e, at))? {
            ReadEvent::Record(record) if record.offset < offset => {}
            ReadEvent::Record(record) if record.offset == offset => return Ok(record),
            ReadEvent::Record(record) => {
                return Err(unreadable(format!("{offset} is gone, {} follows", record.offset)));
            }
            ReadEvent::End { next, .. } if next > offset => {}
            ReadEvent::End { .. } => return Err(unreadable(format!("{offset} is not there"))),
            ReadEvent::Idle => waits += 1,
        }
        if waits > WAITS_MAX {
            return Err(unreadable(format!("{offset} did not come")));
        }
    }
}

fn gone_or(error: LogError, at: i64) -> LoadError {
    match error {
        LogError::Truncated { .. } | LogError::NoTopic(_) => {
            LoadError::Unreadable { at, reason: error.to_string() }
        }
        other => LoadError::Log(other),
    }
}
