//! An instance's tasks on the embedded log: membership, delivery from where it was started, and
//! commits through the writer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::groups::{Hold, Step};
use super::reader::{FETCH, check_offset, truncated};
use super::shared::{State, TopicState};
use super::store::{self, signed};
use super::writer::{Core, Member, Request, closed};
use crate::log::{CommitError, Committed, Event, LogError, Paused, TaskId, Tasks, Transaction};
use crate::record::Record;

pub struct EmbeddedTasks {
    core: Arc<Core>,
    member: Member,
    running: BTreeMap<TaskId, Running>,
    /// Fetched records of one task, the next to be delivered first.
    buffer: VecDeque<Record>,
    /// The task that was fetched last: the next one's turn is after it.
    last: Option<TaskId>,
    evicted: bool,
}

/// A task that was started.
struct Running {
    topic: Arc<TopicState>,
    /// The next offset to deliver.
    next: u64,
    paused: Paused,
}

// === impl EmbeddedTasks ===

impl EmbeddedTasks {
    pub fn join(
        core: &Arc<Core>,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<EmbeddedTasks, LogError> {
        let mut state = core.shared.state();
        for input in inputs {
            state.topic(input)?;
        }
        state.next_member += 1;
        let id = state.next_member;
        state.groups.entry(stage.to_owned()).or_default().join(id, instance, inputs);
        state.rebalance(stage);
        drop(state);
        core.shared.notify();
        let member = Member { stage: stage.to_owned(), id, instance: instance.to_owned() };
        let (running, buffer) = (BTreeMap::new(), VecDeque::new());
        let core = Arc::clone(core);
        Ok(EmbeddedTasks { core, member, running, buffer, last: None, evicted: false })
    }

    /// What the group wants of us, if anything.
    fn membership(&mut self, state: &mut State) -> Result<Option<Event>, LogError> {
        let group = state.groups.get_mut(&self.member.stage);
        match group.map_or(Step::Evicted, |group| group.step(self.member.id)) {
            Step::Nothing => Ok(None),
            Step::Assigned(tasks) => Ok(Some(Event::Assigned(tasks))),
            Step::Revoked(tasks) => {
                for task in &tasks {
                    self.running.remove(task);
                    self.forget_buffered(task);
                }
                self.core.shared.notify();
                Ok(Some(Event::Revoked(tasks)))
            }
            Step::Evicted if !self.evicted => {
                self.evicted = true;
                self.buffer.clear();
                let tasks = std::mem::take(&mut self.running).into_keys().collect();
                Ok(Some(Event::Revoked(tasks)))
            }
            Step::Evicted => {
                let name = &self.member.instance;
                let reason = format!("another member joined as {name}, which ends this one");
                Err(LogError::Call { call: "next", reason })
            }
        }
    }

    fn deliver(&mut self) -> Option<Event> {
        let record = self.buffer.pop_front()?;
        let task = TaskId { topic: Arc::clone(&record.topic), partition: record.partition };
        if let Some(running) = self.running.get_mut(&task) {
            running.next = record.offset as u64 + 1;
        }
        Some(Event::Record(record))
    }

    /// Fills the empty buffer from the next task that has records, the tasks in turn.
    fn fetch(&mut self) -> Result<(), LogError> {
        let after = self.last.clone();
        let (mut later, mut first) = (None, None);
        for (task, running) in &self.running {
            let (start, end) = self.bounds(running, task)?;
            if running.paused == Paused::Yes || running.next >= end {
                continue;
            }
            if running.next < start {
                return Err(truncated(&task.topic, task.partition, running.next, start));
            }
            if first.is_none() {
                first = Some(task.clone());
            }
            if later.is_none() && after.as_ref().is_none_or(|after| task > after) {
                later = Some(task.clone());
            }
        }
        let Some(task) = later.or(first) else {
            return Ok(());
        };
        if let Some(running) = self.running.get_mut(&task) {
            let (db, topic) = (&self.core.shared.db, &running.topic.topic);
            let found = store::fetch(db, topic, task.partition, running.next, FETCH)?;
            if found.is_empty() {
                // All up to the end was compacted away.
                let state = self.core.shared.state();
                running.next = state.end(topic.number, task.partition).unwrap_or(running.next);
            }
            self.buffer.extend(found);
        }
        self.last = Some(task);
        Ok(())
    }

    fn bounds(&self, running: &Running, task: &TaskId) -> Result<(u64, u64), LogError> {
        let place = (running.topic.topic.number, task.partition);
        let state = self.core.shared.state();
        let part = state.parts.get(&place);
        part.map(|part| (part.start, part.end))
            .ok_or_else(|| LogError::NoTopic(task.topic.to_string()))
    }

    /// Whether any running task has records that are not delivered (or is gone, which is news too).
    fn has_news(&self, state: &State) -> bool {
        self.running.iter().any(|(task, running)| {
            let end = state.end(running.topic.topic.number, task.partition);
            running.paused == Paused::No && end.is_none_or(|end| end > running.next)
        })
    }

    fn forget_buffered(&mut self, task: &TaskId) {
        let of =
            |record: &Record| record.partition == task.partition && *record.topic == *task.topic;
        self.buffer.retain(|record| !of(record));
    }

    fn owned<'a>(&self, state: &MutexGuard<'a, State>, task: &TaskId) -> Result<(), LogError> {
        let group = state.groups.get(&self.member.stage);
        match group.map_or(Hold::NotMember, |group| group.hold(self.member.id, task)) {
            Hold::Owner => Ok(()),
            _ => Err(LogError::Call {
                call: "task",
                reason: format!("task {}/{} is not ours", task.topic, task.partition),
            }),
        }
    }

    fn quit(&mut self) {
        let mut state = self.core.shared.state();
        if let Some(group) = state.groups.get_mut(&self.member.stage) {
            group.leave(self.member.id);
        }
        state.rebalance(&self.member.stage);
        drop(state);
        self.core.shared.notify();
    }
}

impl Tasks for EmbeddedTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        let deadline = Instant::now() + timeout;
        let core = Arc::clone(&self.core);
        loop {
            let event = self.membership(&mut core.shared.state())?;
            if let Some(event) = event.or_else(|| self.deliver()) {
                return Ok(event);
            }
            self.fetch()?;
            if !self.buffer.is_empty() {
                continue;
            }
            let mut state = core.shared.state();
            while !self.has_news(&state) {
                if Instant::now() >= deadline {
                    return Ok(Event::Idle);
                }
                state = core.shared.wait(state, deadline);
                if let Some(event) = self.membership(&mut state)? {
                    return Ok(event);
                }
            }
        }
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        let (answer, answered) = sync_channel(1);
        let (stage, task) = (self.member.stage.clone(), task.clone());
        self.core.submit(Request::Committed { stage, task, answer })?;
        answered.recv().map_err(|_| closed())?
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        let state = self.core.shared.state();
        let (_, part) = state.part(&task.topic, task.partition)?;
        Ok((signed(part.start), signed(part.end)))
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        let (topic, next) = {
            let state = self.core.shared.state();
            self.owned(&state, task)?;
            let (topic, part) = state.part(&task.topic, task.partition)?;
            (topic, check_offset(&task.topic, task.partition, offset, part)?)
        };
        self.forget_buffered(task);
        self.running.insert(task.clone(), Running { topic, next, paused: Paused::No });
        Ok(())
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        match self.running.get_mut(task) {
            Some(running) => running.paused = paused,
            None => {
                let reason = format!("task {}/{} was not started", task.topic, task.partition);
                return Err(LogError::Call { call: "pause", reason });
            }
        }
        self.forget_buffered(task);
        Ok(())
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let (answer, answered) = sync_channel(1);
        let member = self.member.clone();
        self.core.submit(Request::Commit { member, transaction, answer })?;
        answered.recv().map_err(|_| CommitError::Log(closed()))?
    }

    fn leave(self: Box<Self>, _deadline: Duration) -> Result<(), LogError> {
        // Leaving is a matter of this process's memory: `drop` does it at once.
        drop(self);
        Ok(())
    }
}

impl Drop for EmbeddedTasks {
    fn drop(&mut self) {
        self.quit();
    }
}
