//! One incident and its life: open while one of its anomalies is, quiet when all have cleared,
//! resolved when it was quiet for long enough, and open again under the same id when it comes back
//! soon. Which anomaly belongs to which incident is `book`'s.

use std::collections::BTreeMap;

use model::rows::{
    Anomaly, AnomalyKind, Contributor, Entity, Feedback, Grouping, Incident, IncidentState, Member,
};
use model::schema::hex16;
use serde::{Deserialize, Serialize};

use super::roots::{POLLED_MS, SLOW_MS, SOON_MS};
use super::tale::Told;
use super::words;
use crate::config::{CorrelateConfig, Sign};

/// Texts that a member keeps: a message has a limit, and a key can be as long as its columns.
const WHY_BYTES_MAX: usize = 1_000;
const KEY_BYTES_MAX: usize = 500;
/// Anomalies on the map of one incident; what comes over it is only counted.
const PLACED_MAX: usize = 1_000;
/// When a root is looked at again: each time that a kind of symptom should have come by then.
const REVIEWS_MS: [i64; 3] = [SOON_MS, POLLED_MS, SLOW_MS];

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
    /// What it named before a root was found, and names again without one.
    first: (Grouping, Option<Entity>),
    pub told: Option<Told>,
    /// Its anomalies that are symptoms at a place of the map, those that are not listed too.
    pub placed: BTreeMap<String, Placed>,
    /// When its last anomaly came, and how often its root was looked at since for what did not.
    review: Option<(i64, usize)>,
    pub feedback: Vec<Feedback>,
}

/// An anomaly on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub sign: Sign,
    pub entity: Entity,
    /// When it opened last.
    pub opened_ms: i64,
    pub is_cleared: bool,
    /// The incident's root explains it.
    pub is_explained: bool,
    /// It comes from a change of our own.
    pub is_ours: bool,
    /// It is at what we silenced, and keeps nothing open.
    pub is_silenced: bool,
}

/// An anomaly on its way to another incident.
pub(super) struct Moved {
    id: String,
    member: Option<Member>,
    placed: Placed,
    contributors: Vec<Contributor>,
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
            first: (grouping, incident.entity.clone()),
            told: None,
            placed: BTreeMap::new(),
            review: None,
            feedback: Vec::new(),
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

    /// Takes what is said of an anomaly on the map.
    pub fn take_placed(
        &mut self,
        anomaly: &Anomaly,
        placed: Placed,
        config: &CorrelateConfig,
    ) -> Joined {
        let is_listed = self.incident.members.iter().any(|member| member.id == anomaly.id);
        let is_full = self.placed.len() >= PLACED_MAX;
        let is_clear = anomaly.kind == AnomalyKind::Clear;
        let is_again = match self.placed.get_mut(&anomaly.id) {
            Some(there) => {
                let is_again = there.is_cleared && !is_clear;
                if is_again {
                    there.opened_ms = anomaly.time_ms;
                    there.is_explained = placed.is_explained;
                }
                let is_news = is_clear != there.is_cleared;
                there.is_cleared = is_clear;
                // One that is not listed is counted once each time it opens or clears.
                if !is_listed && !is_news {
                    return Joined::Unlisted;
                }
                is_again
            }
            None if is_full && !is_listed => {
                self.unlisted += 1;
                self.is_changed = true;
                return Joined::Unlisted;
            }
            None => {
                self.placed.insert(anomaly.id.clone(), placed);
                true
            }
        };
        if is_again {
            self.review = Some((anomaly.time_ms, 0));
        }
        self.take(anomaly, config)
    }

    pub fn next_review(&self) -> Option<i64> {
        let (since_ms, nth) = self.review?;
        Some(since_ms + REVIEWS_MS.get(nth)?)
    }

    pub fn reviewed(&mut self) {
        self.review = self.review.map(|(since_ms, nth)| (since_ms, nth + 1));
    }

    pub fn has_nothing(&self) -> bool {
        self.incident.members.is_empty() && self.placed.is_empty() && self.unlisted_open == 0
    }

    pub fn is_merged(&self) -> bool {
        self.incident.merged_into.is_some()
    }

    /// The root that explains it, or that none does.
    pub fn tell(&mut self, told: Option<Told>) {
        let (grouping, entity) = match &told {
            Some(told) => (Grouping::Cause, Some(told.entity.clone())),
            None => self.first.clone(),
        };
        self.incident.grouping = grouping;
        self.incident.entity = entity;
        self.told = told;
        self.is_changed = true;
    }

    pub fn explained(&mut self, id: &str, is_explained: bool) {
        if let Some(placed) = self.placed.get_mut(id) {
            placed.is_explained = is_explained;
            self.is_changed = true;
        }
    }

    /// What a change of our own silences, or no longer does.
    pub fn silence(&mut self, now_ms: i64, is_hit: impl Fn(&Placed) -> Option<bool>) {
        for placed in self.placed.values_mut() {
            if let Some(is_silenced) = is_hit(placed) {
                placed.is_silenced = is_silenced;
            }
        }
        self.is_changed = true;
        self.settle(now_ms);
    }

    pub fn take_out(&mut self, id: &str, now_ms: i64) -> Option<Moved> {
        let placed = self.placed.remove(id)?;
        let at = self.incident.members.iter().position(|member| member.id == id);
        let member = at.map(|at| self.incident.members.remove(at));
        if member.is_none() {
            self.unlisted = self.unlisted.saturating_sub(1);
            self.unlisted_open -= u64::from(!placed.is_cleared).min(self.unlisted_open);
        }
        let mut contributors = Vec::new();
        if self.worst == id {
            contributors = std::mem::take(&mut self.incident.contributors);
            self.worst_score = f64::NEG_INFINITY;
            self.worst.clear();
            for member in &self.incident.members {
                let score = member.score.filter(|s| !s.is_nan()).unwrap_or(0.0);
                if score > self.worst_score {
                    self.worst_score = score;
                    self.worst.clone_from(&member.id);
                }
            }
        }
        self.is_changed = true;
        if !self.has_nothing() {
            self.settle(now_ms);
        }
        Some(Moved { id: id.to_owned(), member, placed, contributors })
    }

    pub fn put_in(
        &mut self,
        moved: Moved,
        is_explained: bool,
        now_ms: i64,
        config: &CorrelateConfig,
    ) {
        let Moved { id, member, mut placed, contributors } = moved;
        placed.is_explained = is_explained;
        self.review = self.review.max(Some((placed.opened_ms, 0)));
        let is_open = !placed.is_cleared;
        self.placed.insert(id, placed);
        let is_full = self.incident.members.len() >= config.members_max as usize;
        match member.filter(|_| !is_full || self.make_room()) {
            Some(member) => {
                let score = member.score.filter(|s| !s.is_nan()).unwrap_or(0.0);
                if score > self.worst_score {
                    self.worst_score = score;
                    self.worst.clone_from(&member.id);
                    if !contributors.is_empty() {
                        self.incident.contributors = contributors;
                    }
                }
                self.list(member);
            }
            None => {
                self.unlisted += 1;
                self.unlisted_open += u64::from(is_open);
            }
        }
        self.is_changed = true;
        self.settle(now_ms);
    }

    pub fn merge_into(&mut self, id: &str, now_ms: i64) {
        self.incident.merged_into = Some(id.to_owned());
        self.told = None;
        self.review = None;
        self.resolve(now_ms);
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
        incident.headline = match (&incident.merged_into, &self.told) {
            (Some(other), _) => format!("Part of incident {other}"),
            (None, Some(told)) => {
                words::of_root(&told.lead, incident.members.len(), &incident.changes, left_out)
            }
            (None, None) => {
                words::headline(incident.entity.as_ref(), worst, incident.members.len(), left_out)
            }
        };
        if self.told.is_none() && !self.placed.is_empty() {
            incident.headline.push_str(words::NO_ROOT);
        }
        incident.cause = self.told.as_ref().map(|told| {
            let explained = |m: &&Member| self.placed.get(&m.id).is_some_and(|p| p.is_explained);
            let rest = incident.members.iter().filter(|m| !explained(m));
            let mut cause = told.cause.clone();
            cause.unexplained = rest.map(|m| m.id.clone()).collect();
            cause
        });
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
        self.list(new);
        self.judge(anomaly);
        Joined::Listed
    }

    fn list(&mut self, new: Member) {
        let after = |m: &Member| (m.opened_ms, &m.id) < (new.opened_ms, &new.id);
        let at = self.incident.members.partition_point(after);
        self.incident.members.insert(at, new);
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
        let silenced = |id: &str| self.placed.get(id).is_some_and(|placed| placed.is_silenced);
        let keeps_open = |m: &Member| m.cleared_ms.is_none() && !silenced(&m.id);
        let is_open = self.unlisted_open > 0 || self.incident.members.iter().any(keeps_open);
        if is_open {
            self.incident.reopened += u32::from(self.incident.state == IncidentState::Resolved);
            self.incident.state = IncidentState::Open;
            self.incident.resolved_ms = None;
            self.quiet_ms = None;
        } else if self.incident.state == IncidentState::Open {
            self.incident.state = IncidentState::Quiet;
            self.quiet_ms = Some(now_ms);
        }
    }
}

// === impl Placed ===

impl Placed {
    pub fn new(anomaly: &Anomaly, sign: Sign, is_explained: bool) -> Placed {
        Placed {
            sign,
            entity: anomaly.entity.clone().expect("what has a place names an entity"),
            opened_ms: anomaly.time_ms,
            is_cleared: anomaly.kind == AnomalyKind::Clear,
            is_explained,
            is_ours: false,
            is_silenced: false,
        }
    }
}

/// What gives an incident its id that is split off another.
pub(super) fn stand_in(domain: &str, id: &str, entity: Option<Entity>, now_ms: i64) -> Anomaly {
    Anomaly {
        domain: domain.to_owned(),
        id: format!("{id}/split"),
        time_ms: now_ms,
        rule: String::new(),
        key: String::new(),
        kind: AnomalyKind::Open,
        model: String::new(),
        entity,
        value_name: String::new(),
        value: None,
        expected: None,
        lower: None,
        upper: None,
        score: None,
        why: String::new(),
        window_start_ms: now_ms,
        contributors: Vec::new(),
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
