//! The list of incidents: newest first, one line each, filtered by words and state.

use model::rows::{ActionState, IncidentState};
use serde::{Deserialize, Serialize};

use super::words::{self, Severity};
use crate::store::{IncidentDoc, State};

/// What the address says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    /// Words that must all be in the headline, the entity, the root or the id.
    pub q: String,
    /// open, quiet, resolved; anything else is all.
    pub state: String,
    pub page: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct ListPage {
    pub filter: Filter,
    pub open: usize,
    pub quiet: usize,
    pub resolved: usize,
    /// Incidents whose repair waits for a person.
    pub waiting: usize,
    pub found: usize,
    pub pages: usize,
    pub rows: Vec<ListRow>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ListRow {
    pub id: String,
    pub severity: Severity,
    pub state: &'static str,
    pub headline: String,
    pub root: Option<String>,
    pub probability: Option<f64>,
    pub devices: usize,
    pub alerts: usize,
    pub opened_ms: i64,
    pub updated_ms: i64,
    pub ended_ms: Option<i64>,
    pub reopened: u32,
    pub merged_into: Option<String>,
    pub repair: Option<&'static str>,
    pub repair_tone: Option<&'static str>,
}

const PAGE_ROWS: usize = 100;

pub fn list(state: &State, filter: &Filter) -> ListPage {
    let of = |wanted: IncidentState| {
        state.incidents.values().filter(|doc| doc.incident.state == wanted).count()
    };
    let words: Vec<String> = filter.q.split_whitespace().map(str::to_lowercase).collect();
    let wanted = |doc: &&IncidentDoc| {
        let is_state = match filter.state.as_str() {
            state @ ("open" | "quiet" | "resolved") => doc.incident.state.as_str() == state,
            _ => true,
        };
        is_state && (words.is_empty() || has_words(doc, &words))
    };
    let mut found: Vec<&IncidentDoc> = state.incidents.values().filter(wanted).collect();
    found.sort_by(|a, b| {
        let key = |doc: &IncidentDoc| doc.incident.opened_ms;
        key(b).cmp(&key(a)).then_with(|| a.incident.id.cmp(&b.incident.id))
    });
    let pages = found.len().div_ceil(PAGE_ROWS).max(1);
    let page = filter.page.clamp(1, pages);
    let shown = found.iter().skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS);
    let waiting = state.incidents.keys().filter(|id| last(state, id) == Some(WAITS)).count();
    ListPage {
        filter: Filter { page, q: words::clip(&filter.q, 200), ..filter.clone() },
        open: of(IncidentState::Open),
        quiet: of(IncidentState::Quiet),
        resolved: of(IncidentState::Resolved),
        waiting,
        found: found.len(),
        pages,
        rows: shown.map(|doc| row(state, doc)).collect(),
    }
}

const WAITS: ActionState = ActionState::AwaitingApproval;

fn has_words(doc: &IncidentDoc, words: &[String]) -> bool {
    let incident = &doc.incident;
    let entity = incident.entity.as_ref().map(|e| e.name.as_str()).unwrap_or_default();
    let fault = incident.cause.as_ref().map(|cause| cause.fault.as_str()).unwrap_or_default();
    let text = format!("{} {entity} {fault} {}", incident.headline, incident.id).to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// Where the last execution of an incident stands.
fn last(state: &State, incident: &str) -> Option<ActionState> {
    let executions = state.repairs.get(incident)?.iter();
    let steps = executions.filter_map(|id| state.executions.get(id)?.last());
    steps.max_by_key(|step| step.time_ms).map(|step| step.state)
}

fn row(state: &State, doc: &IncidentDoc) -> ListRow {
    let incident = &doc.incident;
    let repair = last(state, &incident.id);
    let root = incident.cause.as_ref().and(incident.entity.as_ref());
    ListRow {
        id: incident.id.clone(),
        severity: words::severity(incident),
        state: incident.state.as_str(),
        headline: words::clip(&incident.headline, 300),
        root: root.map(words::entity),
        probability: incident.cause.as_ref().map(|cause| cause.probability),
        devices: words::devices(doc).len(),
        alerts: incident.members.len(),
        opened_ms: incident.opened_ms,
        updated_ms: incident.updated_ms,
        ended_ms: incident.resolved_ms,
        reopened: incident.reopened,
        merged_into: incident.merged_into.clone(),
        repair: repair.map(words::action_state),
        repair_tone: repair.map(words::tone),
    }
}
