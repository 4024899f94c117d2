//! A run against its truth: whether the root is right, how long it took, whether the repair fits,
//! and whether a device was touched that has nothing to do with it.

use std::collections::{BTreeMap, BTreeSet};

use model::rows::{Action, ActionState, Incident};
use serde::Serialize;
use sim::net::{Fault, Root, Truth};

use super::run::{Shown, Told, is_end, opened};

/// What is said of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootWord {
    Right,
    Wrong,
    /// An incident that names no root.
    Abstained,
    Missed,
    /// A quiet run without a word.
    Quiet,
}

/// One line of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub fault: Fault,
    pub seed: u64,
    /// Looked at while it was developed, or not.
    pub half: &'static str,
    pub root: RootWord,
    /// What was said, and what is true.
    pub said: Option<String>,
    pub truth: Option<String>,
    pub probability: Option<f64>,
    pub incidents: usize,
    /// From the fault to the first incident, in seconds of the network's time.
    pub incident_s: Option<f64>,
    /// From the fault to the verified repair.
    pub repair_s: Option<f64>,
    /// The end of the last execution that changes a device.
    pub repair: Option<&'static str>,
    /// Whether that is what should have been done.
    pub repaired: bool,
    pub wrong_devices: BTreeSet<String>,
    pub notified: bool,
    pub took_s: f64,
    /// Of a run that went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headlines: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// What is true of a fault.
struct Fact<'a> {
    cause: &'a str,
    root: &'a Root,
    also: &'a [Root],
    start_ms: i64,
    may_touch: &'a [String],
    repair: Option<&'a str>,
}

pub fn judge(told: Told, half: &'static str, shown: &Shown, truth: &[Truth]) -> Line {
    let fact = truth.iter().find_map(Fact::of);
    let last = latest(&shown.incidents);
    let counted: Vec<&&Incident> = last.values().filter(|i| i.merged_into.is_none()).collect();
    // The first to open is what a person on call sees; others are counted against us.
    let first = last.values().min_by_key(|incident| incident.opened_ms);
    let named = first.map(|first| followed(first, &last));
    let root = match (&fact, named) {
        (None, None) => RootWord::Quiet,
        (None, Some(_)) => RootWord::Wrong,
        (Some(_), None) => RootWord::Missed,
        (Some(fact), Some(incident)) => fact.word(incident),
    };
    let since = |at_ms: i64| fact.as_ref().map(|f| (at_ms - f.start_ms) as f64 / 1_000.0);
    let first_word = shown.incidents.iter().map(|incident| incident.updated_ms).min();
    let repair = last_repair(&shown.actions);
    let confirmed = repair.filter(|row| row.state == ActionState::Confirmed);
    let touched = shown.writes.iter().filter(|written| written.driver != "notify");
    let touched = touched.map(|written| written.device.clone());
    let may = |device: &String| fact.as_ref().is_some_and(|f| f.may_touch.contains(device));
    let wrong_devices: BTreeSet<String> = touched.filter(|device| !may(device)).collect();
    let wants_repair = fact.as_ref().is_some_and(|f| f.repair.is_some());
    let repaired = confirmed.is_some() && wants_repair && wrong_devices.is_empty();
    let is_good = matches!(root, RootWord::Right | RootWord::Quiet)
        && counted.len() <= 1
        && wants_repair == repaired;
    let incident_cause = |i: &Incident| i.cause.as_ref().map_or(String::new(), |c| c.fault.clone());
    let name = |i: &Incident| i.entity.as_ref().map_or(String::new(), |e| e.name.clone());
    Line {
        fault: told.fault,
        seed: told.seed,
        half,
        root,
        said: named.map(|i| format!("{} {}", incident_cause(i), name(i))),
        truth: fact.as_ref().map(|fact| format!("{} {}", fact.cause, fact.root.name)),
        probability: named.and_then(|i| i.cause.as_ref()).map(|cause| cause.probability),
        incidents: counted.len(),
        incident_s: first_word.and_then(since),
        repair_s: confirmed.and_then(|row| since(row.time_ms)),
        repair: repair.map(|row| row.state.as_str()),
        repaired,
        wrong_devices,
        notified: shown.writes.iter().any(|written| written.driver == "notify"),
        took_s: shown.took.as_secs_f64(),
        anomalies: if is_good { Vec::new() } else { opened(shown) },
        headlines: if is_good { Vec::new() } else { headlines(shown, &last) },
        steps: if is_good { Vec::new() } else { steps(shown) },
    }
}

impl<'a> Fact<'a> {
    fn of(truth: &'a Truth) -> Option<Fact<'a>> {
        match truth {
            Truth::Network { .. } => None,
            Truth::Fault { cause, root, also, start_ms, may_touch, repair, .. } => Some(Fact {
                cause,
                root,
                also,
                start_ms: *start_ms,
                may_touch,
                repair: repair.as_deref(),
            }),
        }
    }

    fn word(&self, incident: &Incident) -> RootWord {
        let (Some(cause), Some(entity)) = (&incident.cause, &incident.entity) else {
            return RootWord::Abstained;
        };
        let mut names = [self.root].into_iter().chain(self.also);
        let is_there = names.any(|root| root.name == entity.name);
        if is_there && cause.fault == self.cause { RootWord::Right } else { RootWord::Wrong }
    }
}

/// The last revision of each incident.
fn latest(revisions: &[Incident]) -> BTreeMap<&str, &Incident> {
    revisions.iter().map(|incident| (incident.id.as_str(), incident)).collect()
}

/// The incident that one turned out to be part of.
fn followed<'a>(incident: &'a Incident, all: &BTreeMap<&str, &'a Incident>) -> &'a Incident {
    let mut at = incident;
    for _ in 0..all.len() {
        match at.merged_into.as_deref().and_then(|id| all.get(id)) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

/// The last row of the last execution that wrote to a device.
fn last_repair(actions: &[Action]) -> Option<&Action> {
    let changes = |action: &&Action| {
        let driver = action.driver.as_deref();
        action.state == ActionState::Applying && driver.is_some_and(|driver| driver != "notify")
    };
    let execution = &actions.iter().rev().find(changes)?.execution;
    actions.iter().rev().find(|row| row.execution == *execution && is_end(row))
}

fn headlines(shown: &Shown, last: &BTreeMap<&str, &Incident>) -> Vec<String> {
    let one = |incident: &&Incident| {
        let at_s = (incident.opened_ms - shown.start_ms) / 1_000;
        let merged = incident.merged_into.as_ref().map_or("", |_| " (merged)");
        let why = incident.cause.as_ref().map_or("", |cause| cause.why.as_str());
        format!("{at_s} s {}{merged}: {why}", incident.headline)
    };
    last.values().map(one).collect()
}

fn steps(shown: &Shown) -> Vec<String> {
    let one = |action: &Action| {
        let at_s = (action.time_ms - shown.start_ms) / 1_000;
        let (playbook, state, reason) = (&action.playbook, action.state.as_str(), &action.reason);
        let gates: Vec<String> = action
            .gates
            .iter()
            .filter(|gate| gate.verdict.as_str() != "pass")
            .map(|gate| format!("{}: {}", gate.name, gate.reason))
            .collect();
        format!("{at_s} s {playbook} {state} {reason} {}", gates.join("; "))
    };
    shown.actions.iter().map(one).collect()
}
