//! Reads what act needs beside incidents: the network as it now is (topology, inventory,
//! interfaces) and approvals. Without a group: every instance needs all of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bus::{BusConfig, Log, LogError, Meta, ReadEvent, Reader, Record, from_start};
use model::rows::{Approval, Device, Element, Interface};
use runtime::shutdown::Shutdown;

use super::{Shared, lock};
use crate::metrics;

/// Names of the topics that are followed.
pub struct Followed {
    topology: String,
    inventory: String,
    interfaces: String,
    approvals: String,
}

/// Approvals in the order in which they were read, each with a number.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    kept: VecDeque<Approval>,
    /// Number of the first that is kept.
    first: u64,
}

const POLL: Duration = Duration::from_millis(100);

// === impl Approvals ===

impl Approvals {
    /// Those from a number on, and the number after them.
    pub fn since(&self, number: u64) -> (Vec<Approval>, u64) {
        let skip = number.saturating_sub(self.first) as usize;
        (self.kept.iter().skip(skip).cloned().collect(), self.first + self.kept.len() as u64)
    }

    /// Takes one more; whether the oldest had to go.
    fn put(&mut self, approval: Approval, most: usize) -> bool {
        self.kept.push_back(approval);
        let is_over = self.kept.len() > most;
        if is_over {
            self.kept.pop_front();
            self.first += 1;
        }
        is_over
    }
}

// === impl Followed ===

impl Followed {
    pub fn new(bus: &BusConfig) -> Followed {
        Followed {
            topology: bus.topic("topology.v1"),
            inventory: bus.topic("inventory.v1"),
            interfaces: bus.topic("interfaces.v1"),
            approvals: bus.topic("approvals.v1"),
        }
    }

    pub(super) fn run(
        &self,
        log: &Arc<dyn Log>,
        shared: &Shared,
        shutdown: &Shutdown,
    ) -> Result<(), LogError> {
        let mut reader = log.reader()?;
        let mut from = Vec::new();
        for topic in [&self.topology, &self.inventory, &self.interfaces, &self.approvals] {
            from.extend(from_start(&**log, reader.as_mut(), topic)?);
        }
        let mut ends = ends(reader.as_mut(), &from)?;
        reader.assign(&from)?;
        while !shutdown.requested() {
            if ends.is_empty() {
                network(shared, |network| network.is_ready = true);
            }
            let switch = shared.config.kill_switch.as_ref();
            shared.is_killed.store(switch.is_some_and(|file| file.exists()), Ordering::SeqCst);
            match reader.poll(POLL)? {
                ReadEvent::Record(record) => {
                    if self.take(&record, shared).is_none() {
                        ::metrics::counter!(metrics::UNREADABLE).increment(1);
                    }
                    passed(&mut ends, &record.topic, record.partition, record.offset + 1);
                }
                ReadEvent::End { topic, partition, next } => {
                    passed(&mut ends, &topic, partition, next);
                }
                ReadEvent::Idle => {}
            }
        }
        Ok(())
    }

    /// Takes a record; `None` where it is none that can be read.
    fn take(&self, record: &Record, shared: &Shared) -> Option<()> {
        let Some(payload) = &record.payload else {
            let key = String::from_utf8_lossy(record.key.as_deref()?).into_owned();
            if *record.topic == *self.inventory {
                network(shared, |network| network.device_gone(&key));
            }
            return Some(());
        };
        let meta = Meta::parse(record).ok()?;
        if meta.rows == 0 {
            return Some(());
        }
        let batch = model::ipc::decode(payload, model::ipc::Limits::default()).ok()?;
        let most = shared.config.limits.network_max;
        if *record.topic == *self.approvals {
            let most = shared.config.limits.approvals_max as usize;
            for approval in Approval::from_batch(&batch).ok()? {
                if lock(&shared.approvals).put(approval, most) {
                    refused("approvals", 1);
                }
            }
        } else if *record.topic == *self.topology {
            let elements = Element::from_topology(&batch).ok()?;
            network(shared, |n| elements.into_iter().for_each(|e| n.element(e, most)));
        } else if *record.topic == *self.inventory {
            let devices = Device::from_batch(&batch).ok()?;
            network(shared, |n| devices.into_iter().for_each(|d| n.device(d, most)));
        } else {
            let interfaces = Interface::from_batch(&batch).ok()?;
            network(shared, |n| interfaces.into_iter().for_each(|i| n.interface(i, most)));
        }
        Some(())
    }
}

fn network(shared: &Shared, change: impl FnOnce(&mut crate::engine::Network)) {
    let mut network = shared.network.write().unwrap_or_else(PoisonError::into_inner);
    change(&mut network);
    refused("network", network.take_refused());
}

fn refused(limit: &'static str, step: u64) {
    if step > 0 {
        ::metrics::counter!(metrics::REFUSED, metrics::LABEL_LIMIT => limit).increment(step);
    }
}

type Ends = BTreeMap<(String, u32), i64>;

/// Where each partition ends now, of those that hold anything.
fn ends(reader: &mut dyn Reader, from: &[(String, u32, i64)]) -> Result<Ends, LogError> {
    let mut ends = Ends::new();
    for (topic, partition, first) in from {
        let (_, end) = reader.range(topic, *partition)?;
        if *first < end {
            ends.insert((topic.clone(), *partition), end);
        }
    }
    Ok(ends)
}

fn passed(ends: &mut Ends, topic: &str, partition: u32, next: i64) {
    let key = (topic.to_owned(), partition);
    if ends.get(&key).is_some_and(|end| next >= *end) {
        ends.remove(&key);
    }
}
