//! One transaction of the store: requests applied in their order. What is refused is refused before
//! any of it is written, because its neighbours go on.

use std::collections::BTreeMap;

use redb::WriteTransaction;

use super::clean;
use super::groups::Hold;
use super::shared::{Position, Shared, State, TopicState};
use super::store::{Failure, Part, Tables, signed};
use super::writer::{Member, Reply, Request};
use crate::RECORD_BYTES_MAX;
use crate::log::{CommitError, Delivery, LogError, Transaction};
use crate::metrics as names;
use crate::record::OutRecord;

type Parts = BTreeMap<(u32, u32), Part>;

/// What a committed batch changes in the shared view.
pub struct Changes {
    pub parts: Parts,
    pub positions: BTreeMap<Position, i64>,
    pub full: bool,
}

pub struct Batch<'a> {
    shared: &'a Shared,
    tables: Tables<'a>,
    /// Partitions that this batch has touched.
    parts: Parts,
    /// Positions that this batch has set.
    moved: BTreeMap<Position, i64>,
    /// The first failure of the store: nothing of the batch may be committed then.
    failed: Option<Failure>,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    pub fn open(shared: &'a Shared, txn: &'a WriteTransaction) -> Result<Batch<'a>, Failure> {
        let tables = Tables::open(txn)?;
        Ok(Batch { shared, tables, parts: Parts::new(), moved: BTreeMap::new(), failed: None })
    }

    pub fn apply(&mut self, request: Request) -> Reply {
        match request {
            Request::Produce { record, ticket, reports } => {
                let result = self.produce(&record).map_err(|e| e.to_string());
                Reply::Produced { delivery: Delivery { ticket, result, record }, reports }
            }
            Request::Commit { member, transaction, answer } => {
                Reply::Committed { result: self.commit(&member, &transaction), answer }
            }
            Request::Committed { stage, task, answer } => {
                let found = self.tables.position(&stage, &task.topic, task.partition);
                let result = found.map_err(|e| LogError::call("committed", e));
                Reply::Position { result, answer }
            }
            // The writer runs these alone.
            Request::Admin { .. } => Reply::Done,
        }
    }

    /// Cleans up behind what was appended and stores where the touched partitions stand; `None`
    /// where nothing was written.
    pub fn finish(mut self) -> Result<Option<Changes>, Failure> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        if self.parts.is_empty() && self.moved.is_empty() {
            return Ok(None);
        }
        let mut parts = std::mem::take(&mut self.parts);
        self.clean(&mut parts)?;
        let full = self.limit(&mut parts)?;
        for ((topic, partition), part) in &parts {
            self.tables.put_part(*topic, *partition, part)?;
        }
        Ok(Some(Changes { parts, positions: self.moved, full }))
    }

    fn produce(&mut self, record: &OutRecord) -> Result<i64, LogError> {
        let topic = check(&self.shared.state(), record)?;
        self.append(&topic, record).map_err(|e| self.fail("send", e))
    }

    fn commit(&mut self, member: &Member, wanted: &Transaction) -> Result<(), CommitError> {
        let topics = {
            let state = self.shared.state();
            fence(&state, member, wanted)?;
            let known = wanted.outputs.iter().map(|record| check(&state, record));
            let aborted = |e: LogError| CommitError::Aborted(e.to_string());
            known.collect::<Result<Vec<_>, _>>().map_err(aborted)?
        };
        for (topic, record) in topics.iter().zip(&wanted.outputs) {
            self.append(topic, record).map_err(|e| self.fail("commit", e))?;
        }
        for (task, to) in &wanted.positions {
            let (topic, partition) = (&*task.topic, task.partition);
            let place = (member.stage.clone(), topic.to_owned(), partition);
            self.moved.insert(place, to.offset);
            let set = self.tables.set_position(&member.stage, topic, partition, to);
            set.map_err(|e| self.fail("commit", e))?;
        }
        Ok(())
    }

    fn append(&mut self, topic: &TopicState, record: &OutRecord) -> Result<i64, Failure> {
        let place = (topic.topic.number, record.partition);
        let part = self
            .parts
            .entry(place)
            .or_insert_with(|| self.shared.state().parts.get(&place).cloned().unwrap_or_default());
        let offset = self.tables.append(place.0, part, record)?;
        if topic.policy.compacted {
            clean::supersede(&mut self.tables, &topic.topic, &topic.policy, record, offset)?;
        }
        Ok(signed(offset))
    }

    /// Notes that the store failed; says so to who asked.
    fn fail(&mut self, call: &'static str, failure: Failure) -> LogError {
        let error = LogError::call(call, &failure);
        self.failed.get_or_insert(failure);
        error
    }

    fn clean(&mut self, parts: &mut Parts) -> Result<(), Failure> {
        let topics = self.topics();
        for ((number, partition), part) in parts.iter_mut() {
            let Some(topic) = topics.get(number) else {
                continue;
            };
            let (topic, policy) = (&topic.topic, &topic.policy);
            if policy.compacted {
                clean::compact(&mut self.tables, topic, *partition, part)?;
            }
            let dropped = clean::retain(&mut self.tables, topic, policy, *partition, part)?;
            if dropped > 0 {
                metrics::counter!(names::CHUNKS_DROPPED, "reason" => "retention")
                    .increment(dropped);
            }
        }
        Ok(())
    }

    /// Drops the oldest chunks of the largest partitions while the log is over its size, of
    /// compacted topics the oldest superseded records, but nothing that a stage has yet to commit;
    /// whether it is over its size still.
    fn limit(&mut self, parts: &mut Parts) -> Result<bool, Failure> {
        let limit = self.shared.settings.bytes_max;
        if limit == 0 {
            return Ok(false);
        }
        let topics = self.topics();
        let mut all = self.shared.state().parts.clone();
        all.extend(parts.iter().map(|(place, part)| (*place, part.clone())));
        let mut bytes: u64 = all.values().map(|part| part.bytes).sum();
        all.retain(|(number, _), _| topics.contains_key(number));
        while bytes > limit {
            let Some((place, part)) = all.iter_mut().max_by_key(|(_, part)| part.bytes) else {
                return Ok(true);
            };
            let (place, topic, before) = (*place, &topics[&place.0], part.bytes);
            if !self.make_room(topic, place.1, part)? {
                all.remove(&place);
                continue;
            }
            bytes = bytes.saturating_sub(before.saturating_sub(part.bytes));
            parts.insert(place, part.clone());
        }
        Ok(false)
    }

    /// Drops the oldest of a partition that no stage needs; whether there was any.
    fn make_room(
        &mut self,
        topic: &TopicState,
        partition: u32,
        part: &mut Part,
    ) -> Result<bool, Failure> {
        let needed = self.needed(&topic.topic.name, partition);
        let (tables, policy, topic) = (&mut self.tables, &topic.policy, &topic.topic);
        if policy.compacted {
            let gone = clean::squeeze(tables, topic, partition, part, needed)?;
            metrics::counter!(names::SUPERSEDED_DROPPED).increment(gone);
            return Ok(gone > 0);
        }
        let end = clean::oldest_end(tables, topic.number, partition, part)?;
        if end.is_none_or(|end| end > needed) {
            return Ok(false);
        }
        clean::drop_oldest(tables, topic, policy, partition, part)?;
        metrics::counter!(names::CHUNKS_DROPPED, "reason" => "log_size").increment(1);
        Ok(true)
    }

    /// The first offset of a partition that a stage has yet to commit. The commits of this very
    /// batch count: after them nobody may have anything to write, and a log that is full stays so.
    fn needed(&self, name: &str, partition: u32) -> u64 {
        match self.shared.state().needed(name, partition, &self.moved) {
            Some(needed) => u64::try_from(needed).unwrap_or(0),
            None => u64::MAX,
        }
    }

    fn topics(&self) -> BTreeMap<u32, std::sync::Arc<TopicState>> {
        let state = self.shared.state();
        state.topics.values().map(|topic| (topic.topic.number, topic.clone())).collect()
    }
}

/// The topic of a record, where the record can be written.
fn check(state: &State, record: &OutRecord) -> Result<std::sync::Arc<TopicState>, LogError> {
    let (topic, _) = state.part(&record.topic, record.partition)?;
    let bytes = super::codec::len(record);
    if bytes > RECORD_BYTES_MAX {
        let reason = format!("a record of {bytes} bytes is over the limit of {RECORD_BYTES_MAX}");
        return Err(LogError::Call { call: "send", reason });
    }
    if topic.policy.compacted && record.key.is_none() {
        let reason = format!("a record of compacted topic {} needs a key", record.topic);
        return Err(LogError::Call { call: "send", reason });
    }
    Ok(topic)
}

/// Refuses a member that is not one any more, and positions of tasks that are not its own.
fn fence(state: &State, member: &Member, wanted: &Transaction) -> Result<(), CommitError> {
    let group = state.groups.get(&member.stage);
    let hold = |task| group.map_or(Hold::NotMember, |group| group.hold(member.id, task));
    let member_still = group.is_some_and(|group| group.is_member(member.id));
    if !member_still {
        let name = &member.instance;
        return Err(CommitError::Fenced(format!("{name} is not in the group any more")));
    }
    match wanted.positions.iter().find(|(task, _)| hold(task) != Hold::Owner) {
        None => Ok(()),
        Some((task, _)) => {
            let (topic, partition) = (&task.topic, task.partition);
            Err(CommitError::Aborted(format!("task {topic}/{partition} is not ours any more")))
        }
    }
}
