//! Datagrams in, flows and the ledger out. Pure: `received` is an argument; there is no clock, no
//! I/O and no logging here. Sockets, the log and time are left to `service`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::rows::{Event, Metric};

pub mod batch;
mod columns;
pub mod declare;
pub mod domain;
pub mod element;
mod exporter;
pub mod extra;
pub mod join;
pub mod ledger;
pub mod limits;
pub mod marks;
pub mod message;
mod options;
pub mod problem;
pub mod program;
mod run;
pub mod sampling;
mod tracker;
mod wire;

use batch::{FlowBatch, FlowBatcher};
use domain::{Change, Changed, Domain, Sink, Usage};
use exporter::{Exporter, Interval};
use ledger::Entry;
use limits::Limits;
use marks::{Key, Mark, Units};
use message::Message;
use problem::{Problems, Reason};
use program::Program;

pub use run::note;
pub use wire::digest;

/// Loss is told after this time at the latest, however few datagrams come.
const GAP_MS_MAX: i64 = 5_000;
/// Intervals without a tick that are reported one by one: an hour of them.
const MISSED_MAX: i64 = 360;

/// A datagram of which something could not be decoded, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Reject {
    pub received: i64,
    pub source: IpAddr,
    pub reason: Reason,
    pub datagram: Vec<u8>,
}

/// Sums over all exporters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub datagrams: u64,
    pub records: u64,
    pub options_records: u64,
    pub duplicates: u64,
    pub rejects_dropped: u64,
    pub exporters_forgotten: u64,
}

/// What one exporter's observation domain has sent, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainReport {
    pub exporter: IpAddr,
    pub version: u8,
    pub domain: u32,
    pub counts: domain::Counts,
    pub totals: ledger::Totals,
    pub convention: Option<ledger::Convention>,
    pub waiting_sets: usize,
}

pub struct Engine {
    limits: Limits,
    domain: String,
    instance: String,
    exporters: BTreeMap<[u8; 16], Exporter>,
    flows: FlowBatcher,
    problems: Problems,
    counts: Counts,
    changes: Vec<Change>,
    metrics: Vec<Metric>,
    events: Vec<Event>,
    rejects: Vec<Reject>,
    marks: Vec<Mark>,
    total: Usage,
    v5: Program,
    /// When the interval at hand ends.
    due: Option<i64>,
}

// === impl Engine ===

impl Engine {
    /// `domain` is stamped on every row, `instance` on the ledger's.
    pub fn new(limits: Limits, domain: &str, instance: &str) -> Engine {
        let flows = FlowBatcher::new(domain, limits.batch_rows_max, limits.batch_extra_bytes_max);
        Engine {
            limits,
            domain: domain.to_owned(),
            instance: instance.to_owned(),
            exporters: BTreeMap::new(),
            flows,
            problems: Problems::default(),
            counts: Counts::default(),
            changes: Vec::new(),
            metrics: Vec::new(),
            events: Vec::new(),
            rejects: Vec::new(),
            marks: Vec::new(),
            total: Usage::default(),
            v5: Program::compile(5, &message::v5_fields()),
            due: None,
        }
    }

    /// Has flows joined with names from now on. The tables are another's, who fills them.
    pub fn name_with(&mut self, names: join::Names) {
        self.flows.name_with(names);
    }

    /// Decodes one datagram. `received` never goes back.
    pub fn datagram(&mut self, received: i64, source: IpAddr, bytes: &[u8]) {
        self.tick(received);
        self.counts.datagrams += 1;
        let problem = match Message::read(bytes) {
            Err(reason) => Some(reason).inspect(|&reason| self.problems.count(reason)),
            Ok(message) => self.message(received, source, &message, bytes),
        };
        if let Some(reason) = problem {
            self.reject(received, source, reason, bytes);
        }
    }

    /// The first problem of a message; the rest of it is decoded.
    fn message(
        &mut self,
        received: i64,
        source: IpAddr,
        message: &Message,
        bytes: &[u8],
    ) -> Option<Reason> {
        let address = model::addr::mapped(source);
        if let Err(reason) = self.admit(address, message.version, message.domain) {
            self.problems.count(reason);
            return Some(reason);
        }
        let exporter = self.exporters.get_mut(&address)?;
        if !exporter.is_live {
            exporter.is_live = true;
            self.events.push(exporter::heard(&self.domain, &exporter.device, received));
        }
        exporter.heard = received;
        let Exporter { domains, usage, .. } = exporter;
        let domain = domains.get_mut(&(message.version, message.domain))?;
        domain.counts.datagrams += 1;
        if domain.ledger.is_repeated(message.sequence, wire::digest(bytes)) {
            domain.counts.duplicates += 1;
            self.counts.duplicates += 1;
            return None;
        }
        let mut sink = Sink {
            exporter: address,
            received,
            limits: &self.limits,
            flows: &mut self.flows,
            problems: &mut self.problems,
            changes: &mut self.changes,
            own: usage,
            total: &mut self.total,
            first_problem: None,
            v5: &self.v5,
        };
        message.problem.into_iter().for_each(|reason| sink.problem(reason));
        let records_before = domain.counts.records;
        let options_before = domain.counts.options_records;
        let tally = domain.decode(message, &mut sink);
        domain.counts.records += u64::from(tally.flows);
        domain.counts.options_records += u64::from(tally.options);
        domain.ledger.observe(&Entry {
            sequence: message.sequence,
            uptime: message.uptime,
            received,
            records: tally.flows + tally.options,
            flows: tally.flows,
            hidden_max: tally.hidden_bytes,
            dead: tally.dead,
        });
        let (flows, records) = (tally.flows, tally.flows + tally.options);
        sink.flows
            .end_datagram(flows, Units { key: domain.key(address), records, flows, packets: 1 });
        self.counts.records += domain.counts.records - records_before;
        self.counts.options_records += domain.counts.options_records - options_before;
        sink.first_problem
    }

    /// Makes sure that there is such an exporter and domain, within the limits.
    fn admit(&mut self, address: [u8; 16], version: u8, domain: u32) -> Result<(), Reason> {
        let known = self.exporters.get(&address).map(|exporter| &exporter.domains);
        if known.is_some_and(|domains| domains.contains_key(&(version, domain))) {
            return Ok(());
        }
        let limits = &self.limits;
        if known.is_none() && self.exporters.len() >= limits.exporters_max {
            return Err(Reason::ExportersFull);
        }
        let own_full = known.is_some_and(|domains| domains.len() >= limits.domains_max);
        if own_full || self.total.domains >= limits.domains_total_max {
            return Err(Reason::DomainsFull);
        }
        let exporter = self.exporters.entry(address).or_insert_with(|| Exporter::new(address));
        exporter.domains.insert((version, domain), Domain::new(version, domain));
        self.total.domains += 1;
        Ok(())
    }

    fn reject(&mut self, received: i64, source: IpAddr, reason: Reason, bytes: &[u8]) {
        if self.rejects.len() >= self.limits.rejects_max {
            self.counts.rejects_dropped += 1;
            return;
        }
        self.rejects.push(Reject { received, source, reason, datagram: bytes.to_vec() });
    }

    /// Time goes on, with or without datagrams: ends intervals of the ledger, gives up what waited
    /// too long, forgets exporters not heard for long.
    pub fn tick(&mut self, now: i64) {
        let length = self.limits.ledger_interval_ms;
        let Some(due) = self.due else {
            self.due = Some((now.div_euclid(length) + 1) * length);
            return;
        };
        if now < due {
            return;
        }
        // After a long stop only the last of the missed intervals are told.
        let missed = (now - due) / length;
        let mut end = due + (missed - MISSED_MAX).max(0) * length;
        while end <= now {
            self.interval(end);
            end += length;
        }
        self.due = Some(end);
        self.mark();
    }

    /// Marks of all that speak, as of now: they go with the rows of the interval that just ended.
    fn mark(&mut self) {
        let unsent = marks::sums(self.flows.units());
        self.marks.clear();
        for (&address, exporter) in self.exporters.iter().filter(|(_, e)| e.is_live) {
            for domain in exporter.domains.values() {
                let key = domain.key(address);
                let mut place = domain.ledger.place();
                if let (Some(place), Some(units)) = (&mut place, unsent.get(&key)) {
                    place.owed += units.of(place.convention);
                }
                let (uptime, heard) = (domain.ledger.uptime(), exporter.heard);
                self.marks.push(Mark { key, place, uptime, heard });
            }
        }
    }

    /// Goes on from where an earlier run stood, before the first datagram. Its exporter counts as
    /// one that speaks, though this run has not heard it: a silence is then the exporter's own.
    pub fn resume(&mut self, mark: &Mark, now: i64) {
        let Key { exporter: address, version, domain } = mark.key;
        let forgotten = mark.heard < now - self.limits.exporter_idle_ms;
        if forgotten || self.admit(address, version, domain).is_err() {
            return;
        }
        let Some(exporter) = self.exporters.get_mut(&address) else {
            return;
        };
        exporter.is_live = true;
        exporter.heard = exporter.heard.max(mark.heard);
        if let (Some(place), Some(domain)) =
            (&mark.place, exporter.domains.get_mut(&(version, domain)))
        {
            domain.ledger.resume(place, mark.uptime);
        }
    }

    fn interval(&mut self, end: i64) {
        self.upkeep(end);
        let interval = Interval {
            domain: &self.domain,
            instance: &self.instance,
            end,
            length_ms: self.limits.ledger_interval_ms,
        };
        for exporter in self.exporters.values_mut().filter(|exporter| exporter.is_live) {
            exporter.report(&interval, &mut self.metrics, &mut self.events);
        }
        self.forget(end);
    }

    fn upkeep(&mut self, now: i64) {
        for (&address, exporter) in &mut self.exporters {
            let Exporter { domains, usage, .. } = exporter;
            for domain in domains.values_mut() {
                domain.ledger.close_gaps(now - GAP_MS_MAX);
                if domain.waiting_sets() == 0 {
                    continue;
                }
                domain.expire(&mut Sink {
                    exporter: address,
                    received: now,
                    limits: &self.limits,
                    flows: &mut self.flows,
                    problems: &mut self.problems,
                    changes: &mut self.changes,
                    own: usage,
                    total: &mut self.total,
                    first_problem: None,
                    v5: &self.v5,
                });
            }
        }
    }

    fn forget(&mut self, now: i64) {
        let before = now - self.limits.exporter_idle_ms;
        let idle = self.exporters.iter().filter(|(_, e)| e.is_live && e.heard < before);
        for address in idle.map(|(&address, _)| address).collect::<Vec<[u8; 16]>>() {
            if let Some(exporter) = self.exporters.remove(&address) {
                exporter.domains.values().for_each(|domain| domain.drop_from(&mut self.total));
                self.counts.exporters_forgotten += 1;
            }
        }
    }

    /// Takes back what an earlier run learned, before the first datagram.
    pub fn restore(&mut self, change: Change) {
        if self.admit(change.exporter, change.version, change.domain).is_err() {
            return;
        }
        let Some(exporter) = self.exporters.get_mut(&change.exporter) else {
            return;
        };
        let Exporter { domains, usage, .. } = exporter;
        let Some(domain) = domains.get_mut(&(change.version, change.domain)) else {
            return;
        };
        let mut none = Vec::new();
        let mut sink = Sink {
            exporter: change.exporter,
            received: change.received,
            limits: &self.limits,
            flows: &mut self.flows,
            problems: &mut self.problems,
            changes: &mut none,
            own: usage,
            total: &mut self.total,
            first_problem: None,
            v5: &self.v5,
        };
        domain.restore(change.what, &mut sink);
    }

    /// Closes the batch of flows that is being filled.
    pub fn flush_flows(&mut self) {
        self.flows.flush();
    }

    /// Receive time of the oldest row that is in no batch yet.
    pub fn oldest_row(&self) -> Option<i64> {
        self.flows.oldest()
    }

    pub fn take_flows(&mut self) -> Vec<FlowBatch> {
        self.flows.take()
    }

    /// Of the interval that ended last, to be taken with its rows and before any batch of flows.
    pub fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Units that no batch will hold.
    pub fn take_units(&mut self) -> Vec<Units> {
        self.flows.take_units()
    }

    pub fn take_metrics(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.metrics)
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn usage(&self) -> Usage {
        self.total
    }

    pub fn exporters(&self) -> usize {
        self.exporters.len()
    }

    /// The ledger of every observation domain, in the order of address, version and id. Gaps that
    /// are still open count as lost.
    pub fn close(&mut self) -> Vec<DomainReport> {
        let mut reports = Vec::new();
        for (address, exporter) in &mut self.exporters {
            for domain in exporter.domains.values_mut() {
                domain.ledger.close_gaps(i64::MAX);
                reports.push(DomainReport {
                    exporter: model::addr::to_ip(address).unwrap_or(IpAddr::from(*address)),
                    version: domain.version,
                    domain: domain.id,
                    counts: domain.counts,
                    totals: domain.ledger.totals(),
                    convention: domain.ledger.convention(),
                    waiting_sets: domain.waiting_sets(),
                });
            }
        }
        reports
    }
}

impl Change {
    /// The row of this change in `templates.v1`, see `store`.
    pub fn is_sampler(&self) -> bool {
        matches!(self.what, Changed::Sampler { .. })
    }
}
