//! The page of one incident: what broke, why, what the repair would do, and the evidence.

use model::rows::{Incident, IncidentState, Member};
use serde::Serialize;

use super::chart::{self, Chart};
use super::repair::{self, Repair};
use super::timeline::{self, Entry};
use super::topology::{self, Drawing};
use super::words::{self, Severity};
use crate::store::{IncidentDoc, Series, SeriesKey, State};

#[derive(Clone, Debug, Serialize)]
pub struct IncidentPage {
    pub id: String,
    pub domain: String,
    pub revision: u32,
    pub severity: Severity,
    pub state: &'static str,
    pub state_words: &'static str,
    pub headline: String,
    pub opened_ms: i64,
    pub updated_ms: i64,
    pub resolved_ms: Option<i64>,
    pub reopened: u32,
    pub merged_into: Option<String>,
    pub devices: Vec<String>,
    pub alerts: usize,
    pub alerts_open: usize,
    pub cause: Option<CausePart>,
    pub contributors: Vec<Part>,
    /// The first of them, and how many there are besides.
    pub members: Vec<MemberRow>,
    pub members_left: usize,
    pub drawing: Option<Drawing>,
    pub timeline: Vec<Entry>,
    pub charts: Vec<Chart>,
    pub repairs: Vec<Repair>,
    pub feedback: Vec<(String, &'static str, Option<String>)>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CausePart {
    pub kind: String,
    pub name: String,
    pub fault: String,
    pub fault_words: String,
    pub probability: f64,
    pub sure: String,
    pub why: String,
    pub runner_up: Option<RunnerUpPart>,
    pub path: Vec<String>,
    pub affected: Vec<String>,
    pub unexplained: Vec<MemberRow>,
    pub unexplained_left: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct RunnerUpPart {
    pub name: String,
    pub fault_words: String,
    pub probability: f64,
    pub sure: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemberRow {
    pub id: String,
    pub rule: String,
    pub subject: String,
    pub opened_ms: i64,
    pub cleared_ms: Option<i64>,
    pub value: Option<String>,
    pub expected: Option<String>,
    pub score: Option<String>,
    pub why: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub weight: String,
    pub share: String,
    /// 0 to 100, for the length of a bar.
    pub percent: u32,
}

/// Rows of a page's lists; what is beyond them is counted.
const MEMBERS_SHOWN: usize = 50;
const UNEXPLAINED_SHOWN: usize = 10;
const NAMES_SHOWN: usize = 24;
const CHARTS_MAX: usize = 4;

pub fn incident(state: &State, id: &str) -> Option<IncidentPage> {
    let doc = state.incidents.get(id)?;
    let incident = &doc.incident;
    let open = incident.members.iter().filter(|member| member.cleared_ms.is_none()).count();
    Some(IncidentPage {
        id: incident.id.clone(),
        domain: incident.domain.clone(),
        revision: incident.revision,
        severity: words::severity(incident),
        state: incident.state.as_str(),
        state_words: words::incident_state(incident.state),
        headline: words::clip(&incident.headline, 400),
        opened_ms: incident.opened_ms,
        updated_ms: incident.updated_ms,
        resolved_ms: incident.resolved_ms,
        reopened: incident.reopened,
        merged_into: incident.merged_into.clone(),
        devices: words::devices(doc),
        alerts: incident.members.len(),
        alerts_open: open,
        cause: cause(incident),
        contributors: contributors(incident),
        members: incident.members.iter().take(MEMBERS_SHOWN).map(member).collect(),
        members_left: incident.members.len().saturating_sub(MEMBERS_SHOWN),
        drawing: topology::drawing(state, incident),
        timeline: timeline::timeline(state, doc),
        charts: charts(state, doc),
        repairs: repair::of_incident(state, id),
        feedback: feedback(doc),
    })
}

fn feedback(doc: &IncidentDoc) -> Vec<(String, &'static str, Option<String>)> {
    let said = doc.feedback.iter();
    said.map(|word| {
        let text = word.text.as_deref().map(|text| words::clip(text, 300));
        (words::clip(&word.who, 100), word.verdict.as_str(), text)
    })
    .collect()
}

fn cause(incident: &Incident) -> Option<CausePart> {
    let (cause, entity) = (incident.cause.as_ref()?, incident.entity.as_ref()?);
    let is_unexplained = |member: &&Member| cause.unexplained.contains(&member.id);
    let unexplained = incident.members.iter().filter(is_unexplained);
    let names = |all: &[String]| all.iter().take(NAMES_SHOWN).cloned().collect();
    Some(CausePart {
        kind: entity.kind.clone(),
        name: entity.name.clone(),
        fault: cause.fault.clone(),
        fault_words: words::fault(&cause.fault),
        probability: cause.probability,
        sure: words::percent(cause.probability),
        why: words::clip(&cause.why, 1_000),
        runner_up: cause.runner_up.as_ref().map(|second| RunnerUpPart {
            name: words::entity(&second.entity),
            fault_words: words::fault(&second.fault),
            probability: second.probability,
            sure: words::percent(second.probability),
        }),
        path: names(&cause.path),
        affected: names(&cause.affected),
        unexplained: unexplained.take(UNEXPLAINED_SHOWN).map(member).collect(),
        unexplained_left: cause.unexplained.len().saturating_sub(UNEXPLAINED_SHOWN),
    })
}

fn member(member: &Member) -> MemberRow {
    MemberRow {
        id: member.id.clone(),
        rule: member.rule.clone(),
        subject: words::clip(&words::key(&member.key), 120),
        opened_ms: member.opened_ms,
        cleared_ms: member.cleared_ms,
        value: member.value.map(words::number),
        expected: member.expected.map(words::number),
        score: member.score.map(words::number),
        why: words::clip(&member.why, 400),
    }
}

fn contributors(incident: &Incident) -> Vec<Part> {
    let parts = incident.contributors.iter().take(8);
    parts
        .map(|part| Part {
            name: words::clip(&part.name, 80),
            weight: words::number(part.weight),
            share: words::percent(part.share),
            // A share is 0 to 1, whatever a foreign row says.
            percent: (part.share.clamp(0.0, 1.0) * 100.0).round() as u32,
        })
        .collect()
}

/// Charts of the members' series, those of the root first, then the most improbable; where there
/// are few, other series of the root.
fn charts(state: &State, doc: &IncidentDoc) -> Vec<Chart> {
    let incident = &doc.incident;
    let root = incident.entity.as_ref().map(|entity| entity.name.as_str()).unwrap_or_default();
    let is_of_root = |key: &str| words::key(key) == root;
    let mut ranked: Vec<(&Member, bool)> =
        incident.members.iter().map(|m| (m, is_of_root(&m.key))).collect();
    ranked.sort_by(|(a, a_root), (b, b_root)| {
        let score = |member: &Member| member.score.unwrap_or(0.0);
        b_root.cmp(a_root).then(score(b).total_cmp(&score(a))).then(a.opened_ms.cmp(&b.opened_ms))
    });
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (member, _) in ranked.iter().take(200) {
        let one = (member.rule.as_str(), member.key.as_str());
        if !wanted.contains(&one) {
            wanted.push(one);
        }
    }
    let mut found: Vec<(&SeriesKey, &Series)> = Vec::new();
    for (rule, key) in wanted {
        found.extend(state.series.iter().filter(|(s, _)| s.rule == rule && s.key == key));
        if found.len() >= CHARTS_MAX {
            break;
        }
    }
    if found.len() < CHARTS_MAX && !root.is_empty() {
        let mut more: Vec<(&SeriesKey, &Series)> =
            state.series.iter().filter(|(key, _)| is_of_root(&key.key)).collect();
        more.retain(|(key, _)| !found.iter().any(|(known, _)| known == key));
        more.sort_by(|a, b| a.0.cmp(b.0));
        found.extend(more);
    }
    let until_ms = match incident.state {
        // Afterwards the page stays as it was when it ended.
        IncidentState::Resolved => incident.resolved_ms.unwrap_or(i64::MAX),
        _ => i64::MAX,
    };
    let drawn = found.into_iter().filter_map(|(key, series)| {
        let points: Vec<crate::store::Point> =
            series.points.iter().filter(|p| p.end_ms <= until_ms).copied().collect();
        chart::chart(key, &points, incident.opened_ms)
    });
    drawn.take(CHARTS_MAX).collect()
}
