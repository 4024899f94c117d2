//! What happened, in order: anomalies (folded), the cause as it became known, what was planned,
//! approved and done, and what people said.

use model::rows::{ActionState, IncidentState, Member};
use serde::Serialize;

use super::words;
use crate::store::{IncidentDoc, Revision, State};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub time_ms: i64,
    /// alert, cause, repair, change, word or state: the sign and word in front.
    pub kind: &'static str,
    pub tone: &'static str,
    pub title: String,
    pub detail: Option<String>,
    /// How many were folded into it.
    pub count: usize,
}

/// Entries that a page shows; the first and the last are kept.
const ENTRIES_MAX: usize = 60;
/// Anomalies of one rule within this time are one line.
const FOLD_MS: i64 = 5_000;

pub fn timeline(state: &State, doc: &IncidentDoc) -> Vec<Entry> {
    let mut entries = alerts(&doc.incident.members);
    entries.extend(revisions(&doc.revisions));
    for id in state.repairs.get(&doc.incident.id).into_iter().flatten() {
        if let Some(execution) = state.executions.get(id) {
            entries.extend(steps(execution));
        }
    }
    entries.extend(doc.feedback.iter().map(|word| Entry {
        time_ms: word.time_ms,
        kind: "word",
        tone: "plain",
        title: format!("{}: {}", words::clip(&word.who, 60), word.verdict.as_str()),
        detail: word.text.as_deref().map(|text| words::clip(text, 300)),
        count: 1,
    }));
    entries.sort_by_key(|entry| entry.time_ms);
    shorten(entries)
}

/// The middle goes: how it began and where it stands are what one looks for.
fn shorten(mut entries: Vec<Entry>) -> Vec<Entry> {
    if entries.len() > ENTRIES_MAX {
        let (head, tail) = (ENTRIES_MAX / 3, ENTRIES_MAX * 2 / 3 - 1);
        let gone = entries.drain(head..entries.len() - tail);
        let (count, time_ms) = gone.fold((0, 0), |(n, _), e| (n + e.count, e.time_ms));
        let title = format!("{count} more entries");
        let entry = Entry { time_ms, kind: "state", tone: "plain", title, detail: None, count };
        entries.insert(head, entry);
    }
    entries
}

fn alerts(members: &[Member]) -> Vec<Entry> {
    let opened = members.iter().map(|m| (m.opened_ms, m, true));
    let cleared = members.iter().filter_map(|m| Some((m.cleared_ms?, m, false)));
    let mut all: Vec<(i64, &Member, bool)> = opened.chain(cleared).collect();
    all.sort_by(|a, b| (&a.1.rule, a.2, a.0).cmp(&(&b.1.rule, b.2, b.0)));
    let is_same = |a: &(i64, &Member, bool), b: &(i64, &Member, bool)| {
        a.1.rule == b.1.rule && a.2 == b.2 && b.0 - a.0 <= FOLD_MS
    };
    all.chunk_by(is_same).map(fold).collect()
}

fn fold(group: &[(i64, &Member, bool)]) -> Entry {
    let (time_ms, first, is_open) = group[0];
    let mut names: Vec<String> = Vec::new();
    for (_, member, _) in group {
        let name = words::key(&member.key);
        if names.len() < 4 && !names.contains(&name) {
            names.push(name);
        }
    }
    let more = match group.len() > names.len() {
        true => format!(" and {} more", group.len() - names.len()),
        false => String::new(),
    };
    let verb = if is_open { "" } else { " cleared" };
    Entry {
        time_ms,
        kind: "alert",
        tone: if is_open { "bad" } else { "good" },
        title: format!("{}{verb}: {}{more}", first.rule, words::clip(&names.join(", "), 160)),
        detail: is_open.then(|| words::clip(&first.why, 300)),
        count: group.len(),
    }
}

fn revisions(revisions: &[Revision]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut before: Option<&Revision> = None;
    for revision in revisions {
        let entry = |kind, tone, title: String| Entry {
            time_ms: revision.time_ms,
            kind,
            tone,
            title,
            detail: None,
            count: 1,
        };
        let is_new_root = before.is_none_or(|before| before.root != revision.root);
        if before.is_none() {
            entries.push(entry("state", "bad", "incident opened".to_owned()));
        }
        if let Some(root) = revision.root.as_ref().filter(|_| is_new_root) {
            let sure = revision.probability.map(words::percent).unwrap_or_default();
            entries.push(entry("cause", "plain", format!("probable cause: {root} ({sure})")));
        }
        if before.is_some_and(|before| before.state != revision.state) {
            let (tone, title) = match revision.state {
                IncidentState::Open if revision.reopened > 0 => ("bad", "it came back"),
                IncidentState::Open => ("bad", "open again"),
                IncidentState::Quiet => ("good", "all anomalies have cleared"),
                IncidentState::Resolved => ("good", "resolved"),
            };
            entries.push(entry("state", tone, title.to_owned()));
        }
        before = Some(revision);
    }
    entries
}

fn steps(execution: &crate::store::Execution) -> Vec<Entry> {
    let shown = execution.steps.iter().filter(|step| {
        // Between two words that a person reads these say nothing more.
        !matches!(step.state, ActionState::Proposed | ActionState::Leased)
    });
    shown
        .map(|step| {
            let who = step.who.as_deref().map(|who| format!(" by {}", words::clip(who, 60)));
            let place = [step.device.as_deref(), step.entity.as_deref()];
            let place: Vec<&str> = place.into_iter().flatten().collect();
            let place = match place.is_empty() {
                true => String::new(),
                false => format!(": {}", place.join(" ")),
            };
            let detail = step.command.as_deref().or(step.result.as_deref());
            let detail = detail.unwrap_or(&step.reason);
            Entry {
                time_ms: step.time_ms,
                kind: "repair",
                tone: words::tone(step.state),
                title: format!(
                    "{} {}{}{place}",
                    step.playbook,
                    words::action_state(step.state),
                    who.unwrap_or_default()
                ),
                detail: Some(words::clip(detail, 300)).filter(|text| !text.is_empty()),
                count: 1,
            }
        })
        .collect()
}
