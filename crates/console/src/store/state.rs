//! What the pages read, in memory: every document as it last was, and bounded rings of what
//! streams by. It knows neither the log nor the file behind it; what changed is left in `Dirty`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use model::rows::{
    Action, Anomaly, Approval, Change, Device, Element, Event, Feedback, Incident, IncidentState,
    Interface, Metric, Quality, Signal,
};

use super::row::{Execution, Gauge, Heard, IncidentDoc, Point, Revision, Row, Series, SeriesKey};
use crate::config::StoreConfig;
use crate::metrics::dropped;

/// A document's kind on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Incident = 0,
    Execution = 1,
    Element = 2,
    Device = 3,
    Interface = 4,
}

/// What the file does not have yet.
#[derive(Debug, Default)]
pub struct Dirty {
    pub documents: BTreeSet<(Kind, String)>,
    pub series: BTreeSet<SeriesKey>,
    /// (series, number of the point); what left the front goes by range.
    pub points: Vec<(u32, u64, Point)>,
    pub points_gone: BTreeMap<u32, u64>,
    pub series_gone: Vec<(SeriesKey, u32)>,
    pub evidence_from: Option<u64>,
    pub events_from: Option<u64>,
}

/// A ring whose rows have numbers.
#[derive(Debug)]
pub struct Ring<T> {
    pub first: u64,
    pub rows: VecDeque<T>,
}

#[derive(Debug, Default)]
pub struct State {
    pub limits: StoreConfig,
    pub incidents: BTreeMap<String, IncidentDoc>,
    pub executions: BTreeMap<String, Execution>,
    /// Executions of an incident.
    pub repairs: BTreeMap<String, Vec<String>>,
    pub elements: BTreeMap<String, Element>,
    pub devices: BTreeMap<String, Device>,
    pub interfaces: BTreeMap<String, Interface>,
    pub series: HashMap<SeriesKey, Series>,
    pub series_next: u32,
    pub evidence: Ring<Anomaly>,
    pub events: Ring<Event>,
    /// By device, then metric.
    pub gauges: BTreeMap<(String, String), Gauge>,
    pub heard: BTreeMap<String, Heard>,
    /// Words on incidents that are not known yet.
    pub waiting: Vec<Row>,
    /// The latest time of any row: what retention counts back from.
    pub latest_ms: i64,
    /// Counts up with each batch of rows.
    pub version: u64,
    pub dirty: Dirty,
    /// Whether anybody takes what is dirty.
    pub is_kept: bool,
}

impl<T> Default for Ring<T> {
    fn default() -> Ring<T> {
        Ring { first: 0, rows: VecDeque::new() }
    }
}

// === impl Ring ===

impl<T> Ring<T> {
    /// The number of the row, after what the limit and retention take.
    fn push(&mut self, row: T, max: usize, is_old: impl Fn(&T) -> bool, subject: &'static str) {
        self.rows.push_back(row);
        let mut gone = 0;
        while self.rows.len() > max {
            self.rows.pop_front();
            gone += 1;
        }
        dropped(subject, "limit", gone);
        let mut old = 0;
        while self.rows.front().is_some_and(&is_old) {
            self.rows.pop_front();
            old += 1;
        }
        dropped(subject, "retention", old);
        self.first += (gone + old) as u64;
    }

    pub fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }
}

// === impl State ===

impl State {
    pub fn new(limits: StoreConfig, is_kept: bool) -> State {
        State { limits, is_kept, ..State::default() }
    }

    pub fn apply(&mut self, row: Row) {
        match row {
            Row::Signal(signal) => self.signal(&signal),
            Row::Anomaly(anomaly) => self.anomaly(anomaly),
            Row::Change(change) => self.change(change),
            Row::Feedback(feedback) => self.feedback(feedback),
            Row::Incident(incident) => self.incident(incident),
            Row::Action(action) => self.action(action),
            Row::Approval(approval) => self.approval(approval),
            Row::Element(element) => self.element(element),
            Row::Device(device) => self.device(device),
            Row::DeviceGone(key) => {
                self.devices.remove(&key);
                self.touch(Kind::Device, &key);
            }
            Row::Interface(interface) => self.interface(interface),
            Row::InterfaceGone(key) => {
                self.interfaces.remove(&key);
                self.touch(Kind::Interface, &key);
            }
            Row::Metric(metric) => self.metric(metric),
            Row::Event(event) => self.event(event),
        }
    }

    fn touch(&mut self, kind: Kind, key: &str) {
        if self.is_kept {
            self.dirty.documents.insert((kind, key.to_owned()));
        }
    }

    fn at(&mut self, time_ms: i64) {
        self.latest_ms = self.latest_ms.max(time_ms);
    }

    /// Before this instant signals, evidence and events are old.
    pub fn horizon_ms(&self) -> i64 {
        let retention = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
        self.latest_ms.saturating_sub(retention)
    }

    // --- documents

    fn incident(&mut self, incident: Incident) {
        self.at(incident.updated_ms);
        let id = incident.id.clone();
        let revisions_max = self.limits.revisions_max;
        match self.incidents.get_mut(&id) {
            // A message that is read again says nothing new.
            Some(doc) if doc.incident.revision >= incident.revision => return,
            Some(doc) => {
                if doc.revisions.len() >= revisions_max {
                    // The opening stays: it is where the story begins.
                    doc.revisions.remove(1);
                    dropped("revisions", "limit", 1);
                }
                doc.revisions.push(Revision::of(&incident));
                doc.incident = incident;
            }
            None => {
                self.make_room();
                let revisions = vec![Revision::of(&incident)];
                let doc =
                    IncidentDoc { incident, revisions, feedback: Vec::new(), changes: Vec::new() };
                self.incidents.insert(id.clone(), doc);
                self.touch(Kind::Incident, &id);
                return self.arrived(&id);
            }
        }
        self.touch(Kind::Incident, &id);
    }

    /// Topics are read side by side: a word may come before the incident that it is about.
    fn wait(&mut self, row: Row) {
        bounded(&mut self.waiting, row, self.limits.words_max, "words");
    }

    fn arrived(&mut self, incident: &str) {
        let is_of = |row: &mut Row| match row {
            Row::Feedback(feedback) => feedback.incident == incident,
            Row::Change(change) => change.incident == incident,
            _ => false,
        };
        let rows: Vec<Row> = self.waiting.extract_if(.., is_of).collect();
        rows.into_iter().for_each(|row| self.apply(row));
    }

    /// For one more incident: the oldest that is over goes, or the oldest at all.
    fn make_room(&mut self) {
        if self.incidents.len() < self.limits.incidents_max {
            return;
        }
        let rank = |doc: &IncidentDoc| {
            (doc.incident.state != IncidentState::Resolved, doc.incident.updated_ms)
        };
        let oldest = self.incidents.iter().min_by_key(|(_, doc)| rank(doc));
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.incidents.remove(&id);
            self.touch(Kind::Incident, &id);
            for execution in self.repairs.remove(&id).unwrap_or_default() {
                self.executions.remove(&execution);
                self.touch(Kind::Execution, &execution);
            }
            dropped("incidents", "limit", 1);
        }
    }

    fn feedback(&mut self, feedback: Feedback) {
        self.at(feedback.time_ms);
        let words_max = self.limits.words_max;
        let id = feedback.incident.clone();
        let Some(doc) = self.incidents.get_mut(&id) else {
            return self.wait(Row::Feedback(feedback));
        };
        if doc.feedback.contains(&feedback) {
            return;
        }
        bounded(&mut doc.feedback, feedback, words_max, "words");
        self.touch(Kind::Incident, &id);
    }

    fn change(&mut self, change: Change) {
        self.at(change.time_ms);
        let steps_max = self.limits.steps_max;
        let id = change.incident.clone();
        let Some(doc) = self.incidents.get_mut(&id) else {
            return self.wait(Row::Change(change));
        };
        if doc.changes.contains(&change) {
            return;
        }
        bounded(&mut doc.changes, change, steps_max, "changes");
        self.touch(Kind::Incident, &id);
    }

    fn action(&mut self, action: Action) {
        self.at(action.time_ms);
        let (id, incident) = (action.execution.clone(), action.incident.clone());
        let steps_max = self.limits.steps_max;
        self.execution_room(&id);
        let execution = self.executions.entry(id.clone()).or_default();
        let at = execution.steps.partition_point(|step| step.serial < action.serial);
        if execution.steps.get(at).is_some_and(|step| step.serial == action.serial) {
            return;
        }
        execution.steps.insert(at, action);
        if execution.steps.len() > steps_max {
            // The plan and the end matter most.
            let middle = execution.steps.iter().position(|step| step.plan.is_none()).unwrap_or(0);
            execution.steps.remove(middle);
            dropped("steps", "limit", 1);
        }
        self.link(&incident, &id);
        self.touch(Kind::Execution, &id);
    }

    fn approval(&mut self, approval: Approval) {
        self.at(approval.time_ms);
        let (id, incident) = (approval.execution.clone(), approval.incident.clone());
        let words_max = self.limits.words_max;
        self.execution_room(&id);
        let execution = self.executions.entry(id.clone()).or_default();
        if execution.approvals.contains(&approval) {
            return;
        }
        bounded(&mut execution.approvals, approval, words_max, "words");
        self.link(&incident, &id);
        self.touch(Kind::Execution, &id);
    }

    pub fn link(&mut self, incident: &str, execution: &str) {
        let all = self.repairs.entry(incident.to_owned()).or_default();
        if !all.iter().any(|known| known == execution) {
            all.push(execution.to_owned());
        }
    }

    fn execution_room(&mut self, wanted: &str) {
        let max = self.limits.executions_max;
        if self.executions.len() < max || self.executions.contains_key(wanted) {
            return;
        }
        let time = |e: &Execution| e.last().map_or(i64::MIN, |step| step.time_ms);
        let oldest = self.executions.iter().min_by_key(|(_, e)| time(e));
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.executions.remove(&id);
            self.repairs.values_mut().for_each(|all| all.retain(|known| *known != id));
            self.repairs.retain(|_, all| !all.is_empty());
            self.touch(Kind::Execution, &id);
            dropped("executions", "limit", 1);
        }
    }

    fn element(&mut self, element: Element) {
        self.at(element.time_ms);
        let key = element.record_key();
        if element.removed {
            self.elements.remove(&key);
        } else if self.elements.len() >= self.limits.elements_max
            && !self.elements.contains_key(&key)
        {
            return dropped("elements", "limit", 1);
        } else {
            self.elements.insert(key.clone(), element);
        }
        self.touch(Kind::Element, &key);
    }

    fn device(&mut self, device: Device) {
        let key = device.record_key();
        if self.devices.len() >= self.limits.devices_max && !self.devices.contains_key(&key) {
            return dropped("devices", "limit", 1);
        }
        self.devices.insert(key.clone(), device);
        self.touch(Kind::Device, &key);
    }

    fn interface(&mut self, interface: Interface) {
        let key = interface.record_key();
        let is_full = self.interfaces.len() >= self.limits.interfaces_max;
        if is_full && !self.interfaces.contains_key(&key) {
            return dropped("interfaces", "limit", 1);
        }
        self.interfaces.insert(key.clone(), interface);
        self.touch(Kind::Interface, &key);
    }

    // --- what streams by

    fn signal(&mut self, signal: &Signal) {
        self.at(signal.window_end_ms);
        let key = SeriesKey {
            rule: signal.rule.clone(),
            key: signal.key.clone(),
            value_name: signal.value_name.clone(),
        };
        if self.series.len() >= self.limits.series_max && !self.series.contains_key(&key) {
            self.sweep();
            if self.series.len() >= self.limits.series_max {
                return dropped("series", "limit", 1);
            }
        }
        let (horizon_ms, points_max) = (self.horizon_ms(), self.limits.points_max);
        let next = &mut self.series_next;
        let is_new = !self.series.contains_key(&key);
        let series = self.series.entry(key.clone()).or_insert_with(|| {
            *next += 1;
            Series { number: *next - 1, domain: signal.domain.clone(), ..Series::default() }
        });
        let is_changed = series.rule_fp != signal.rule_fp;
        series.rule_fp.clone_from(&signal.rule_fp);
        if series.points.back().is_some_and(|last| last.end_ms >= signal.window_end_ms) {
            // Read again, or rebuilt from the past.
            return;
        }
        let point = Point::of(signal);
        series.points.push_back(point);
        let at = series.first + series.points.len() as u64 - 1;
        while series.points.len() > points_max
            || series.points.front().is_some_and(|p| p.end_ms < horizon_ms)
        {
            series.points.pop_front();
            series.first += 1;
        }
        if self.is_kept {
            let (number, first) = (series.number, series.first);
            self.dirty.points.push((number, at, point));
            self.dirty.points_gone.insert(number, first);
            if is_new || is_changed {
                self.dirty.series.insert(key);
            }
        }
    }

    /// Takes out series that have said nothing within the retention.
    pub fn sweep(&mut self) {
        let horizon_ms = self.horizon_ms();
        let is_old = |s: &Series| s.points.back().is_none_or(|last| last.end_ms < horizon_ms);
        let old: Vec<(SeriesKey, u32)> = self
            .series
            .iter()
            .filter(|(_, series)| is_old(series))
            .map(|(key, series)| (key.clone(), series.number))
            .collect();
        dropped("series", "retention", old.len());
        for (key, number) in old {
            self.series.remove(&key);
            if self.is_kept {
                self.dirty.series_gone.push((key, number));
            }
        }
    }

    fn anomaly(&mut self, anomaly: Anomaly) {
        self.at(anomaly.time_ms);
        let (horizon_ms, max) = (self.horizon_ms(), self.limits.evidence_max);
        let at = self.evidence.end();
        self.evidence.push(anomaly, max, |row| row.time_ms < horizon_ms, "evidence");
        if self.is_kept {
            self.dirty.evidence_from.get_or_insert(at);
        }
    }

    fn event(&mut self, event: Event) {
        self.at(event.received_ms);
        let heard = self.heard.entry(event.device.clone()).or_default();
        heard.events += 1;
        heard.event_ms = heard.event_ms.max(event.received_ms);
        heard.last_event = event.text.clone().or_else(|| Some(event.kind.clone()));
        let (horizon_ms, max) = (self.horizon_ms(), self.limits.events_max);
        let at = self.events.end();
        self.events.push(event, max, |row| row.received_ms < horizon_ms, "events");
        if self.is_kept {
            self.dirty.events_from.get_or_insert(at);
        }
        self.heard_room();
    }

    /// Of metrics only the last of each that a device says of itself: series are in signals.
    fn metric(&mut self, metric: Metric) {
        self.at(metric.received_ms);
        let heard = self.heard.entry(metric.device.clone()).or_default();
        heard.samples += 1;
        heard.metric_ms = heard.metric_ms.max(metric.received_ms);
        if !matches!(metric.quality, Quality::Ok | Quality::Wrap) {
            heard.doubtful += 1;
        }
        self.heard_room();
        if metric.entity.is_some() {
            return;
        }
        let key = (metric.device, metric.metric);
        if self.gauges.len() >= self.limits.gauges_max && !self.gauges.contains_key(&key) {
            return dropped("gauges", "limit", 1);
        }
        let gauge = self.gauges.entry(key).or_default();
        gauge.value = metric.value;
        gauge.rate = metric.rate;
        gauge.total += metric.value;
        gauge.received_ms = metric.received_ms;
    }

    /// As many as gauges: the one that was silent the longest goes.
    fn heard_room(&mut self) {
        if self.heard.len() > self.limits.gauges_max {
            let silent = |heard: &Heard| heard.metric_ms.max(heard.event_ms);
            let oldest = self.heard.iter().min_by_key(|(_, heard)| silent(heard));
            if let Some(device) = oldest.map(|(device, _)| device.clone()) {
                self.heard.remove(&device);
                dropped("gauges", "limit", 1);
            }
        }
    }
}

fn bounded<T>(all: &mut Vec<T>, one: T, max: usize, subject: &'static str) {
    all.push(one);
    if all.len() > max {
        all.remove(0);
        dropped(subject, "limit", 1);
    }
}
