//! What really happened in a run, as JSON lines for the tests alone: events with their times, and
//! for each exporter what it sent and what was lost on purpose.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::encode::Protocol;
use crate::exporter::Datagram;
use crate::scenario::Kind;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "truth", rename_all = "kebab-case")]
pub enum Truth {
    Run {
        seed: u64,
        kind: Kind,
        start_ms: i64,
        end_ms: Option<i64>,
    },
    Exporter {
        address: Ipv4Addr,
        protocol: Protocol,
        domain: u32,
        sampling: u32,
    },
    SynFlood {
        victim: Ipv4Addr,
        port: u16,
        start_ms: i64,
        end_ms: Option<i64>,
        syn_per_s: f64,
        sources: u32,
    },
    /// Many people at one healthy server: nothing is wrong.
    Crowd {
        server: Ipv4Addr,
        start_ms: i64,
        end_ms: Option<i64>,
        visits_per_s: f64,
    },
    Silence {
        exporter: Ipv4Addr,
        start_ms: i64,
        end_ms: Option<i64>,
    },
    Sent(Line),
}

/// The last lines of the file: the counts of one exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub exporter: Ipv4Addr,
    #[serde(flatten)]
    pub counts: Counts,
}

/// What became of an exporter's datagrams. Generated = delivered once + dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub datagrams: u64,
    pub flows: u64,
    /// Options data records, which IPFIX counts in its sequence.
    pub options: u64,
    pub dropped_datagrams: u64,
    pub dropped_flows: u64,
    pub dropped_options: u64,
    /// Of the dropped: those after the last that was delivered, which no receiver can know of.
    pub unseen_datagrams: u64,
    pub unseen_records: u64,
    /// Datagrams that were delivered twice.
    pub duplicated_datagrams: u64,
    pub duplicated_flows: u64,
    /// Datagrams that came after their successors.
    pub reordered_datagrams: u64,
}

/// The counts of every exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub exporters: BTreeMap<Ipv4Addr, Counts>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn of(&mut self, datagram: &Datagram) -> &mut Counts {
        self.exporters.entry(datagram.exporter).or_default()
    }

    pub(crate) fn generated(&mut self, datagram: &Datagram) {
        let counts = self.of(datagram);
        counts.datagrams += 1;
        counts.flows += u64::from(datagram.flows);
        counts.options += u64::from(datagram.options);
    }

    pub(crate) fn delivered(&mut self, datagram: &Datagram) {
        let counts = self.of(datagram);
        counts.unseen_datagrams = 0;
        counts.unseen_records = 0;
    }

    pub(crate) fn dropped(&mut self, datagram: &Datagram) {
        let counts = self.of(datagram);
        counts.dropped_datagrams += 1;
        counts.dropped_flows += u64::from(datagram.flows);
        counts.dropped_options += u64::from(datagram.options);
        counts.unseen_datagrams += 1;
        counts.unseen_records += u64::from(datagram.records());
    }

    pub fn lines(&self) -> impl Iterator<Item = Truth> + '_ {
        self.exporters
            .iter()
            .map(|(exporter, counts)| Truth::Sent(Line { exporter: *exporter, counts: *counts }))
    }

    pub fn total(&self) -> Counts {
        let mut sum = Counts::default();
        for counts in self.exporters.values() {
            sum.add(counts);
        }
        sum
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.datagrams += other.datagrams;
        self.flows += other.flows;
        self.options += other.options;
        self.dropped_datagrams += other.dropped_datagrams;
        self.dropped_flows += other.dropped_flows;
        self.dropped_options += other.dropped_options;
        self.unseen_datagrams += other.unseen_datagrams;
        self.unseen_records += other.unseen_records;
        self.duplicated_datagrams += other.duplicated_datagrams;
        self.duplicated_flows += other.duplicated_flows;
        self.reordered_datagrams += other.reordered_datagrams;
    }
}
