//! How instants, numbers, faults and states are said to a person.

use jiff::Timestamp;
use model::rows::{ActionState, Entity, Incident, IncidentState};

use crate::store::IncidentDoc;

/// How urgently somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Critical,
    Major,
    Minor,
}

/// `10:53:07`, UTC.
pub fn clock(ms: i64) -> String {
    format(ms, "%H:%M:%S")
}

/// `2026-11-26 10:53:07`, UTC.
pub fn date(ms: i64) -> String {
    format(ms, "%Y-%m-%d %H:%M:%S")
}

fn format(ms: i64, form: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) => instant.strftime(form).to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// `8 s`, `4 min`, `3 h 20 min`, `5 d`.
pub fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5_400 => match (seconds / 60, seconds % 60) {
            (minutes @ 0..10, rest @ 1..) => format!("{minutes} min {rest} s"),
            (minutes, _) => format!("{minutes} min"),
        },
        5_400..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `12.3 M`, `950`, `0.042`: three digits that matter.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    const UNITS: [(f64, &str); 4] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let size = value.abs();
    match UNITS.iter().find(|(unit, _)| size >= *unit * 0.9995) {
        // Thousands are read best as they are.
        Some((unit, _)) if *unit < 1e6 && size < 10_000.0 => format!("{value:.0}"),
        Some((unit, word)) => format!("{}{word}", digits(value / unit)),
        None => digits(value),
    }
}

fn digits(value: f64) -> String {
    let text = match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.0 => return "0".to_owned(),
        _ => format!("{value:.2e}"),
    };
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `87 %`; never rounded up to certainty.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        share if share > 99.0 && share < 100.0 => "over 99 %".to_owned(),
        share if share > 0.0 && share < 1.0 => "under 1 %".to_owned(),
        share => format!("{share:.0} %"),
    }
}

/// What a fault is called in a sentence about its entity.
pub fn fault(fault: &str) -> String {
    let words = match fault {
        "link-down" => "down",
        "admin-down" => "shut by an operator (administratively down)",
        "node-down" => "down or unreachable",
        "flapping" => "flapping: it goes up and down",
        "saturated" => "full: more traffic than it can carry",
        "cpu" => "out of CPU",
        "flood" => "flooded",
        "exporter-silent" => "silent: its flows stopped",
        "group-down" => "down together",
        other => other,
    };
    words.to_owned()
}

pub fn entity(entity: &Entity) -> String {
    match entity.kind.as_str() {
        // The name says which.
        "device" | "interface" | "host" => entity.name.clone(),
        kind => format!("{kind} {}", entity.name),
    }
}

pub fn severity(incident: &Incident) -> Severity {
    let fault = incident.cause.as_ref().map(|cause| cause.fault.as_str());
    match fault {
        Some("link-down" | "admin-down" | "node-down" | "group-down" | "flood") => {
            Severity::Critical
        }
        Some("saturated" | "flapping" | "cpu") => Severity::Major,
        Some(_) => Severity::Minor,
        None if incident.members.len() >= 3 => Severity::Major,
        None => Severity::Minor,
    }
}

/// The value of a column in a series' key (`domain=default,device=edge1,entity=Gi0/1`).
pub fn of_key<'a>(key: &'a str, column: &str) -> Option<&'a str> {
    let pairs = key.split(',').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == column).map(|(_, value)| value).next()
}

/// A key without what is the same everywhere: `edge1 Gi0/1`.
pub fn key(key: &str) -> String {
    let pairs = key.split(',').map(|pair| pair.split_once('=').unwrap_or(("", pair)));
    let values: Vec<&str> =
        pairs.filter(|(name, _)| *name != "domain").map(|(_, value)| value).collect();
    match values.is_empty() {
        true => "all".to_owned(),
        false => values.join(" "),
    }
}

/// Devices, exporters and hosts that an incident's members speak of.
pub fn devices(doc: &IncidentDoc) -> Vec<String> {
    let names = doc.incident.members.iter().filter_map(|member| {
        let columns = ["device", "exporter", "dst_addr", "host"];
        columns.iter().find_map(|column| of_key(&member.key, column)).map(str::to_owned)
    });
    let all: std::collections::BTreeSet<String> = names.collect();
    all.into_iter().collect()
}

pub fn incident_state(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Open => "open",
        IncidentState::Quiet => "quiet: all its anomalies have cleared",
        IncidentState::Resolved => "resolved",
    }
}

/// What the state of an execution means to who looks at it.
pub fn action_state(state: ActionState) -> &'static str {
    match state {
        ActionState::Proposed => "being planned",
        ActionState::Planned => "planned",
        ActionState::AwaitingApproval => "waits for your approval",
        ActionState::Approved => "approved, about to start",
        ActionState::Leased => "has the device to itself, about to write",
        ActionState::Applying => "being applied",
        ActionState::Applied => "applied",
        ActionState::Verifying => "applied, being verified",
        ActionState::Confirmed => "repaired and verified",
        ActionState::Refused => "refused by a gate",
        ActionState::Rejected => "rejected",
        ActionState::Expired => "expired: nobody approved in time",
        ActionState::Withdrawn => "withdrawn: the incident was over first",
        ActionState::Failed => "failed",
        ActionState::Unknown => "unknown: look at the device, then decide",
        ActionState::RollingBack => "being rolled back",
        ActionState::RolledBack => "rolled back",
        ActionState::Stuck => "stuck: the way back failed too, a person is needed",
    }
}

/// The colour that goes with it, which never says anything alone.
pub fn tone(state: ActionState) -> &'static str {
    use ActionState as S;
    match state {
        S::AwaitingApproval | S::Planned | S::Proposed => "wait",
        S::Approved | S::Leased | S::Applying | S::Applied | S::Verifying | S::RollingBack => "run",
        S::Confirmed => "good",
        S::Refused | S::Rejected | S::Expired | S::Withdrawn => "off",
        S::Failed | S::Unknown | S::RolledBack | S::Stuck => "bad",
    }
}

/// At most `max` characters, with a mark where more were.
pub fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
