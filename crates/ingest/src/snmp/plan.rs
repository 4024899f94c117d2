//! Which devices are ours: those in our partitions of `inventory`, as the consumer group of all
//! pollers shares them. The group is joined as a task's is and nothing is ever committed: a
//! partition is read from its start whenever it becomes ours. A device that is ours no more is no
//! longer asked before its next owner may know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bus::config::LimitsConfig;
use bus::{BusConfig, Event, Log, LogError, Record, TaskId, Tasks};
use metrics::{counter, gauge};
use model::rows::Device;
use tokio::sync::mpsc::Sender;

use crate::metrics as names;
use crate::watch;

/// The stage's name in the group.
pub const GROUP: &str = "poller";

/// A change of what is ours.
#[derive(Debug)]
pub enum Step {
    Put(Box<Device>),
    Remove(String),
    /// All before it is done when this is taken.
    Done(std::sync::mpsc::SyncSender<()>),
}

/// What keeps the poller's devices as the group wants them.
pub struct Plan {
    log: Arc<dyn Log>,
    topic: String,
    limits: LimitsConfig,
    domain: String,
    instance: String,
    steps: Sender<Step>,
    /// Record keys of what is ours, by partition.
    ours: BTreeMap<TaskId, BTreeSet<String>>,
}

/// How long the group may keep silent before the process looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);
/// Between two attempts to join.
const AGAIN: Duration = Duration::from_secs(1);
/// The poller takes a step within this, or it is gone.
const STEP_LIMIT: Duration = Duration::from_secs(2);
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

// === impl Plan ===

impl Plan {
    pub fn new(
        log: Arc<dyn Log>,
        bus: &BusConfig,
        domain: &str,
        instance: &str,
        steps: Sender<Step>,
    ) -> Plan {
        Plan {
            log,
            topic: bus.topic(watch::INVENTORY),
            limits: bus.limits.clone(),
            domain: domain.to_owned(),
            instance: instance.to_owned(),
            steps,
            ours: BTreeMap::new(),
        }
    }

    /// Follows the group until `stop`. When the group is lost nothing is ours, and it is joined
    /// again.
    pub fn run(mut self, stop: &dyn Fn() -> bool) {
        while !stop() {
            match self.member(stop) {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "the pollers' group is lost, it is joined again");
                    counter!(names::SNMP_PLAN_FAILURES).increment(1);
                    self.drop_all();
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
    }

    fn member(&mut self, stop: &dyn Fn() -> bool) -> Result<(), LogError> {
        let mut tasks = self.log.join(GROUP, &self.instance, &[self.topic.clone()])?;
        while !stop() {
            match tasks.next(LOOK)? {
                Event::Assigned(assigned) => {
                    for task in assigned {
                        begin(tasks.as_mut(), &task)?;
                        self.ours.insert(task, BTreeSet::new());
                    }
                }
                Event::Revoked(revoked) => {
                    revoked.iter().for_each(|task| self.give_up(task));
                    self.settle();
                }
                Event::Record(record) => self.take(&record),
                Event::Idle => {}
            }
            gauge!(names::SNMP_DEVICES)
                .set(self.ours.values().map(BTreeSet::len).sum::<usize>() as f64);
        }
        self.drop_all();
        tasks.leave(LEAVE_LIMIT)
    }

    fn take(&mut self, record: &Record) {
        let task = TaskId { topic: Arc::clone(&record.topic), partition: record.partition };
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let Some(keys) = self.ours.get_mut(&task) else {
            return;
        };
        if record.payload.is_none() {
            if keys.remove(&*key) {
                self.send(Step::Remove(key.into_owned()));
            }
            return;
        }
        // What cannot be read is counted where all of the inventory is watched.
        for device in watch::device(record, &self.limits, &self.domain).unwrap_or_default() {
            keys.insert(device.record_key());
            if self.steps.blocking_send(Step::Put(Box::new(device))).is_err() {
                return;
            }
        }
    }

    fn give_up(&mut self, task: &TaskId) {
        for key in self.ours.remove(task).unwrap_or_default() {
            self.send(Step::Remove(key));
        }
    }

    fn drop_all(&mut self) {
        let all: Vec<TaskId> = self.ours.keys().cloned().collect();
        all.iter().for_each(|task| self.give_up(task));
        self.settle();
    }

    /// Returns when the poller has done all steps: only then is the group told.
    fn settle(&self) {
        let (done, is_done) = sync_channel(1);
        self.send(Step::Done(done));
        if is_done.recv_timeout(STEP_LIMIT).is_err() {
            tracing::debug!("the poller has ended before the plan");
        }
    }

    /// A poller that is gone polls nothing.
    fn send(&self, step: Step) {
        let _ = self.steps.blocking_send(step);
    }
}

/// Reads a partition that has become ours from its start.
fn begin(tasks: &mut dyn Tasks, task: &TaskId) -> Result<(), LogError> {
    let (start, _) = tasks.range(task)?;
    tasks.start(task, start)
}
