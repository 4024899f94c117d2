//! All devices that this instance polls: whose turn it is, within the limit of devices asked at
//! once, each at its own moment of the interval. Pure: `due` and `answer` say what to ask, time and
//! answers come from outside, so days of polling run faster than time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::rows::{Device, Event, Interface, Metric};
use model::snmp::{Request, Response};

use super::SnmpConfig;
use super::device::{Agent, Frame, Next};
use super::walk::Fault;

/// A request to a device, to be answered by `Poller::answer` with the same serial.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Record key of the device.
    pub key: Arc<str>,
    /// Its name.
    pub device: Arc<str>,
    pub serial: u64,
    pub target: Target,
    pub request: Request,
    /// What is left of the poll's time.
    pub limit_ms: i64,
}

/// Where an agent is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: SocketAddr,
    /// Name of the credential.
    pub credential: Arc<str>,
}

/// What one poll of one device gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polled {
    pub device: Arc<str>,
    /// When it ended.
    pub at_ms: i64,
    pub metrics: Vec<Metric>,
    /// Interfaces that are new or have changed.
    pub interfaces: Vec<Interface>,
    /// Interfaces that are there no more.
    pub gone: Vec<Interface>,
    /// Links that went down or came back since the poll before.
    pub events: Vec<Event>,
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub polls: u64,
    pub requests: u64,
    pub timeouts: u64,
    /// Polls that ended before they were whole, because their time was over.
    pub deadlines: u64,
    /// Polls that were not made because the one before was late.
    pub missed: u64,
    pub fallbacks: u64,
    pub breakers: u64,
    pub restarts_within: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// Devices without an address or a credential that is known here.
    pub unusable: u64,
}

pub struct Poller {
    config: SnmpConfig,
    instance: String,
    agents: BTreeMap<Arc<str>, Slot>,
    schedule: BTreeSet<(i64, Arc<str>)>,
    in_flight: usize,
    serial: u64,
    counts: Counts,
    polled: Vec<Polled>,
}

struct Slot {
    agent: Agent,
    name: Arc<str>,
    target: Target,
    offset_ms: i64,
    due_ms: i64,
    serial: u64,
}

// === impl Counts ===

impl Counts {
    pub(super) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

// === impl Poller ===

impl Poller {
    pub fn new(config: SnmpConfig, instance: &str) -> Poller {
        Poller {
            config,
            instance: instance.to_owned(),
            agents: BTreeMap::new(),
            schedule: BTreeSet::new(),
            in_flight: 0,
            serial: 0,
            counts: Counts::default(),
            polled: Vec::new(),
        }
    }

    /// A device to poll from now on, or one that has changed. `known` gives what was told of its
    /// interfaces before. What has no agent to ask is not polled.
    pub fn put(&mut self, device: Device, now_ms: i64, known: impl FnOnce() -> Vec<Interface>) {
        let key: Arc<str> = device.record_key().into();
        let Some(target) = self.target(&device) else {
            return self.remove(&key);
        };
        if let Some(slot) = self.agents.get_mut(&key)
            && slot.target == target
            && slot.agent.device.exporter == device.exporter
        {
            slot.agent.device = device;
            return;
        }
        self.remove(&key);
        let offset_ms = spread(&device.device, self.config.interval_ms);
        let due_ms = slot_after(now_ms - 1, offset_ms, self.config.interval_ms);
        let name: Arc<str> = device.device.as_str().into();
        let agent = Agent::new(device, known(), &self.config);
        self.schedule.insert((due_ms, Arc::clone(&key)));
        self.agents.insert(key, Slot { agent, name, target, offset_ms, due_ms, serial: 0 });
    }

    /// A device that is another's now, or nobody's: a poll of it under way is dropped.
    pub fn remove(&mut self, key: &str) {
        if let Some((key, slot)) = self.agents.remove_entry(key) {
            self.schedule.remove(&(slot.due_ms, key));
            self.in_flight -= usize::from(slot.agent.is_polled());
        }
    }

    /// Removes all but some, by their record keys.
    pub fn keep(&mut self, keys: &BTreeSet<String>) {
        let others = self.agents.keys().filter(|key| !keys.contains(&***key));
        for key in others.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    pub fn devices(&self) -> usize {
        self.agents.len()
    }

    /// Where and how a device is asked; none where it is not to be polled.
    fn target(&mut self, device: &Device) -> Option<Target> {
        let port = device.snmp_port?;
        let credential = device.snmp_credential.as_deref()?;
        let address: Option<IpAddr> = device.address.trim().parse().ok();
        let Some(address) = address.filter(|_| self.config.credentials.contains_key(credential))
        else {
            self.counts.unusable += 1;
            return None;
        };
        let address = SocketAddr::new(address.to_canonical(), port);
        Some(Target { address, credential: credential.into() })
    }

    /// When the next poll begins, if one may.
    pub fn next_due(&self) -> Option<i64> {
        let may_begin = self.in_flight < self.config.in_flight_max;
        self.schedule.first().filter(|_| may_begin).map(|(due_ms, _)| *due_ms)
    }

    /// Begins the polls whose time has come.
    pub fn due(&mut self, now_ms: i64) -> Vec<Ask> {
        let mut asks = Vec::new();
        while self.next_due().is_some_and(|due_ms| due_ms <= now_ms) {
            let Some((_, key)) = self.schedule.pop_first() else {
                break;
            };
            let Some(slot) = self.agents.get_mut(&key) else {
                continue;
            };
            self.serial += 1;
            self.in_flight += 1;
            self.counts.polls += 1;
            slot.serial = self.serial;
            let (config, instance) = (&self.config, self.instance.as_str());
            let mut frame = Frame { config, instance, counts: &mut self.counts };
            let request = slot.agent.begin(now_ms, &mut frame);
            self.counts.requests += 1;
            asks.push(slot.ask(&key, request, self.config.deadline_ms));
        }
        asks
    }

    /// Takes an answer, or the news that none came; the next request of this poll, if there is
    /// one. An answer to a poll that was dropped is nothing.
    pub fn answer(&mut self, ask: &Ask, now_ms: i64, response: Option<&Response>) -> Option<Ask> {
        let slot = self.agents.get_mut(&ask.key)?;
        if slot.serial != ask.serial || !slot.agent.is_polled() {
            return None;
        }
        let (config, instance) = (&self.config, self.instance.as_str());
        let mut frame = Frame { config, instance, counts: &mut self.counts };
        match slot.agent.answer(now_ms, response, &mut frame) {
            Next::Ask(request) => {
                self.counts.requests += 1;
                let left_ms = ask.limit_ms.min(slot.agent.left_ms(now_ms, &self.config));
                Some(slot.ask(&ask.key, request, left_ms))
            }
            Next::Finished => {
                let polled = slot.agent.finish(now_ms, &mut frame);
                self.polled.push(polled);
                self.in_flight -= 1;
                let interval_ms = self.config.interval_ms;
                let after = slot_after(now_ms, slot.offset_ms, interval_ms);
                let planned = slot_after(slot.due_ms, slot.offset_ms, interval_ms);
                self.counts.missed += u64::try_from((after - planned) / interval_ms).unwrap_or(0);
                slot.due_ms = after;
                self.schedule.insert((after, Arc::clone(&ask.key)));
                None
            }
        }
    }

    /// Polls that have ended since the last call.
    pub fn take(&mut self) -> Vec<Polled> {
        std::mem::take(&mut self.polled)
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

// === impl Slot ===

impl Slot {
    fn ask(&self, key: &Arc<str>, request: Request, limit_ms: i64) -> Ask {
        let (key, device) = (Arc::clone(key), Arc::clone(&self.name));
        let (serial, target) = (self.serial, self.target.clone());
        Ask { key, device, serial, target, request, limit_ms }
    }
}

/// A device's moment within the interval, by its name: FNV-1a, which never changes, so that polls
/// stay where they are over restarts and instances.
fn spread(name: &str, interval_ms: i64) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The high half is mixed best.
    ((hash >> 32) as i64).rem_euclid(interval_ms)
}

/// The first moment of a device after a time.
fn slot_after(time_ms: i64, offset_ms: i64, interval_ms: i64) -> i64 {
    ((time_ms - offset_ms).div_euclid(interval_ms) + 1) * interval_ms + offset_ms
}
