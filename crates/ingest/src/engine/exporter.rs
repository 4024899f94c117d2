//! One exporter: an address, its observation domains, and what of them was last reported. The UDP
//! port is no part of an exporter's identity: it changes with a restart and behind NAT.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::rows::{Event, Metric, Quality};

use super::domain::{Domain, Usage};

/// Kinds of sums that are reported.
const KINDS: usize = 12;

/// What is reported of a domain, or of all of an exporter's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums([u64; KINDS]);

/// Names of the rows in `metrics`, in the order of `Sums`. Those marked are reported when they are
/// zero too: silence must be told from absence.
const NAMES: [(&str, bool); KINDS] = [
    ("exporter_datagrams", true),
    ("exporter_records", true),
    // In the unit of the exporter's own sequence (v5 flows, v9 packets, IPFIX data records), so
    // that a share of what was sent can be told.
    ("exporter_lost", true),
    ("exporter_received", true),
    ("exporter_missed", false),
    ("exporter_duplicates", false),
    ("exporter_options", false),
    ("exporter_reordered", false),
    ("exporter_restarts", false),
    ("exporter_waiting_expired", false),
    ("exporter_undecodable", false),
    ("exporter_unresolved", false),
];
const DATAGRAMS: usize = 0;
const LOST: usize = 2;
const MISSED: usize = 4;
const RESTARTS: usize = 8;

#[derive(Debug)]
pub struct Exporter {
    /// The address as text: the device of its rows.
    pub device: String,
    pub domains: BTreeMap<(u8, u32), Domain>,
    pub usage: Usage,
    pub heard: i64,
    /// Heard by this run, or by an earlier one that left a mark of it.
    pub is_live: bool,
    reported: BTreeMap<u32, Sums>,
    losing: BTreeMap<u32, bool>,
}

/// What all rows of one interval share.
pub struct Interval<'a> {
    pub domain: &'a str,
    pub instance: &'a str,
    pub end: i64,
    pub length_ms: i64,
}

// === impl Exporter ===

impl Exporter {
    pub fn new(address: [u8; 16]) -> Exporter {
        let device = model::addr::to_ip(&address).map(|ip: IpAddr| ip.to_string());
        Exporter {
            device: device.unwrap_or_default(),
            domains: BTreeMap::new(),
            usage: Usage::default(),
            heard: i64::MIN,
            is_live: false,
            reported: BTreeMap::new(),
            losing: BTreeMap::new(),
        }
    }

    /// The ledger's rows of an interval: what was added in it, per observation domain and in all.
    pub fn report(
        &mut self,
        interval: &Interval,
        metrics: &mut Vec<Metric>,
        events: &mut Vec<Event>,
    ) {
        let mut by_id: BTreeMap<u32, Sums> = BTreeMap::new();
        for domain in self.domains.values() {
            by_id.entry(domain.id).or_default().add(&Sums::of(domain));
        }
        let mut whole = Sums::default();
        for (id, sums) in by_id {
            let before = self.reported.insert(id, sums).unwrap_or_default();
            let added = sums.minus(&before);
            whole.add(&added);
            let entity = format!("domain {id}");
            self.rows(interval, Some(&entity), &added, metrics);
            self.events(interval, id, &entity, &added, events);
        }
        self.rows(interval, None, &whole, metrics);
        self.waiting_row(interval, metrics);
    }

    fn rows(
        &self,
        interval: &Interval,
        entity: Option<&str>,
        added: &Sums,
        metrics: &mut Vec<Metric>,
    ) {
        for ((name, always), value) in NAMES.iter().zip(added.0) {
            if *always || value > 0 {
                let seconds = interval.length_ms as f64 / 1000.0;
                let rate = Some(value as f64 / seconds);
                metrics.push(self.metric(interval, entity, name, value as f64, rate));
            }
        }
    }

    fn waiting_row(&self, interval: &Interval, metrics: &mut Vec<Metric>) {
        let sets = self.usage.waiting_sets;
        metrics.push(self.metric(interval, None, "exporter_waiting", sets as f64, None));
    }

    fn metric(
        &self,
        interval: &Interval,
        entity: Option<&str>,
        name: &str,
        value: f64,
        rate: Option<f64>,
    ) -> Metric {
        Metric {
            domain: interval.domain.to_owned(),
            received_ms: interval.end,
            device: self.device.clone(),
            entity: entity.map(str::to_owned),
            metric: name.to_owned(),
            value,
            rate,
            quality: Quality::Ok,
            device_time_ms: None,
            instance: Some(interval.instance.to_owned()),
        }
    }

    fn events(
        &mut self,
        interval: &Interval,
        id: u32,
        entity: &str,
        added: &Sums,
        events: &mut Vec<Event>,
    ) {
        let mut say = |state: &str, severity, text: String| {
            events.push(Event {
                domain: interval.domain.to_owned(),
                received_ms: interval.end,
                device: self.device.clone(),
                entity: Some(entity.to_owned()),
                kind: "exporter".to_owned(),
                state: Some(state.to_owned()),
                severity: Some(severity),
                device_time_ms: None,
                text: Some(text),
            });
        };
        if added.0[RESTARTS] > 0 {
            say("restarted", 5, format!("{entity}: its sequence numbers began anew"));
        }
        let missed = added.0[MISSED];
        if missed > 0 {
            let while_down = "lost between the end of an earlier run of ingest and this one";
            say("missed", 4, format!("{entity}: {missed} {while_down}"));
        }
        let lost = added.0[LOST];
        let losing = self.losing.entry(id).or_default();
        // A silent interval tells nothing about loss.
        if lost > 0 && !*losing {
            *losing = true;
            say("losing", 4, format!("{entity}: {lost} lost by its sequence numbers"));
        } else if lost == 0 && *losing && added.0[DATAGRAMS] > 0 {
            *losing = false;
            say("whole", 6, format!("{entity}: nothing lost"));
        }
    }
}

/// The event of an exporter that was not known before.
pub fn heard(domain: &str, device: &str, received_ms: i64) -> Event {
    Event {
        domain: domain.to_owned(),
        received_ms,
        device: device.to_owned(),
        entity: None,
        kind: "exporter".to_owned(),
        state: Some("heard".to_owned()),
        severity: Some(6),
        device_time_ms: None,
        text: Some(format!("first datagram from {device}")),
    }
}

// === impl Sums ===

impl Sums {
    fn of(domain: &Domain) -> Sums {
        let (counts, totals) = (&domain.counts, domain.ledger.totals());
        Sums([
            counts.datagrams,
            counts.records,
            totals.lost,
            totals.units,
            totals.missed,
            counts.duplicates,
            counts.options_records,
            totals.reordered,
            totals.restarts,
            counts.expired_sets,
            counts.undecodable_sets,
            totals.expired + totals.undecodable,
        ])
    }

    fn add(&mut self, other: &Sums) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, value)| *sum += value);
    }

    /// A sum falls where another way of counting was found to be the exporter's: no news then.
    fn minus(&self, before: &Sums) -> Sums {
        let mut added = *self;
        added.0.iter_mut().zip(before.0).for_each(|(sum, old)| *sum = sum.saturating_sub(old));
        added
    }
}
