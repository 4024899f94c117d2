//! The log at task level: the traits that both engines implement and the one conformance suite
//! tests. All calls block; a service gives them a thread of their own and never an async one.

use std::sync::Arc;
use std::time::Duration;

use crate::acls::{Acl, Resource};
use crate::record::{OutRecord, Record};

/// One task of a stage: one partition of its input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub topic: Arc<str>,
    pub partition: u32,
}

/// A connected log.
pub trait Log: Send + Sync {
    fn admin(&self) -> &dyn Admin;

    /// Joins the group of `stage` as `instance`, reading `inputs` (full topic names).
    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError>;

    /// An ordinary idempotent producer (ingest, snapshots, console): `acks=all`, no transaction.
    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError>;

    /// Reads partitions from given offsets, committed records only, without a group.
    fn reader(&self) -> Result<Box<dyn Reader>, LogError>;
}

/// What is known of a topic on the log.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicInfo {
    pub name: String,
    /// The log's own id: another one after the topic was deleted and made again.
    pub id: String,
    pub partitions: u32,
    /// Policies by Kafka's names: `cleanup.policy`, `retention.ms`, `min.compaction.lag.ms`, ...
    pub settings: std::collections::BTreeMap<String, String>,
}

pub trait Admin: Send + Sync {
    /// `None` where there is no such topic.
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>, LogError>;
    fn create(&self, topic: &crate::topics::TopicSpec) -> Result<(), LogError>;
    /// Changes settings (never partitions) of a topic that is there.
    fn alter(&self, topic: &crate::topics::TopicSpec) -> Result<(), LogError>;
    fn delete(&self, topic: &str) -> Result<(), LogError>;
    /// Instances now in the group of a stage (to find a name that is already taken).
    fn members(&self, stage: &str) -> Result<Vec<String>, LogError>;

    /// Every right that bears on a topic or group, those by a prefix of its name too. A log of one
    /// process has none: whoever opens it may do all.
    fn acls(&self, _resource: Resource, _name: &str) -> Result<Vec<Acl>, LogError> {
        Ok(Vec::new())
    }

    /// Gives a right. Where there is no authorizer, nothing would be refused: an error.
    fn grant(&self, acl: &Acl) -> Result<(), LogError> {
        Err(LogError::call("grant", format!("{acl}: this log asks nobody who they are")))
    }
}

/// What happened to an instance of a stage. There is never an open transaction between two calls,
/// so a revoked task is simply dropped: what was not committed is done again by its next owner.
#[derive(Debug)]
pub enum Event {
    /// These tasks are ours now. Nothing of them is delivered before `start`.
    Assigned(Vec<TaskId>),
    /// These tasks are no longer ours (moved or lost): drop their state and buffered outputs.
    Revoked(Vec<TaskId>),
    /// The next record of an assigned task, in offset order within the task.
    Record(Record),
    /// Nothing within the timeout.
    Idle,
}

/// Where a task stands: the next offset to read, and the stage's note beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    pub offset: i64,
    pub metadata: String,
}

/// One atomic step of one or more tasks: outputs and dead letters, and where each task stands then.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub outputs: Vec<OutRecord>,
    pub positions: Vec<(TaskId, Committed)>,
}

/// An instance's part of a stage: its tasks, their input and their commits.
pub trait Tasks: Send {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError>;
    /// The stable committed position (waits out a predecessor's open transaction); `None` at first.
    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError>;
    /// First offset on the log and the offset after the last committed record of a task.
    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError>;
    /// From now on `next` delivers this task's records from `offset` on. Also rewinds. An offset
    /// below the log's start is `LogError::Truncated`, never a silent jump.
    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError>;
    /// Stops and resumes delivery of one task (back-pressure); the group membership goes on.
    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError>;
    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError>;
    /// Leaves the group; returns within `deadline` whatever the log does.
    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    Yes,
    No,
}

/// How a commit failed. In every case but `Fenced` the instance goes on, after it has restored its
/// tasks from their committed positions.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it is on the log; committed positions are as before.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// Not known whether it is on the log. The producer was destroyed and made again, which fences
    /// what was in flight: committed positions tell what happened.
    #[error("the transaction's end is not known: {0}")]
    Indeterminate(String),
    /// Another process has our name. Exit, do not retry.
    #[error("fenced by another instance: {0}")]
    Fenced(String),
    #[error(transparent)]
    Log(#[from] LogError),
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{call} failed: {reason}")]
    Call { call: &'static str, reason: String },
    #[error("{call} took longer than {limit:?}")]
    Timeout { call: &'static str, limit: Duration },
    #[error("topic {topic} partition {partition} starts at offset {start}, {wanted} is gone")]
    Truncated { topic: String, partition: u32, wanted: i64, start: i64 },
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// Only in tests: the scripted crash point was reached.
    #[error("crash point {0}")]
    CrashPoint(u64),
}

impl LogError {
    /// A call that failed, with the reason as text.
    pub fn call(call: &'static str, reason: impl std::fmt::Display) -> LogError {
        LogError::Call { call, reason: reason.to_string() }
    }
}

/// The fate of one sent record. `ticket` is what `send` returned.
#[derive(Debug)]
pub struct Delivery {
    pub ticket: u64,
    /// The offset, or why the record is not on the log (after all retries).
    pub result: Result<i64, String>,
    pub record: OutRecord,
}

pub trait Producer: Send {
    /// Queues a record. `Ok(None)`: the queue is full, the record was not taken; poll and try
    /// again.
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError>;
    /// Delivery reports that came within `timeout` (returns at once when there are some).
    fn poll(&mut self, timeout: Duration) -> Vec<Delivery>;
    fn in_flight(&self) -> usize;
}

#[derive(Debug)]
pub enum ReadEvent {
    Record(Record),
    /// Everything that was committed on this partition so far has been delivered.
    End {
        topic: Arc<str>,
        partition: u32,
        next: i64,
    },
    Idle,
}

pub trait Reader: Send {
    /// Replaces what is read: (topic, partition, first offset).
    fn assign(&mut self, from: &[(String, u32, i64)]) -> Result<(), LogError>;
    fn poll(&mut self, timeout: Duration) -> Result<ReadEvent, LogError>;
    fn range(&mut self, topic: &str, partition: u32) -> Result<(i64, i64), LogError>;
    /// The first offset whose record timestamp is at or after `timestamp_ms`; the end if none is.
    fn offset_at(
        &mut self,
        topic: &str,
        partition: u32,
        timestamp_ms: i64,
    ) -> Result<i64, LogError>;
}

/// Every partition of a topic with its first offset on the log, as `Reader::assign` takes them.
pub fn from_start(
    log: &dyn Log,
    reader: &mut dyn Reader,
    topic: &str,
) -> Result<Vec<(String, u32, i64)>, LogError> {
    let info = log.admin().describe(topic)?;
    let partitions = info.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?.partitions;
    let first = |partition| Ok((topic.to_owned(), partition, reader.range(topic, partition)?.0));
    (0..partitions).map(first).collect()
}
