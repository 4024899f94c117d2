//! Taking a task over: its committed position, the state at it, and the input from there. What a
//! crash, a rebalance and an aborted commit have in common.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bus::{Committed, Log, LogError, TaskId, Tasks};

use super::engine::{Block, Engine, RestoreError, Stage};
use super::history;
use super::metadata::{Metadata, Pointer};
use super::metrics::{self, Tally};
use super::options::{LoopError, LoopOptions};
use super::running::Running;
use super::setup::{InputTopic, Setup};
use super::snapshot::{self, LoadError, Loaded};
use super::state::TaskState;

/// A task ready to run.
pub struct Opened<E> {
    pub running: Running<E>,
    /// The first offset to read: at most the committed one.
    pub from: i64,
    /// Input that retention took before it was read: from, to.
    pub lost: Option<(i64, i64)>,
}

/// Takes tasks over.
pub struct Opener<'a, S: Stage> {
    pub log: &'a dyn Log,
    pub stage: &'a S,
    pub setup: &'a Setup,
    pub options: &'a LoopOptions,
}

// === impl Opener ===

impl<S: Stage> Opener<'_, S> {
    /// Opens a task and starts its delivery. `skipped` are offsets on which the engine panicked
    /// that no commit tells of yet.
    pub fn open(
        &self,
        tasks: &mut dyn Tasks,
        id: &TaskId,
        skipped: &BTreeMap<i64, String>,
        tally: &mut Tally,
    ) -> Result<Opened<S::Engine>, LoopError> {
        let topic = self.topic(id)?;
        let committed = tasks.committed(id)?;
        let (start, end) = tasks.range(id)?;
        let mut opened = match committed {
            Some(committed) => self.restore(id, topic, start, &committed, tally)?,
            None => {
                tally.add(metrics::RESTORES, "from", "nothing", 1);
                let running = Running::new(self.fresh(id, topic), &topic.id, start);
                Opened { running, from: start, lost: None }
            }
        };
        history::read(self.log, &mut opened.running.state.engine, tally)?;
        opened.running.state.skipped.extend(skipped.clone());
        opened.running.state.next = opened.from;
        opened.running.ended_at(end);
        tasks.start(id, opened.from)?;
        Ok(opened)
    }

    fn topic(&self, id: &TaskId) -> Result<&InputTopic, LoopError> {
        let topic = self.setup.inputs.get(&*id.topic);
        topic.ok_or_else(|| LoopError::NoTopic(id.topic.to_string()))
    }

    fn fresh(&self, id: &TaskId, topic: &InputTopic) -> TaskState<S::Engine> {
        let writers = self.setup.writers(topic, self.stage.snapshots(), self.options);
        let engine = self.stage.engine(id);
        TaskState::new(id.clone(), &topic.id, engine, writers, self.setup.stamper.clone())
    }

    fn restore(
        &self,
        id: &TaskId,
        topic: &InputTopic,
        start: i64,
        committed: &Committed,
        tally: &mut Tally,
    ) -> Result<Opened<S::Engine>, LoopError> {
        let not_ours = |reason: String| LoopError::Metadata {
            topic: id.topic.to_string(),
            partition: id.partition,
            reason,
        };
        let metadata = Metadata::parse(&committed.metadata).map_err(not_ours)?;
        if metadata.topic != topic.id {
            let (topic, was, now) = (id.topic.to_string(), metadata.topic, topic.id.clone());
            return Err(LoopError::TopicMadeAgain { topic, was, now });
        }
        let lost = (committed.offset < start).then_some((committed.offset, start));
        if let Some(small) = &metadata.small {
            let mut state = self.fresh(id, topic);
            state.restore(&small.task).map_err(not_ours)?;
            state.engine.restore_note(&small.note).map_err(|e| not_ours(e.to_string()))?;
            tally.add(metrics::RESTORES, "from", "note", 1);
            let running = Running::new(state, &topic.id, committed.offset);
            let from = committed.offset.max(start);
            return Ok(Opened { running, from, lost });
        }
        let (state, catalog, at) = self.from_snapshot(id, topic, &metadata.snaps, tally)?;
        // Without a snapshot the input is the state, from its first offset on.
        let from = at.unwrap_or(start).max(start);
        if at.is_some_and(|at| at < start) || (at.is_none() && start > 0) {
            tally.add(metrics::RESTORES_INCOMPLETE, "reason", "input_gone", 1);
            tracing::warn!(topic = %id.topic, partition = id.partition, from, committed =
                committed.offset, "the input before this offset is gone: the state is rebuilt \
                from the rest, and may differ from what it was");
        }
        let mut running = Running::new(state, &topic.id, committed.offset);
        running.pointers = metadata.snaps.iter().copied().filter(|p| Some(p.at) <= at).collect();
        running.catalog = catalog;
        running.state.skipped.extend(metadata.skip.iter().map(|offset| (*offset, String::new())));
        Ok(Opened { running, from, lost })
    }

    /// The state of the newest snapshot that can be read, and its input offset.
    fn from_snapshot(
        &self,
        id: &TaskId,
        topic: &InputTopic,
        pointers: &[Pointer],
        tally: &mut Tally,
    ) -> Result<(TaskState<S::Engine>, snapshot::Catalog, Option<i64>), LoopError> {
        for (tried, pointer) in pointers.iter().enumerate() {
            match self.one_snapshot(id, topic, *pointer) {
                Ok((state, catalog)) => {
                    let from = if tried == 0 { "snapshot" } else { "older_snapshot" };
                    tally.add(metrics::RESTORES, "from", from, 1);
                    return Ok((state, catalog, Some(pointer.at)));
                }
                Err(LoadError::Log(error)) => return Err(error.into()),
                Err(LoadError::Unreadable { at, reason }) => {
                    tally.add(metrics::RESTORES_INCOMPLETE, "reason", "snapshot", 1);
                    tracing::warn!(topic = %id.topic, partition = id.partition, at, %reason,
                        "a snapshot is not readable: trying the one before, or the input itself");
                }
            }
        }
        tally.add(metrics::RESTORES, "from", "input", 1);
        Ok((self.fresh(id, topic), snapshot::Catalog::new(), None))
    }

    fn one_snapshot(
        &self,
        id: &TaskId,
        topic: &InputTopic,
        pointer: Pointer,
    ) -> Result<(TaskState<S::Engine>, snapshot::Catalog), LoadError> {
        let mut reader = self.log.reader().map_err(LoadError::Log)?;
        let name = &self.options.snapshots.topic;
        let Loaded { task, blocks, catalog } =
            snapshot::load(reader.as_mut(), name, pointer, id, &topic.id)?;
        let mut state = self.fresh(id, topic);
        let unreadable = |reason| LoadError::Unreadable { at: pointer.at, reason };
        state.restore(&task).map_err(unreadable)?;
        restore_engine(&mut state.engine, &blocks).map_err(|e| unreadable(e.to_string()))?;
        Ok((state, catalog))
    }
}

/// An engine that panics on blocks of its own cannot restore them.
fn restore_engine<E: Engine>(engine: &mut E, blocks: &[Block]) -> Result<(), RestoreError> {
    let restore = AssertUnwindSafe(|| engine.restore(blocks));
    catch_unwind(restore).unwrap_or_else(|_| Err(RestoreError("it panicked".to_owned())))
}

/// Whether the process is to be gone, as far as a test's scripted log goes.
pub fn is_crash(error: &LogError) -> bool {
    matches!(error, LogError::CrashPoint(_))
}
