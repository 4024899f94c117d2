//! What the store keeps of the rows that it reads: points of series, the life of an incident, an
//! execution with all its steps.

use std::collections::VecDeque;

use model::rows::{Action, Approval, Change, Feedback, Incident, IncidentState, Signal};
use serde::{Deserialize, Serialize};

/// A row of any topic that the store reads.
#[derive(Clone, Debug)]
pub enum Row {
    Signal(Signal),
    Anomaly(model::rows::Anomaly),
    Change(Change),
    Feedback(Feedback),
    Incident(Incident),
    Action(Action),
    Approval(Approval),
    Element(model::rows::Element),
    Device(model::rows::Device),
    DeviceGone(String),
    Interface(model::rows::Interface),
    InterfaceGone(String),
    Metric(model::rows::Metric),
    Event(model::rows::Event),
}

/// One point of a series. NaN where the row had null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub start_ms: i64,
    pub end_ms: i64,
    pub value: f64,
    pub expected: f64,
    pub lower: f64,
    pub upper: f64,
    pub score: f64,
    pub is_anomalous: bool,
    pub is_complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    pub rule: String,
    pub key: String,
    pub value_name: String,
}

/// The last points of a series, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub number: u32,
    pub domain: String,
    pub rule_fp: String,
    /// How many points went before the first one here.
    pub first: u64,
    pub points: VecDeque<Point>,
}

/// An incident as it is, with what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentDoc {
    pub incident: Incident,
    pub revisions: Vec<Revision>,
    pub feedback: Vec<Feedback>,
    pub changes: Vec<Change>,
}

/// What a timeline says of one change of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub number: u32,
    pub time_ms: i64,
    pub state: IncidentState,
    pub headline: String,
    pub members: usize,
    pub root: Option<String>,
    pub probability: Option<f64>,
    pub reopened: u32,
}

/// An execution with its steps in order of their serials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub steps: Vec<Action>,
    pub approvals: Vec<Approval>,
}

/// The last value that a device or exporter told of itself, and what they add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauge {
    pub value: f64,
    pub rate: Option<f64>,
    pub total: f64,
    pub received_ms: i64,
}

/// What was heard of a device at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    pub samples: u64,
    pub metric_ms: i64,
    pub events: u64,
    pub event_ms: i64,
    pub last_event: Option<String>,
    /// Rates that were none: gap, reset, implausible.
    pub doubtful: u64,
}

// === impl Point ===

impl Point {
    pub fn of(signal: &Signal) -> Point {
        let or_nan = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Point {
            start_ms: signal.window_start_ms,
            end_ms: signal.window_end_ms,
            value: or_nan(signal.value),
            expected: or_nan(signal.expected),
            lower: or_nan(signal.lower),
            upper: or_nan(signal.upper),
            score: or_nan(signal.score),
            is_anomalous: signal.anomalous,
            is_complete: signal.complete,
        }
    }
}

// === impl Revision ===

impl Revision {
    pub fn of(incident: &Incident) -> Revision {
        let root = incident.cause.as_ref().and(incident.entity.as_ref());
        Revision {
            number: incident.revision,
            time_ms: incident.updated_ms,
            state: incident.state,
            headline: incident.headline.clone(),
            members: incident.members.len(),
            root: root.map(|entity| format!("{} {}", entity.kind, entity.name)),
            probability: incident.cause.as_ref().map(|cause| cause.probability),
            reopened: incident.reopened,
        }
    }
}

// === impl Execution ===

impl Execution {
    pub fn last(&self) -> Option<&Action> {
        self.steps.last()
    }

    /// The step that carries the plan, as it was last planned.
    pub fn planned(&self) -> Option<&Action> {
        self.steps.iter().rev().find(|step| step.plan.is_some())
    }

    pub fn plan_hash(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(|step| step.plan_hash.as_deref())
    }
}
