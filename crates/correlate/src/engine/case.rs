//! One incident and its life: open while one of its anomalies is, quiet when all have cleared,
//! resolved when it was quiet for long enough, and open again under the same id when it comes back
//! soon. Which anomaly belongs to which incident is `book`'s.

use model::rows::{Anomaly, AnomalyKind, Entity, Grouping, Incident, IncidentState, Member};
use model::schema::hex16;
use serde::{Deserialize, Serialize};

use super::words;
use crate::config::CorrelateConfig;

/// Texts that a member keeps: a message has a limit, and a key can be as long as its columns.
const WHY_BYTES_MAX: usize = 1_000;
const KEY_BYTES_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    pub incident: Incident,
    /// When the last of its anomalies cleared, while it is quiet.
    quiet_ms: Option<i64>,
    /// Anomalies that are not listed: too many.
    unlisted: u64,
    /// Of those the ones that have not cleared.
    unlisted_open: u64,
    /// Evidence of its domain that waited for its time and was refused.
    pub lost: u64,
    /// The member that the headline speaks of, and what it was said to be worth.
    worst: String,
    worst_score: f64,
    /// Not told yet.
    pub is_changed: bool,
}

/// Whether an anomaly got a place among the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Listed,
    Unlisted,
}

/// What falls due next for an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Resolve(i64),
    Forget(i64),
}

// === impl Case ===

impl Case {
    /// An incident without members yet; `first` gives it its id.
    pub fn open(grouping: Grouping, entity: Option<Entity>, first: &Anomaly) -> Case {
        let incident = Incident {
            domain: first.domain.clone(),
            id: id(grouping, entity.as_ref(), first),
            revision: 0,
            state: IncidentState::Open,
            opened_ms: first.time_ms,
            updated_ms: first.time_ms,
            resolved_ms: None,
            grouping,
            entity,
            headline: String::new(),
            score: None,
            members: Vec::new(),
            contributors: Vec::new(),
            cause: None,
            changes: Vec::new(),
            reopened: 0,
            merged_into: None,
        };
        Case {
            incident,
            quiet_ms: None,
            unlisted: 0,
            unlisted_open: 0,
            lost: 0,
            worst: String::new(),
            worst_score: f64::NEG_INFINITY,
            is_changed: true,
        }
    }

    /// Takes what is said of an anomaly that belongs here.
    pub fn take(&mut self, anomaly: &Anomaly, config: &CorrelateConfig) -> Joined {
        self.is_changed = true;
        let at = self.incident.members.iter().position(|member| member.id == anomaly.id);
        let joined = match (at, anomaly.kind) {
            (Some(at), AnomalyKind::Clear) => {
                self.incident.members[at].cleared_ms = Some(anomaly.time_ms);
                Joined::Listed
            }
            (Some(at), AnomalyKind::Open | AnomalyKind::Worse) => {
                let opened_ms = self.incident.members[at].opened_ms;
                self.incident.members[at] = member(anomaly, opened_ms);
                self.judge(anomaly);
                Joined::Listed
            }
            (None, AnomalyKind::Clear) => {
                self.unlisted_open = self.unlisted_open.saturating_sub(1);
                Joined::Unlisted
            }
            (None, AnomalyKind::Open | AnomalyKind::Worse) => self.add(anomaly, config),
        };
        self.settle(anomaly.time_ms);
        joined
    }

    /// Whether a clearing that names no listed anomaly can be of this incident.
    pub fn has_unlisted(&self) -> bool {
        self.unlisted_open > 0
    }

    pub fn due(&self, config: &CorrelateConfig) -> Option<Due> {
        match (self.incident.state, self.quiet_ms, self.incident.resolved_ms) {
            (IncidentState::Quiet, Some(quiet_ms), _) => {
                Some(Due::Resolve(quiet_ms + config.resolve_after_ms()))
            }
            (IncidentState::Resolved, _, Some(resolved_ms)) => {
                Some(Due::Forget(resolved_ms + config.reopen_within_ms()))
            }
            _ => None,
        }
    }

    pub fn resolve(&mut self, now_ms: i64) {
        self.incident.state = IncidentState::Resolved;
        self.incident.resolved_ms = Some(now_ms);
        self.is_changed = true;
    }

    /// The row after a change.
    pub fn told(&mut self, now_ms: i64) -> Incident {
        let incident = &mut self.incident;
        incident.revision += 1;
        incident.updated_ms = incident.updated_ms.max(now_ms);
        incident.score = largest(&incident.members);
        let worst = incident.members.iter().find(|member| member.id == self.worst);
        let left_out = words::LeftOut { anomalies: self.unlisted, evidence: self.lost };
        incident.headline =
            words::headline(incident.entity.as_ref(), worst, incident.members.len(), left_out);
        self.is_changed = false;
        incident.clone()
    }

    fn add(&mut self, anomaly: &Anomaly, config: &CorrelateConfig) -> Joined {
        if self.incident.members.len() >= config.members_max as usize && !self.make_room() {
            self.unlisted += 1;
            self.unlisted_open += 1;
            return Joined::Unlisted;
        }
        let new = member(anomaly, anomaly.time_ms);
        let after = |m: &Member| (m.opened_ms, &m.id) < (new.opened_ms, &new.id);
        let at = self.incident.members.partition_point(after);
        self.incident.members.insert(at, new);
        self.judge(anomaly);
        Joined::Listed
    }

    /// Lets the oldest member go that has cleared and is not what the headline speaks of.
    fn make_room(&mut self) -> bool {
        let worst = &self.worst;
        let may_go = |m: &Member| m.cleared_ms.is_some() && m.id != *worst;
        let Some(at) = self.incident.members.iter().position(may_go) else {
            return false;
        };
        self.incident.members.remove(at);
        self.unlisted += 1;
        true
    }

    /// The worst is the one with the largest score; an anomaly without a score yields to any other.
    fn judge(&mut self, anomaly: &Anomaly) {
        let score = anomaly.score.filter(|s| !s.is_nan()).unwrap_or(0.0);
        if score > self.worst_score || self.worst == anomaly.id {
            self.worst_score = self.worst_score.max(score);
            self.worst.clone_from(&anomaly.id);
            if !anomaly.contributors.is_empty() {
                self.incident.contributors.clone_from(&anomaly.contributors);
            }
        }
    }

    fn settle(&mut self, now_ms: i64) {
        let is_open = self.unlisted_open > 0
            || self.incident.members.iter().any(|member| member.cleared_ms.is_none());
        if is_open {
            self.incident.state = IncidentState::Open;
            self.incident.resolved_ms = None;
            self.quiet_ms = None;
        } else if self.incident.state == IncidentState::Open {
            self.incident.state = IncidentState::Quiet;
            self.quiet_ms = Some(now_ms);
        }
    }
}

/// From content alone, never from offsets: the same evidence makes the same id.
fn id(grouping: Grouping, entity: Option<&Entity>, first: &Anomaly) -> String {
    let (kind, name) = entity.map_or(("", ""), |e| (e.kind.as_str(), e.name.as_str()));
    let time = first.time_ms.to_string();
    let parts = [&first.domain, grouping.as_str(), kind, name, &first.id, time.as_str()];
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    let text: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
    hex16(text.as_bytes())
}

fn member(anomaly: &Anomaly, opened_ms: i64) -> Member {
    Member {
        id: anomaly.id.clone(),
        rule: anomaly.rule.clone(),
        key: words::cut(&anomaly.key, KEY_BYTES_MAX),
        model: anomaly.model.clone(),
        opened_ms,
        cleared_ms: None,
        value: anomaly.value,
        expected: anomaly.expected,
        score: anomaly.score,
        why: words::cut(&anomaly.why, WHY_BYTES_MAX),
    }
}

fn largest(members: &[Member]) -> Option<f64> {
    let scores = members.iter().filter_map(|member| member.score).filter(|s| !s.is_nan());
    scores.max_by(f64::total_cmp)
}
