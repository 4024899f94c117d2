//! A task that this instance has: its state, and what of it waits for a commit.

use std::time::Duration;

use bus::{Committed, Record};

use super::engine::Engine;
use super::metadata::{Metadata, Pointer, Small};
use super::snapshot::Catalog;
use super::stamp::Made;
use super::state::{Keep, TaskState};
use super::watch::Heard;

/// See the module.
pub struct Running<E> {
    pub state: TaskState<E>,
    pub topic_id: String,
    /// Outputs of messages before this offset stand already: they are only run for the state.
    pub committed: i64,
    /// The next offset at the last boundary, and what the messages up to it made.
    position: i64,
    ready: Made,
    small: Option<Small>,
    /// What the messages since the last boundary made, and they themselves.
    pending: Made,
    since: Vec<Record>,
    /// The last snapshots that are whole on the topic, the newest first.
    pub pointers: Vec<Pointer>,
    pub catalog: Catalog,
    pub snapshot_at: Duration,
    pub bytes_since_snapshot: u64,
    pub heard: Heard,
    end_at_open: i64,
}

/// Snapshots that a commit points to: the last, and one to fall back to.
const POINTERS_MAX: usize = 2;

// === impl Running ===

impl<E: Engine> Running<E> {
    pub fn new(state: TaskState<E>, topic_id: &str, committed: i64) -> Running<E> {
        let small = small(&state);
        Running {
            state,
            topic_id: topic_id.to_owned(),
            committed,
            position: committed,
            ready: Made::default(),
            small,
            pending: Made::default(),
            since: Vec::new(),
            pointers: Vec::new(),
            catalog: Catalog::new(),
            snapshot_at: Duration::ZERO,
            bytes_since_snapshot: 0,
            heard: Heard::default(),
            end_at_open: 0,
        }
    }

    pub fn keep(&self, offset: i64) -> Keep {
        if offset >= self.committed { Keep::Outputs } else { Keep::Nothing }
    }

    /// Whether the state has come to what is committed.
    pub fn is_restored(&self) -> bool {
        self.state.next >= self.committed
    }

    /// Before a message is taken: it may turn out to be the one that an engine panics on.
    pub fn remember(&mut self, record: &Record) {
        self.since.push(record.clone());
        let bytes = record.payload.as_ref().map_or(0, |payload| payload.len());
        self.bytes_since_snapshot += bytes as u64;
    }

    pub fn made(&mut self, made: Made) {
        self.pending.append(made);
    }

    /// After a message: at a boundary all that was made may be committed.
    pub fn settle(&mut self) {
        if !self.state.engine.at_boundary() {
            return;
        }
        self.since.clear();
        self.ready.append(std::mem::take(&mut self.pending));
        if self.state.next > self.position {
            self.position = self.state.next;
        }
        self.small = small(&self.state);
    }

    /// Messages since the last boundary.
    pub fn since(&self) -> &[Record] {
        &self.since
    }

    /// The engine's note at the last boundary.
    pub fn note(&self) -> Option<&str> {
        self.small.as_ref().map(|small| small.note.as_str())
    }

    /// Whether the state is that of a boundary beyond what is committed, so fit for a snapshot.
    pub fn is_settled(&self) -> bool {
        self.since.is_empty() && self.is_restored()
    }

    /// Whether the last snapshot is of this very state.
    pub fn has_no_news_since_snapshot(&self) -> bool {
        self.pointers.first().is_some_and(|last| last.at >= self.state.next)
    }

    /// Input up to `to` is gone; `made` says so, and a commit shall stand behind it.
    pub fn lost(&mut self, made: Made, to: i64) {
        self.ready.append(made);
        self.position = self.position.max(to);
        self.state.next = self.state.next.max(to);
    }

    pub fn ready(&self) -> &Made {
        &self.ready
    }

    /// Whether a commit would move this task, or say something of it.
    pub fn has_news(&self) -> bool {
        self.position > self.committed || !self.ready.records.is_empty()
    }

    /// Whether the engine may have its turn: it stands at a boundary, and no input that was there
    /// when the task was opened waits.
    pub fn may_turn(&self) -> bool {
        self.state.next >= self.end_at_open && self.is_settled()
    }

    /// Where the log ended when the task was opened; 0 where nothing more of that time waits.
    pub fn ended_at(&mut self, end: i64) {
        self.end_at_open = end;
    }

    /// What a turn made.
    pub fn turned(&mut self, made: Made) {
        self.ready.append(made);
    }

    /// What is to be committed, and how many skipped offsets its metadata refused.
    pub fn take_ready(&mut self) -> (Made, Committed, u64) {
        let mut metadata = Metadata::new(&self.topic_id);
        metadata.snaps.clone_from(&self.pointers);
        metadata.skip = self.state.skipped.keys().copied().collect();
        metadata.small.clone_from(&self.small);
        let (metadata, refused) = metadata.encode();
        let committed = Committed { offset: self.position, metadata };
        (std::mem::take(&mut self.ready), committed, refused)
    }

    pub fn commit_stood(&mut self) {
        self.committed = self.position;
        self.forget_skips();
    }

    /// The engine's part of a commit that stood.
    pub fn tell_stood(&mut self, begun: Duration) {
        self.state.engine.stood(begun);
    }

    pub fn point_to(&mut self, pointer: Pointer, catalog: Catalog) {
        self.pointers.insert(0, pointer);
        self.pointers.truncate(POINTERS_MAX);
        self.catalog = catalog;
        self.forget_skips();
    }

    /// No restore begins before the oldest snapshot that is pointed to (a noted state: before the
    /// committed offset), so what was skipped below is of no use any more.
    fn forget_skips(&mut self) {
        let oldest = match (&self.small, self.pointers.last()) {
            (Some(_), _) => self.committed,
            (None, Some(oldest)) if self.pointers.len() == POINTERS_MAX => oldest.at,
            (None, _) => return,
        };
        self.state.skipped.retain(|offset, _| *offset >= oldest);
    }
}

/// The whole state, where it is small.
fn small<E: Engine>(state: &TaskState<E>) -> Option<Small> {
    let note = state.engine.note()?;
    Some(Small { task: state.save(), note })
}
