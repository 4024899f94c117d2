//! The pure half of act: incidents, approvals, answers of drivers and time in; rows, and the calls
//! that they allow, out. A restart takes the same incidents and its own rows, and stands where it
//! stood; only what is in flight is forgotten, and found out.

mod advance;
pub mod emit;
pub mod execution;
pub mod gates;
pub mod graph;
pub mod network;
pub mod plan;
mod saved;
mod tell;
mod trigger;
mod verify;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::rows::{Action, Approval, Change, Incident, IncidentState};

pub use execution::Execution;
pub use network::Network;
pub use plan::{Plan, PlanStep};

use crate::config::ActConfig;
use crate::driver::{Call, DriverError};
use crate::playbook::Library;

/// See the module.
pub struct Act {
    config: Arc<ActConfig>,
    library: Arc<Library>,
    executions: BTreeMap<String, Execution>,
    incidents: BTreeMap<String, Incident>,
    /// Incidents that may begin something: changed since the last turn.
    dirty: BTreeSet<String>,
    now_ms: i64,
    // What a restart forgets.
    mono: Duration,
    /// When the first turn was.
    since: Option<Duration>,
    in_flight: BTreeSet<Key>,
    /// The exact texts of what is being asked for plans.
    questions: BTreeMap<Key, String>,
    leases: BTreeMap<String, Lease>,
    looks: BTreeMap<String, verify::Looks>,
    /// Failed attempts to read a device, by execution.
    misreads: BTreeMap<String, u32>,
    done: Done,
    refused: u64,
}

/// A device that one step may write to, from when its row stood.
#[derive(Clone, Debug)]
struct Lease {
    execution: String,
    step: u32,
    /// The clock of the last turn before the commit that it stands by; `None` until it stands.
    begun: Option<Duration>,
}

/// What goes into a turn.
pub struct Turn<'a> {
    pub now_ms: i64,
    /// A clock that only counts up; no two processes have the same.
    pub mono: Duration,
    pub network: &'a Network,
    pub approvals: &'a [Approval],
    pub answers: Vec<Answer>,
    pub is_killed: bool,
}

/// What a turn made: rows to be written, and calls that may begin once they stand.
#[derive(Debug, Default)]
pub struct Done {
    pub rows: Vec<Action>,
    /// Each with the serial of the row that it goes with.
    pub changes: Vec<(u32, Change)>,
    pub effects: Vec<Effect>,
}

/// Which call of which attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub execution: String,
    pub step: u32,
    pub attempt: u32,
    pub kind: Kind,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// For a plan.
    Ask,
    Write,
    /// Whether a write that was cut short, or not answered, was made.
    ReadBack,
    /// Whether a repair shows.
    Look,
    WriteBack,
    /// Whether the way back was gone.
    LookBack,
}

/// A call that may be made now.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub key: Key,
    pub call: Call,
    /// A write begins only before this time of the turn's clock.
    pub not_after: Option<Duration>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub key: Key,
    pub result: Result<String, Miss>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It was not begun: the lease was over.
    LeaseOver,
    Driver(DriverError),
}

/// How long an incident is remembered that is over.
const REMEMBER_MS: i64 = 3_600_000;
/// The same of executions: gates look back an hour.
const EXECUTION_REMEMBER_MS: i64 = 4 * 3_600_000;

// === impl Act ===

impl Act {
    pub fn new(config: Arc<ActConfig>, library: Arc<Library>) -> Act {
        Act {
            config,
            library,
            executions: BTreeMap::new(),
            incidents: BTreeMap::new(),
            dirty: BTreeSet::new(),
            now_ms: i64::MIN,
            mono: Duration::ZERO,
            since: None,
            in_flight: BTreeSet::new(),
            questions: BTreeMap::new(),
            leases: BTreeMap::new(),
            looks: BTreeMap::new(),
            misreads: BTreeMap::new(),
            done: Done::default(),
            refused: 0,
        }
    }

    /// An incident as it now is. Decides nothing: a restart takes it again.
    pub fn incident(&mut self, incident: Incident) {
        let is_news =
            self.incidents.get(&incident.id).is_none_or(|was| incident.revision > was.revision);
        if !is_news {
            return;
        }
        if !self.incidents.contains_key(&incident.id) {
            self.make_room();
        }
        self.dirty.insert(incident.id.clone());
        self.incidents.insert(incident.id.clone(), incident);
    }

    /// A row of our own, on a restart.
    pub fn row(&mut self, row: &Action) {
        self.now_ms = self.now_ms.max(row.time_ms);
        match self.executions.get_mut(&row.execution) {
            Some(execution) => execution.fold(row),
            None => {
                if let Some(execution) = Execution::begin(row) {
                    self.executions.insert(execution.id.clone(), execution);
                }
            }
        }
    }

    /// Time of the last row, from which on rows may be missing.
    pub fn last_row_ms(&self) -> Option<i64> {
        self.executions.values().map(|execution| execution.updated_ms).max()
    }

    /// Decides whatever can be decided now.
    pub fn turn(&mut self, turn: Turn<'_>) -> Done {
        self.now_ms = self.now_ms.max(turn.now_ms);
        self.mono = turn.mono;
        self.since.get_or_insert(turn.mono);
        if !turn.network.is_ready {
            return Done::default();
        }
        for answer in &turn.answers {
            self.answer(answer);
        }
        for approval in turn.approvals {
            self.approval(approval);
        }
        self.propose();
        let world = advance::World { network: turn.network, is_killed: turn.is_killed };
        let active: Vec<String> =
            self.executions.values().filter(|e| !e.is_over).map(|e| e.id.clone()).collect();
        for id in active {
            self.advance(&id, &world);
        }
        self.forget();
        std::mem::take(&mut self.done)
    }

    /// All rows so far are on the log. A lease runs from the turn that told it: before its commit.
    pub fn stood(&mut self) {
        for lease in self.leases.values_mut() {
            lease.begun.get_or_insert(self.mono);
        }
    }

    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values()
    }

    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// Incidents and executions that a limit kept out since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Executions of playbooks that changed incidents call for.
    fn propose(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(incident) = self.incidents.get(&id).cloned() else {
                continue;
            };
            let library = Arc::clone(&self.library);
            let wanted = library.playbooks.values().filter(|p| trigger::matches(p, &incident));
            for playbook in wanted {
                let before: Vec<&Execution> = self
                    .executions
                    .values()
                    .filter(|e| e.incident == incident.id && e.playbook == playbook.name)
                    .collect();
                let may =
                    before.iter().all(|e| e.is_over) && self.may_try_again(&before, &incident);
                if !may {
                    continue;
                }
                if self.executions.len() >= self.config.limits.executions_max as usize {
                    self.refused += 1;
                    continue;
                }
                let n = before.len();
                self.begin(&incident, playbook, n);
            }
        }
    }

    /// What was given up before anything was done may be tried again; what was done only when the
    /// incident has come back since.
    fn may_try_again(&self, before: &[&Execution], incident: &Incident) -> bool {
        let last = before.iter().max_by_key(|e| (e.proposed_ms, e.next_serial));
        let most = self.config.limits.tries_max as usize;
        match last {
            None => true,
            Some(_) if before.len() >= most => false,
            Some(last) => {
                last.state == model::rows::ActionState::Withdrawn
                    || incident.reopened > last.reopened
            }
        }
    }

    fn make_room(&mut self) {
        if self.incidents.len() < self.config.limits.incidents_max as usize {
            return;
        }
        let is_over = |i: &&Incident| i.state == IncidentState::Resolved || i.merged_into.is_some();
        let oldest = self.incidents.values().filter(is_over).min_by_key(|i| i.updated_ms);
        let oldest = oldest.or_else(|| self.incidents.values().min_by_key(|i| i.updated_ms));
        if let Some(id) = oldest.map(|incident| incident.id.clone()) {
            self.incidents.remove(&id);
            self.refused += 1;
        }
    }

    /// What nobody asks for any more.
    fn forget(&mut self) {
        let now_ms = self.now_ms;
        let used: BTreeSet<&String> =
            self.executions.values().filter(|e| !e.is_over).map(|e| &e.incident).collect();
        self.incidents.retain(|id, incident| {
            let over = incident.state == IncidentState::Resolved || incident.merged_into.is_some();
            used.contains(id) || !over || now_ms - incident.updated_ms < REMEMBER_MS
        });
        let live = &self.incidents;
        self.executions.retain(|_, execution| {
            let is_old = now_ms - execution.updated_ms > EXECUTION_REMEMBER_MS;
            !execution.is_over || !is_old || live.contains_key(&execution.incident)
        });
    }
}
