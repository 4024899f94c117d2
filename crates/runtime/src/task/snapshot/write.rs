//! Writing snapshots: one at a time per task, in the background of the loop. A manifest is sent
//! when all its blocks are delivered, and told of when it is itself; what was begun and not
//! finished is never read by anyone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus::config::LimitsConfig;
use bus::{
    LogError, Meta, Name, OutRecord, Outgoing, Producer, TaskId, Time, Where, Writer, frame,
};
use bytes::Bytes;

use super::super::engine::Block;
use super::super::metadata::Pointer;
use super::super::options::SnapshotOptions;
use super::super::stamp::Stamper;
use super::super::state::SavedTask;
use super::{Catalog, MANIFEST, Manifest, Part, Row, VERSION, task_text};

/// A state to be written.
pub struct Taken {
    pub task: TaskId,
    /// The log's id of the input topic.
    pub topic_id: String,
    pub at: i64,
    /// The task's watermark, for people.
    pub taken_ms: i64,
    pub state: SavedTask,
    pub blocks: Vec<Block>,
}

/// A whole snapshot on the topic.
#[derive(Debug)]
pub struct Done {
    pub pointer: Pointer,
    pub catalog: Catalog,
    pub bytes_written: u64,
    pub bytes_reused: u64,
}

/// Why a snapshot is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("a snapshot of {found} pieces is over the limit of {limit}")]
    Parts { found: usize, limit: usize },
    #[error("failed to frame a snapshot: {0}")]
    Frame(String),
    #[error("a snapshot of {bytes} changed bytes waits for more input")]
    TooEarly { bytes: u64 },
}

/// The snapshots of one instance that are being written.
pub struct Snapshots {
    stage: String,
    config_fp: String,
    partitions: u32,
    options: SnapshotOptions,
    limits: LimitsConfig,
    producer: Box<dyn Producer>,
    writing: BTreeMap<TaskId, Writing>,
    /// Whose record a ticket is, and which piece (the manifest: none).
    tickets: BTreeMap<u64, (TaskId, Option<usize>)>,
}

struct Writing {
    pointer: Pointer,
    id: String,
    taken_ms: i64,
    manifest: Manifest,
    unsent: VecDeque<(Option<usize>, OutRecord)>,
    undelivered: usize,
    bytes_written: u64,
    bytes_reused: u64,
}

// === impl Snapshots ===

impl Snapshots {
    pub fn new(
        stamper: &Stamper,
        partitions: u32,
        options: SnapshotOptions,
        producer: Box<dyn Producer>,
    ) -> Snapshots {
        Snapshots {
            stage: stamper.stage.clone(),
            config_fp: stamper.config_fp.clone(),
            partitions,
            options,
            limits: stamper.limits.clone(),
            producer,
            writing: BTreeMap::new(),
            tickets: BTreeMap::new(),
        }
    }

    pub fn is_writing(&self, task: &TaskId) -> bool {
        self.writing.contains_key(task)
    }

    pub fn is_idle(&self) -> bool {
        self.writing.is_empty()
    }

    /// A task that is no longer ours, or whose state was dropped. Its deliveries are forgotten too:
    /// the next snapshot may be of the very same offset.
    pub fn forget(&mut self, task: &TaskId) {
        self.writing.remove(task);
        self.tickets.retain(|_, (of, _)| of != task);
    }

    /// Begins a snapshot: what did not change since `catalog` and is young enough is not written
    /// again. Not more than `budget` bytes are written.
    pub fn begin(
        &mut self,
        taken: Taken,
        catalog: &Catalog,
        budget: u64,
        wall_ms: i64,
    ) -> Result<(), WriteError> {
        let task = taken.task.clone();
        let writing = self.plan(taken, catalog, budget, wall_ms)?;
        self.writing.insert(task, writing);
        Ok(())
    }

    fn plan(
        &self,
        taken: Taken,
        catalog: &Catalog,
        budget: u64,
        wall_ms: i64,
    ) -> Result<Writing, WriteError> {
        let task = task_text(&taken.task);
        let p = bus::partition::partition(task.as_bytes(), self.partitions);
        let half_life = i64::try_from(self.options.retention.as_millis() / 2).unwrap_or(i64::MAX);
        let oldest = wall_ms.saturating_sub(half_life);
        let (mut parts, mut changed, mut reused) = (Vec::new(), Vec::new(), 0);
        for (name, data) in pieces(&taken.blocks, self.options.part_bytes) {
            let (hash, bytes) = (model::schema::hex16(&data), data.len() as u64);
            let same = |old: &&Part| old.hash == hash && old.bytes == bytes;
            match catalog.get(&name).filter(same).filter(|old| old.written_ms >= oldest) {
                Some(old) => {
                    reused += bytes;
                    parts.push(old.clone());
                }
                None => {
                    changed.push((parts.len(), data));
                    parts.push(Part { name, hash, bytes, offset: -1, written_ms: wall_ms });
                }
            }
        }
        if parts.len() > self.options.parts_max {
            let (found, limit) = (parts.len(), self.options.parts_max);
            return Err(WriteError::Parts { found, limit });
        }
        let bytes = changed.iter().map(|(_, data)| data.len() as u64).sum();
        if bytes > budget {
            return Err(WriteError::TooEarly { bytes });
        }
        let manifest = Manifest {
            v: VERSION,
            stage: self.stage.clone(),
            config: self.config_fp.clone(),
            topic: taken.topic_id,
            at: taken.at,
            task: taken.state,
            parts,
        };
        let mut writing = Writing {
            pointer: Pointer { p, o: -1, at: taken.at },
            id: format!("{}@{wall_ms}", taken.at),
            taken_ms: taken.taken_ms,
            manifest,
            unsent: VecDeque::new(),
            undelivered: 0,
            bytes_written: bytes,
            bytes_reused: reused,
        };
        for (part, data) in changed {
            let name = writing.manifest.parts[part].name.clone();
            let record = self.record(&taken.task, &writing, &name, data, Some(part), wall_ms)?;
            writing.unsent.push_back((Some(part), record));
        }
        Ok(writing)
    }

    /// Sends and listens without waiting; returns what was finished. `Err` of one task's record
    /// only ends that snapshot and is told by a `None` in its place.
    pub fn poll(&mut self, wall_ms: i64) -> Result<Vec<(TaskId, Option<Done>)>, LogError> {
        let mut ended = Vec::new();
        self.send(wall_ms, &mut ended)?;
        for delivery in self.producer.poll(Duration::ZERO) {
            let Some((task, part)) = self.tickets.remove(&delivery.ticket) else {
                continue;
            };
            let Some(writing) = self.writing.get_mut(&task) else {
                continue;
            };
            writing.undelivered -= 1;
            match (delivery.result, part) {
                (Ok(offset), Some(part)) => writing.manifest.parts[part].offset = offset,
                (Ok(offset), None) => {
                    writing.pointer.o = offset;
                    if let Some(writing) = self.writing.remove(&task) {
                        ended.push((task, Some(writing.done())));
                    }
                }
                (Err(_), _) => {
                    self.forget(&task);
                    ended.push((task, None));
                }
            }
        }
        Ok(ended)
    }

    fn send(
        &mut self,
        wall_ms: i64,
        ended: &mut Vec<(TaskId, Option<Done>)>,
    ) -> Result<(), LogError> {
        let tasks: Vec<TaskId> = self.writing.keys().cloned().collect();
        for task in tasks {
            if self.add_manifest(&task, wall_ms).is_err() {
                self.forget(&task);
                ended.push((task, None));
                continue;
            }
            let Some(writing) = self.writing.get_mut(&task) else {
                continue;
            };
            while let Some((part, record)) = writing.unsent.front() {
                let Some(ticket) = self.producer.send(record)? else {
                    return Ok(());
                };
                self.tickets.insert(ticket, (task.clone(), *part));
                writing.undelivered += 1;
                writing.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// The manifest is queued when every piece has its offset.
    fn add_manifest(&mut self, task: &TaskId, wall_ms: i64) -> Result<(), WriteError> {
        let Some(writing) = self.writing.get(task) else {
            return Ok(());
        };
        if writing.undelivered > 0 || !writing.unsent.is_empty() {
            return Ok(());
        }
        let data =
            serde_json::to_vec(&writing.manifest).map_err(|e| WriteError::Frame(e.to_string()))?;
        let record = self.record(task, writing, MANIFEST, Bytes::from(data), None, wall_ms)?;
        if let Some(writing) = self.writing.get_mut(task) {
            writing.unsent.push_back((None, record));
        }
        Ok(())
    }

    fn record(
        &self,
        task: &TaskId,
        writing: &Writing,
        block: &str,
        data: Bytes,
        part: Option<usize>,
        wall_ms: i64,
    ) -> Result<OutRecord, WriteError> {
        let row = Row {
            task: task_text(task),
            snapshot: writing.id.clone(),
            at: writing.pointer.at,
            block: block.to_owned(),
            taken_ms: writing.taken_ms,
            data,
        };
        let batch = row.batch().map_err(WriteError::Frame)?;
        let index = part.unwrap_or(writing.manifest.parts.len());
        let outgoing = Outgoing {
            topic: Arc::from(self.options.topic.as_str()),
            to: Where::Fixed(writing.pointer.p),
            batch,
            key: Some(Bytes::from(row.task.clone())),
            time: Time::Between(wall_ms, wall_ms),
            meta: self.meta(task, writing, index),
        };
        let framed = frame(outgoing, self.partitions, &self.limits);
        let framed = framed.map_err(|e| WriteError::Frame(e.to_string()))?;
        let too_large = || WriteError::Frame(format!("block {block} is too large"));
        framed.records.into_iter().next().ok_or_else(too_large)
    }

    fn meta(&self, task: &TaskId, writing: &Writing, index: usize) -> Meta {
        let schema = model::schema::snapshots();
        let (topic_id, partition) = (writing.manifest.topic.clone(), task.partition);
        let writer = Writer::Task { stage: self.stage.clone(), topic_id, partition };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: format!("{}/{}", self.stage, task_text(task)),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: None,
            name: Name { writer, offset: writing.pointer.at, index },
            config_fp: Some(self.config_fp.clone()),
            replay_id: None,
            extra: Vec::new(),
        }
    }
}

// === impl Writing ===

impl Writing {
    fn done(self) -> Done {
        let parts = self.manifest.parts.into_iter();
        Done {
            pointer: self.pointer,
            catalog: parts.map(|part| (part.name.clone(), part)).collect(),
            bytes_written: self.bytes_written,
            bytes_reused: self.bytes_reused,
        }
    }
}

/// Blocks cut to size, each piece under its own name; an empty block is one empty piece.
fn pieces(blocks: &[Block], size: usize) -> Vec<(String, Bytes)> {
    let mut pieces = Vec::new();
    for block in blocks {
        let size = size.max(1);
        let count = block.data.len().div_ceil(size).max(1);
        for number in 0..count {
            let end = block.data.len().min((number + 1) * size);
            let data = block.data.slice(number * size..end);
            pieces.push((format!("{}#{number}", block.name), data));
        }
    }
    pieces
}
