//! What all handles of one embedded log share: the store, where each partition stands after the
//! last commit, the groups, and the signal that something changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redb::Database;

use super::clean::Policy;
use super::groups::Group;
use super::store::{self, Part, Topic};
use crate::config::{BusConfig, DurabilityConfig};
use crate::log::{LogError, TaskId};

/// Records of a log in memory where the configuration sets no limit: with the store's own pages
/// about twice this (measured), beside which `gannet demo` has to stay under 512 MB.
const MEMORY_BYTES_MAX: u64 = 128 << 20;

pub struct Shared {
    pub db: Database,
    pub settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

/// What of the configuration the engine needs while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub in_memory: bool,
    pub durability: DurabilityConfig,
    pub bytes_max: u64,
    pub queue_bytes_max: usize,
}

/// The committed view, as of the last commit.
#[derive(Default)]
pub struct State {
    pub topics: BTreeMap<String, Arc<TopicState>>,
    pub parts: BTreeMap<(u32, u32), Part>,
    pub groups: BTreeMap<String, Group>,
    pub next_member: u64,
    /// The next offset of each stage, topic and partition.
    pub positions: BTreeMap<Position, i64>,
    /// The log is over its size and may drop nothing: producers wait.
    pub full: bool,
}

/// (stage, topic, partition).
pub type Position = (String, String, u32);

#[derive(Debug)]
pub struct TopicState {
    pub topic: Topic,
    pub policy: Policy,
}

// === impl Shared ===

impl Shared {
    pub fn open(config: &BusConfig) -> Result<Shared, LogError> {
        let db = store::open(&config.embedded)?;
        let (topics, parts) = store::load(&db).map_err(|e| LogError::call("open", e))?;
        let positions = store::positions(&db).map_err(|e| LogError::call("open", e))?;
        let mut state = State { parts, positions, ..State::default() };
        for topic in topics {
            state.put_topic(topic);
        }
        let settings = Settings {
            in_memory: config.embedded.path.is_none(),
            durability: config.embedded.durability,
            bytes_max: match (config.embedded.bytes_max, &config.embedded.path) {
                (0, None) => MEMORY_BYTES_MAX,
                (bytes, _) => bytes,
            },
            queue_bytes_max: config.embedded.queue_bytes_max,
        };
        Ok(Shared { db, settings, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// A thread that panicked while it held the lock left whole values behind: go on.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits while the log is full, until the deadline.
    pub fn wait_for_room(&self, deadline: Instant) {
        let mut state = self.state();
        while state.full && Instant::now() < deadline {
            state = self.wait(state, deadline);
        }
    }

    /// Waits for a change of anything, or the deadline.
    pub fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Instant,
    ) -> MutexGuard<'a, State> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

// === impl State ===

impl State {
    pub fn put_topic(&mut self, topic: Topic) {
        for partition in 0..topic.partitions {
            self.parts.entry((topic.number, partition)).or_default();
        }
        let policy = Policy::of(&topic.settings);
        let name = topic.name.to_string();
        self.topics.insert(name, Arc::new(TopicState { topic, policy }));
    }

    pub fn remove_topic(&mut self, name: &str) {
        if let Some(gone) = self.topics.remove(name) {
            self.parts.retain(|(number, _), _| *number != gone.topic.number);
        }
    }

    pub fn topic(&self, name: &str) -> Result<Arc<TopicState>, LogError> {
        self.topics.get(name).cloned().ok_or_else(|| LogError::NoTopic(name.to_owned()))
    }

    /// A topic and one of its partitions.
    pub fn part(&self, name: &str, partition: u32) -> Result<(Arc<TopicState>, &Part), LogError> {
        let topic = self.topic(name)?;
        match self.parts.get(&(topic.topic.number, partition)) {
            Some(part) => Ok((topic, part)),
            None => Err(LogError::Call {
                call: "partition",
                reason: format!("topic {name} has no partition {partition}"),
            }),
        }
    }

    /// The offset after the last record; `None` where the topic is gone or was made again.
    pub fn end(&self, number: u32, partition: u32) -> Option<u64> {
        self.parts.get(&(number, partition)).map(|part| part.end)
    }

    /// Sets new targets in a group after its members or its inputs changed.
    pub fn rebalance(&mut self, stage: &str) {
        let Some(group) = self.groups.get_mut(stage) else {
            return;
        };
        let mut tasks = Vec::new();
        for input in group.inputs() {
            if let Some(topic) = self.topics.get(&input) {
                let name = &topic.topic.name;
                let task = |partition| TaskId { topic: Arc::clone(name), partition };
                tasks.extend((0..topic.topic.partitions).map(task));
            }
        }
        group.rebalance(&tasks);
    }

    /// The first offset that a stage with members has yet to commit, with the positions that a
    /// batch is about to move; `None` where none reads it.
    pub fn needed(
        &self,
        topic: &str,
        partition: u32,
        moved: &BTreeMap<Position, i64>,
    ) -> Option<i64> {
        let reading = self.groups.iter().filter(|(_, group)| group.inputs().contains(topic));
        let position = |(stage, _): (&String, &Group)| {
            let place = (stage.clone(), topic.to_owned(), partition);
            moved.get(&place).or_else(|| self.positions.get(&place)).copied().unwrap_or(0)
        };
        reading.map(position).min()
    }

    pub fn bytes(&self) -> u64 {
        self.parts.values().map(|part| part.bytes).sum()
    }
}
