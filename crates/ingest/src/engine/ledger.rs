//! The loss ledger of one observation domain: what the exporter's sequence numbers say was sent
//! against what was received. Exporters count in different units (v5 flows, v9 packets, IPFIX data
//! records, some of them after the message instead of before), so every way of counting that a
//! version allows is tracked side by side, and the one that fits the numbers is believed.

use std::collections::VecDeque;

use super::marks::Place;
use super::tracker::Tracker;

/// Datagrams over which a repeated one is recognized.
const SEEN: usize = 128;
/// By so many more fitting messages another way of counting wins over the one believed.
const FIT_LEAD: u64 = 4;
/// sysUpTime of a datagram that overtook another falls by less than this.
const UPTIME_SLACK_MS: u32 = 5_000;
/// Within this of its end, a falling sysUpTime has wrapped (every 49.7 days).
const WRAP_MS: u32 = 3_600_000;

/// What a sequence number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Data records, options included (RFC 7011 §3.1).
    Records,
    /// Flow records only (v5; softflowd's IPFIX).
    Flows,
    /// Export packets (RFC 3954 §5.1).
    Packets,
}

/// Whether the number stands for what came before this message or includes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Before,
    After,
}

/// A way of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convention {
    pub unit: Unit,
    pub counted: Counted,
}

/// What one datagram says to the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    pub sequence: u32,
    pub uptime: Option<u32>,
    pub received: i64,
    pub records: u32,
    pub flows: u32,
    /// Bytes of sets that were not decoded: they hold at most so many records.
    pub hidden_max: u32,
    /// Some of them never will be.
    pub dead: bool,
}

/// The ledger's sums. Those without a word about it are in the unit of the convention believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Received and decoded.
    pub units: u64,
    pub lost: u64,
    /// Lost between an earlier run's end and this one: not yet on the log when it was killed, or
    /// sent while nobody listened.
    pub missed: u64,
    pub unresolved: u64,
    pub expired: u64,
    pub undecodable: u64,
    /// Datagrams that came after a later one.
    pub reordered: u64,
    pub restarts: u64,
}

/// Why the last waiting set of a domain waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Decoded,
    Expired,
}

#[derive(Clone, Debug)]
pub struct Ledger {
    trackers: Vec<(Convention, Tracker)>,
    believed: usize,
    seen: VecDeque<(u32, u64)>,
    uptime: Option<u32>,
    datagrams: u64,
}

// === impl Ledger ===

impl Ledger {
    pub fn new(version: u8) -> Ledger {
        let trackers = conventions(version).into_iter().map(|c| (c, Tracker::default())).collect();
        Ledger { trackers, believed: 0, seen: VecDeque::new(), uptime: None, datagrams: 0 }
    }

    /// True for a datagram that came before, byte for byte; remembers it otherwise.
    pub fn is_repeated(&mut self, sequence: u32, digest: u64) -> bool {
        if self.seen.contains(&(sequence, digest)) {
            return true;
        }
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back((sequence, digest));
        false
    }

    pub fn observe(&mut self, entry: &Entry) {
        self.datagrams += 1;
        let restarted = self.uptime_fell(entry.uptime);
        for (convention, tracker) in &mut self.trackers {
            let n = convention.units(entry.records, entry.flows);
            let start = match convention.counted {
                Counted::Before => entry.sequence,
                Counted::After => entry.sequence.wrapping_sub(n),
            };
            tracker.observe(&super::tracker::Span {
                start,
                n,
                hidden_max: if convention.unit == Unit::Packets { 0 } else { entry.hidden_max },
                hidden_before: convention.counted == Counted::After,
                dead: entry.dead,
                restarted,
                received: entry.received,
                number: self.datagrams,
            });
        }
        self.choose();
    }

    /// Sets that waited gave these records at last.
    pub fn decoded_late(&mut self, records: u32, flows: u32) {
        for (convention, tracker) in &mut self.trackers {
            if convention.unit != Unit::Packets {
                let n = convention.units(records, flows);
                tracker.decoded_late(n, convention.counted == Counted::Before);
            }
        }
    }

    /// No set of this domain waits any more.
    pub fn settle(&mut self, why: Settled) {
        self.trackers.iter_mut().for_each(|(_, tracker)| tracker.settle(why));
    }

    /// Gaps that opened before `received` are loss now, however few datagrams have come since.
    pub fn close_gaps(&mut self, received: i64) {
        self.trackers.iter_mut().for_each(|(_, tracker)| tracker.close_gaps(received));
    }

    /// Where it stands, once it is sure how the exporter counts.
    pub fn place(&self) -> Option<Place> {
        let (convention, tracker) = self.trackers.get(self.believed)?;
        let (expected, owed) = tracker.place().filter(|_| tracker.fits() >= FIT_LEAD)?;
        Some(Place { convention: *convention, expected, owed })
    }

    pub fn uptime(&self) -> Option<u32> {
        self.uptime
    }

    /// Goes on from where an earlier run stood, before the first datagram.
    pub fn resume(&mut self, place: &Place, uptime: Option<u32>) {
        let at = self.trackers.iter().position(|(way, _)| *way == place.convention);
        let Some((at, tracker)) = at.and_then(|at| Some((at, self.trackers.get_mut(at)?))) else {
            return;
        };
        tracker.1.resume(place.expected, place.owed, FIT_LEAD);
        (self.believed, self.uptime) = (at, uptime);
    }

    pub fn totals(&self) -> Totals {
        self.trackers.get(self.believed).map_or(Totals::default(), |(_, t)| t.totals())
    }

    pub fn convention(&self) -> Option<Convention> {
        self.trackers.get(self.believed).map(|&(convention, _)| convention)
    }

    fn choose(&mut self) {
        let fits = |i: usize| self.trackers.get(i).map_or(0, |(_, t): &(_, Tracker)| t.fits());
        let mut best = self.believed;
        for i in 0..self.trackers.len() {
            if fits(i) > fits(best) {
                best = i;
            }
        }
        if fits(best) >= fits(self.believed) + FIT_LEAD {
            self.believed = best;
        }
    }

    /// The device restarted: its sysUpTime went back by more than reordering explains.
    fn uptime_fell(&mut self, uptime: Option<u32>) -> bool {
        let Some(now) = uptime else {
            return false;
        };
        let Some(last) = self.uptime.replace(now) else {
            return false;
        };
        let wrapped = last > u32::MAX - WRAP_MS && now < WRAP_MS;
        let fell = now.saturating_add(UPTIME_SLACK_MS) < last && !wrapped;
        if !fell && !wrapped {
            self.uptime = Some(now.max(last));
        }
        fell
    }
}

/// The ways of counting that a version's exporters have, the standard's own first.
fn conventions(version: u8) -> Vec<Convention> {
    use Counted::{After, Before};
    use Unit::{Flows, Packets, Records};
    let ways: &[(Unit, Counted)] = match version {
        5 => &[(Flows, Before), (Packets, Before)],
        9 => &[(Packets, Before), (Records, Before), (Flows, Before)],
        _ => &[
            (Records, Before),
            (Flows, After),
            (Flows, Before),
            (Records, After),
            (Packets, Before),
        ],
    };
    ways.iter().map(|&(unit, counted)| Convention { unit, counted }).collect()
}

// === impl Convention ===

impl Convention {
    /// As it stands in headers.
    pub fn code(self) -> &'static str {
        match (self.unit, self.counted) {
            (Unit::Records, Counted::Before) => "records",
            (Unit::Records, Counted::After) => "records-after",
            (Unit::Flows, Counted::Before) => "flows",
            (Unit::Flows, Counted::After) => "flows-after",
            (Unit::Packets, Counted::Before) => "packets",
            (Unit::Packets, Counted::After) => "packets-after",
        }
    }

    pub fn of_code(code: &str) -> Option<Convention> {
        let (name, counted) = match code.strip_suffix("-after") {
            Some(name) => (name, Counted::After),
            None => (code, Counted::Before),
        };
        let unit = match name {
            "records" => Unit::Records,
            "flows" => Unit::Flows,
            "packets" => Unit::Packets,
            _ => return None,
        };
        Some(Convention { unit, counted })
    }

    fn units(self, records: u32, flows: u32) -> u32 {
        match self.unit {
            Unit::Records => records,
            Unit::Flows => flows,
            Unit::Packets => 1,
        }
    }
}
