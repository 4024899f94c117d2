//! The loop of one instance of a stage (DESIGN §4): messages in, one transaction out every 200 ms.
//! It blocks, so it has a thread of its own. Opening tasks is left to `open`, what a message does
//! to a task to `state`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{CommitError, Event, Log, LogError, Record, TaskId, Tasks, Transaction};

use super::breaker::Breaker;
use super::engine::{Engine, Stage};
use super::lost;
use super::metadata::METADATA_BYTES_MAX;
use super::metrics::{self, Tally};
use super::open::{Opener, is_crash};
use super::options::{LoopError, LoopOptions, LoopReport};
use super::outputs::Count;
use super::running::Running;
use super::setup::{Setup, wait_for_name};
use super::snapshot::Snapshots;
use super::state::{Keep, Taken};
use super::watch::{Heard, Watch};
use super::writers::Changes;
use crate::admin::Condition;
use crate::shutdown::Shutdown;

/// Runs a stage until the shutdown is requested or it cannot go on. Blocks.
pub fn run<S: Stage>(
    log: Arc<dyn Log>,
    stage: S,
    options: LoopOptions,
    shutdown: &Shutdown,
) -> Result<LoopReport, LoopError> {
    let setup = Setup::new(&*log, &stage, &options)?;
    wait_for_name(&*log, &stage, &options, shutdown)?;
    let inputs: Vec<String> = setup.inputs.keys().cloned().collect();
    let tasks = log.join(stage.name(), &options.instance, &inputs)?;
    let snapshots = match stage.snapshots() {
        true => Some(Snapshots::new(
            &setup.stamper,
            setup.snapshot_partitions,
            options.snapshots.clone(),
            log.producer(stage.name(), &options.instance)?,
        )),
        false => None,
    };
    let running = BTreeMap::new();
    let mut this = Loop {
        log: &*log,
        stage: &stage,
        setup: &setup,
        options: &options,
        shutdown,
        tasks,
        running,
        sides: BTreeMap::new(),
        snapshots,
        dirty_since: None,
        failures: 0,
        silences: 0,
        watch: Watch::default(),
        topics_seen: options.clock.now(),
        ready: options.ready.clone(),
        has_joined: false,
        restored: None,
        tally: Tally::default(),
        report: LoopReport::default(),
    };
    let result = this.turn();
    this.tally.record(stage.name());
    let Loop { tasks, report, .. } = this;
    match result {
        Err(LoopError::Log(error)) if is_crash(&error) => return Err(error.into()),
        result => {
            // The group learns of it sooner; what it answers changes nothing any more.
            let left = tasks.leave(options.leave);
            result?;
            left?;
        }
    }
    Ok(report)
}

pub(super) struct Loop<'a, S: Stage> {
    pub(super) log: &'a dyn Log,
    stage: &'a S,
    pub(super) setup: &'a Setup,
    pub(super) options: &'a LoopOptions,
    shutdown: &'a Shutdown,
    pub(super) tasks: Box<dyn Tasks>,
    pub(super) running: BTreeMap<TaskId, Running<S::Engine>>,
    /// Every assigned task, whether it is open or not.
    pub(super) sides: BTreeMap<TaskId, Side>,
    pub(super) snapshots: Option<Snapshots>,
    /// When the first message after the last commit was taken.
    dirty_since: Option<Duration>,
    /// Commits that failed in a row.
    failures: u32,
    /// Calls for a message that failed in a row.
    silences: u32,
    pub(super) watch: Watch,
    /// When the topics were last seen to be those of the setup.
    pub(super) topics_seen: Duration,
    /// Who is to be told that all tasks are restored, until that has been told.
    pub(super) ready: Option<Condition>,
    pub(super) has_joined: bool,
    /// Tasks restored, of how many: as it was last told.
    pub(super) restored: Option<(usize, usize)>,
    pub(super) tally: Tally,
    pub(super) report: LoopReport,
}

/// What of a task outlives its state.
#[derive(Default)]
pub(super) struct Side {
    /// The end of its input up to which another reader found nothing either.
    pub(super) empty_to: Option<i64>,
    breaker: Breaker,
    skipped: BTreeMap<i64, String>,
    /// When to try to open it, if it is not.
    open_at: Option<Duration>,
    attempts: u32,
}

/// Whether more input waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    Perhaps,
}

/// Between two attempts to take over a task.
const OPEN_AGAIN: Duration = Duration::from_millis(200);
/// After failed commits in a row the loop waits twice as long each time, up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Calls for a message that may fail in a row.
const SILENCES_MAX: u32 = 20;
/// How long no more input must come before what is wanted soon is committed: what came together is
/// committed together.
const SOON: Duration = Duration::from_millis(2);
/// How long a call for messages may wait while a snapshot's deliveries are due.
const SNAPSHOT_POLL: Duration = Duration::from_millis(5);

// === impl Loop ===

impl<S: Stage> Loop<'_, S> {
    fn turn(&mut self) -> Result<(), LoopError> {
        while !self.shutdown.requested() {
            let mut more = More::Perhaps;
            match self.tasks.next(self.patience()) {
                Ok(event) => {
                    self.silences = 0;
                    if matches!(event, Event::Idle) {
                        more = More::None;
                    }
                    self.event(event)?;
                }
                Err(LogError::Truncated { topic, partition, .. }) => {
                    self.same_topics()?;
                    // Retention was faster than we: opening the task again counts what is lost.
                    let task = TaskId { topic: Arc::from(topic), partition };
                    self.open(&task)?;
                }
                Err(error) if is_crash(&error) || self.silences >= SILENCES_MAX => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!(%error, "the log does not answer, trying again");
                    self.silences += 1;
                    self.options.clock.wait(OPEN_AGAIN, self.shutdown);
                    self.same_topics()?;
                    // The log may have stopped a task of ours, and does not say which.
                    self.open_all()?;
                }
            }
            self.open_due()?;
            self.turns()?;
            self.snapshot_due()?;
            if more == More::None {
                self.watch()?;
            }
            self.same_topics_if_due()?;
            self.tell_ready();
            if self.is_commit_due(more) {
                self.commit()?;
            }
        }
        self.commit()
    }

    fn event(&mut self, event: Event) -> Result<(), LoopError> {
        match event {
            Event::Record(record) => self.record(&record),
            Event::Idle => Ok(()),
            Event::Assigned(tasks) => {
                // A group loses its tasks with a topic, and is given those of the one made again.
                self.same_topics()?;
                self.has_joined = true;
                for task in &tasks {
                    self.sides.insert(task.clone(), Side::default());
                    self.open(task)?;
                }
                Ok(())
            }
            Event::Revoked(tasks) => {
                for task in &tasks {
                    self.close(task);
                    self.sides.remove(task);
                }
                Ok(())
            }
        }
    }

    /// How long the next message may be waited for.
    fn patience(&self) -> Duration {
        let now = self.options.clock.now();
        let commit = self
            .dirty_since
            .map(|since| self.options.commit_interval.saturating_sub(now.saturating_sub(since)));
        let snapshot = self.snapshots.as_ref().filter(|s| !s.is_idle()).map(|_| SNAPSHOT_POLL);
        let soon = self.running.values().any(|running| running.ready().soon).then_some(SOON);
        let turns = self.stage.turns();
        let waits = [Some(self.options.poll), commit, snapshot, soon, turns];
        waits.into_iter().flatten().min().unwrap_or(self.options.poll)
    }

    // --- tasks

    fn close(&mut self, task: &TaskId) {
        self.running.remove(task);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.forget(task);
        }
    }

    /// Opens an assigned task, or sees to it that it is tried again.
    pub(super) fn open(&mut self, task: &TaskId) -> Result<(), LoopError> {
        self.close(task);
        let Some(side) = self.sides.get_mut(task) else {
            return Ok(());
        };
        let opener =
            Opener { log: self.log, stage: self.stage, setup: self.setup, options: self.options };
        let opened = opener.open(self.tasks.as_mut(), task, &side.skipped, &mut self.tally);
        self.watch.polling_since = self.options.clock.now();
        match opened {
            Ok(opened) => {
                tracing::debug!(topic = %task.topic, partition = task.partition, from = opened.from,
                    committed = opened.running.committed, "a task is ours");
                (side.open_at, side.attempts) = (None, 0);
                self.report.restores += 1;
                let mut running = opened.running;
                running.snapshot_at = self.first_snapshot(task);
                running.heard = Heard::now(self.options.clock.now());
                if let Some((from, to)) = opened.lost {
                    self.lost(&mut running, from, to);
                }
                self.running.insert(task.clone(), running);
                Ok(())
            }
            Err(LoopError::Log(error)) if !is_crash(&error) => {
                side.attempts += 1;
                self.tally.add(metrics::OPENS_FAILED, "", "", 1);
                if side.attempts > self.options.opens_max {
                    let (topic, partition) = (task.topic.to_string(), task.partition);
                    let (attempts, reason) = (side.attempts, error.to_string());
                    return Err(LoopError::Open { topic, partition, attempts, reason });
                }
                tracing::warn!(topic = %task.topic, partition = task.partition, %error,
                    "failed to take a task over, trying again");
                side.open_at = Some(self.options.clock.now() + OPEN_AGAIN);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn open_all(&mut self) -> Result<(), LoopError> {
        let tasks: Vec<TaskId> = self.sides.keys().cloned().collect();
        tasks.iter().try_for_each(|task| self.open(task))
    }

    fn open_due(&mut self) -> Result<(), LoopError> {
        if self.sides.values().all(|side| side.open_at.is_none()) {
            return Ok(());
        }
        let now = self.options.clock.now();
        let is_due = |side: &Side| side.open_at.is_some_and(|at| at <= now);
        let due = self.sides.iter().filter(|(_, side)| is_due(side));
        let due: Vec<TaskId> = due.map(|(task, _)| task.clone()).collect();
        due.iter().try_for_each(|task| self.open(task))
    }

    /// Input that retention took before it was read: counted, and told on the events topic under
    /// the name of the last message that is lost.
    fn lost(&mut self, running: &mut Running<S::Engine>, from: i64, to: i64) {
        self.tally.add(metrics::LOST, "topic", &running.state.id.topic, to.abs_diff(from));
        let id = &running.state.id;
        tracing::error!(topic = %id.topic, partition = id.partition, from, to,
            "retention took input before it was read: it is lost for this stage");
        let event = self
            .options
            .events_topic
            .as_ref()
            .and_then(|topic| lost::event(topic, id, (from, to), self.options.clock.wall_ms()));
        if let Some(event) = event {
            let made = running.state.say(to - 1, event);
            running.lost(made, to);
            self.dirty_since = Some(self.options.clock.now());
        }
    }

    // --- messages

    fn record(&mut self, record: &Record) -> Result<(), LoopError> {
        let task = TaskId { topic: Arc::clone(&record.topic), partition: record.partition };
        let Some(running) = self.running.get_mut(&task) else {
            return Ok(());
        };
        if record.offset < running.state.next {
            return Ok(());
        }
        running.heard = Heard::now(self.options.clock.now());
        let keep = running.keep(record.offset);
        running.remember(record);
        let taken = running.state.take(record, keep);
        let dead = match taken {
            Taken::Panicked(text) => return self.panicked(&task, record.offset, &text),
            Taken::Duplicate if keep == Keep::Nothing => false,
            Taken::Duplicate => {
                self.tally.add(metrics::DUPLICATES, "topic", &task.topic, 1);
                self.report.duplicates += 1;
                false
            }
            Taken::Made(made, changes) => {
                let dead = made.is_dead();
                if keep == Keep::Outputs {
                    count_changes(&mut self.tally, &task, changes);
                }
                running.made(made);
                dead
            }
        };
        running.settle();
        if keep == Keep::Nothing {
            return Ok(());
        }
        self.report.messages += 1;
        self.tally.add(metrics::MESSAGES, "topic", &task.topic, 1);
        let bytes = record.payload.as_ref().map_or(0, |payload| payload.len() as u64);
        self.tally.add(metrics::BYTES, "topic", &task.topic, bytes);
        if self.dirty_since.is_none() {
            self.dirty_since = Some(self.options.clock.now());
        }
        self.judge(&task, record, dead)
    }

    fn judge(&mut self, task: &TaskId, record: &Record, dead: bool) -> Result<(), LoopError> {
        let Some(side) = self.sides.get_mut(task) else {
            return Ok(());
        };
        let options = &self.options.breaker;
        match side.breaker.judge(record.offset, record.timestamp_ms, dead, options) {
            None => Ok(()),
            Some((dead, messages)) => Err(LoopError::Breaker {
                topic: task.topic.to_string(),
                partition: task.partition,
                dead,
                messages,
            }),
        }
    }

    /// Finds the message at fault, and begins the task again without it.
    fn panicked(&mut self, task: &TaskId, offset: i64, text: &str) -> Result<(), LoopError> {
        tracing::error!(topic = %task.topic, partition = task.partition, offset, panic = text,
            "an engine panicked: its task is restored, and the message goes to the dead letters");
        self.tally.add(metrics::PANICS, "topic", &task.topic, 1);
        self.report.panics += 1;
        if let (Some(running), Some(side)) = (self.running.get(task), self.sides.get_mut(task)) {
            let (stage, note) = (self.stage, running.note().map(str::to_owned));
            let mut at_boundary = || {
                let mut engine = stage.engine(task);
                let restored = note.as_ref().map(|note| engine.restore_note(note));
                if let Some(Err(error)) = restored {
                    tracing::warn!(%error, "an engine does not take its own note");
                }
                engine
            };
            let culprits = running.state.culprits(running.since(), &mut at_boundary);
            side.skipped.extend(culprits.into_iter().map(|offset| (offset, text.to_owned())));
        }
        self.open(task)
    }

    /// Engines with inputs of their own have their turns.
    fn turns(&mut self) -> Result<(), LoopError> {
        if self.stage.turns().is_none() {
            return Ok(());
        }
        for (task, running) in self.running.iter_mut().filter(|(_, r)| r.may_turn()) {
            let made = running.state.turn().map_err(|reason| LoopError::Turn {
                topic: task.topic.to_string(),
                partition: task.partition,
                reason,
            })?;
            if !made.records.is_empty() && self.dirty_since.is_none() {
                self.dirty_since = Some(self.options.clock.now());
            }
            running.turned(made);
        }
        Ok(())
    }

    // --- commits

    fn is_commit_due(&self, more: More) -> bool {
        let Some(since) = self.dirty_since else {
            return false;
        };
        let ready = || self.running.values().map(Running::ready);
        ready().any(|made| made.urgent || (made.soon && more == More::None))
            || ready().map(|made| made.bytes).sum::<usize>() >= self.options.commit_bytes_max
            || self.options.clock.now().saturating_sub(since) >= self.options.commit_interval
    }

    fn commit(&mut self) -> Result<(), LoopError> {
        self.dirty_since = None;
        let mut transaction = Transaction::default();
        let (mut counts, mut stats) = (Vec::new(), Stats::default());
        for (task, running) in self.running.iter_mut().filter(|(_, r)| r.has_news()) {
            let (made, committed, refused) = running.take_ready();
            if committed.metadata.len() > METADATA_BYTES_MAX {
                let (topic, partition) = (task.topic.to_string(), task.partition);
                let bytes = committed.metadata.len();
                return Err(LoopError::MetadataTooLarge { topic, partition, bytes });
            }
            self.tally.add(metrics::SKIPS_REFUSED, "", "", refused);
            stats.add(&made);
            transaction.outputs.extend(made.records);
            transaction.positions.push((task.clone(), committed));
            counts.extend(made.counts);
        }
        if transaction.positions.is_empty() {
            return Ok(());
        }
        let moved: Vec<TaskId> =
            transaction.positions.iter().map(|(task, _)| task.clone()).collect();
        let begun = self.options.clock.now();
        let result = self.tasks.commit(transaction);
        match result {
            Ok(()) => {
                let took = self.options.clock.now().saturating_sub(begun);
                self.stood(&moved, counts, &stats, took);
                self.tell_stood(&moved, begun);
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    fn stood(&mut self, moved: &[TaskId], counts: Vec<Count>, stats: &Stats, took: Duration) {
        self.failures = 0;
        for task in moved {
            if let Some(running) = self.running.get_mut(task) {
                running.commit_stood();
                watermark_gauge(self.stage.name(), task, running);
            }
        }
        self.report.commits += 1;
        self.report.outputs += stats.outputs;
        self.report.dead_letters += stats.dead.values().sum::<u64>();
        self.tally.add(metrics::COMMITS, "result", "done", 1);
        self.tally.add(metrics::OUTPUTS, "", "", stats.outputs);
        self.tally.add(metrics::OUTPUT_BYTES, "", "", stats.bytes);
        self.tally.add(metrics::LATE, "", "", stats.late);
        for (reason, step) in &stats.dead {
            self.tally.add(metrics::DEAD_LETTERS, "reason", reason, *step);
        }
        self.tally.record(self.stage.name());
        record_counts(counts);
        let stage = self.stage.name().to_owned();
        ::metrics::histogram!(metrics::COMMIT_SECONDS, "stage" => stage).record(took.as_secs_f64());
    }

    /// What the engines wait for before they let anything happen.
    fn tell_stood(&mut self, moved: &[TaskId], begun: Duration) {
        for task in moved {
            if let Some(running) = self.running.get_mut(task) {
                running.tell_stood(begun);
            }
        }
    }

    /// Every task begins again from what is committed, whatever became of the transaction.
    fn failed(&mut self, error: CommitError) -> Result<(), LoopError> {
        let result = match &error {
            CommitError::Fenced(_) => "fenced",
            CommitError::Aborted(_) => "aborted",
            CommitError::Indeterminate(_) => "indeterminate",
            CommitError::Log(_) => "failed",
        };
        self.tally.add(metrics::COMMITS, "result", result, 1);
        self.report.commits_failed += 1;
        let error = match error {
            CommitError::Fenced(reason) => return Err(LoopError::Fenced(reason)),
            CommitError::Log(log) if is_crash(&log) => return Err(log.into()),
            error => error,
        };
        tracing::warn!(%error, "a commit failed: all tasks are restored from what is committed");
        if self.failures > 0 {
            let backoff = Duration::from_millis(50) * 2_u32.pow(self.failures.min(6));
            self.options.clock.wait(backoff.min(BACKOFF_MAX), self.shutdown);
        }
        self.failures += 1;
        self.open_all()
    }
}

/// What a commit holds, to be counted when it stands.
#[derive(Default)]
struct Stats {
    outputs: u64,
    bytes: u64,
    late: u64,
    dead: BTreeMap<&'static str, u64>,
}

// === impl Stats ===

impl Stats {
    fn add(&mut self, made: &super::stamp::Made) {
        self.outputs += made.records.len() as u64;
        self.bytes += made.bytes as u64;
        self.late += made.rows_late;
        for reason in &made.dead {
            *self.dead.entry(reason).or_default() += 1;
        }
    }
}

fn record_counts(counts: Vec<Count>) {
    for count in counts {
        let labels: Vec<::metrics::Label> = count
            .labels
            .into_iter()
            .map(|(name, value)| ::metrics::Label::new(name, value))
            .collect();
        ::metrics::counter!(count.metric, labels).increment(count.step);
    }
}

fn count_changes(tally: &mut Tally, task: &TaskId, changes: Changes) {
    let steps = [
        (metrics::WRITERS_LEFT_OUT, changes.left_out),
        (metrics::WRITERS_EVICTED, changes.evicted),
        (metrics::WRITERS_REFUSED, changes.refused),
    ];
    for (metric, step) in steps {
        tally.add(metric, "topic", &task.topic, u64::from(step));
    }
}

fn watermark_gauge<E: Engine>(stage: &str, task: &TaskId, running: &Running<E>) {
    if let Some(wm) = running.state.writers.watermarks().least() {
        let (stage, topic) = (stage.to_owned(), task.topic.to_string());
        let partition = task.partition.to_string();
        let gauge = ::metrics::gauge!(metrics::WATERMARK,
            "stage" => stage, "topic" => topic, "partition" => partition);
        gauge.set(wm as f64 / 1_000.0);
    }
}
