//! One execution of a playbook for one incident: the sum of its rows. Whatever is decided is told
//! as a row and taken from it here, live and after a restart alike.

use std::collections::{BTreeMap, BTreeSet};

use model::rows::{Action, ActionState};
use model::schema::hex16;
use serde::{Deserialize, Serialize};

use super::plan::{Plan, PlanStep};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub id: String,
    pub domain: String,
    pub incident: String,
    pub playbook: String,
    pub next_serial: u32,
    /// The state of the last row.
    pub state: ActionState,
    /// How often the incident had come back when it was proposed.
    pub reopened: u32,
    /// Name of the incident's entity then.
    pub root: Option<String>,
    pub proposed_ms: i64,
    pub updated_ms: i64,
    /// What was asked for the plan, by the exact question; an error says why.
    pub facts: BTreeMap<String, Result<String, String>>,
    pub plan: Option<Plan>,
    pub hash: Option<String>,
    /// Where each step of the plan stands.
    pub steps: Vec<Progress>,
    /// The step at hand.
    pub at: Option<u32>,
    /// End of the approval, or of the wait for one; then of the verification.
    pub until_ms: Option<i64>,
    pub who: Option<String>,
    /// The first write began.
    pub began_ms: Option<i64>,
    pub verifying_ms: Option<i64>,
    /// Whether it goes back, and since when.
    pub failed_ms: Option<i64>,
    pub failed_verify: bool,
    pub is_over: bool,
    /// Words of people that changed nothing, told already.
    pub noted: BTreeSet<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    Waiting,
    /// The device is ours; nothing is sent yet.
    Leased(u32),
    /// It may have been sent.
    Applying(u32),
    Applied,
    Failed,
    Unknown,
    LeasedBack(u32),
    GoingBack(u32),
    Back,
    Stuck,
}

/// States that nothing follows.
const ENDS: [ActionState; 6] = [
    ActionState::Confirmed,
    ActionState::Refused,
    ActionState::Rejected,
    ActionState::Expired,
    ActionState::Withdrawn,
    ActionState::Stuck,
];

// === impl Execution ===

impl Execution {
    /// The id of the `n`th execution of a playbook for an incident.
    pub fn name(domain: &str, incident: &str, playbook: &str, n: usize) -> String {
        hex16(format!("{domain}\0{incident}\0{playbook}\0{n}").as_bytes())
    }

    /// From its first row, which proposes it.
    pub fn begin(row: &Action) -> Option<Execution> {
        if row.serial != 0 || row.state != ActionState::Proposed {
            return None;
        }
        Some(Execution {
            id: row.execution.clone(),
            domain: row.domain.clone(),
            incident: row.incident.clone(),
            playbook: row.playbook.clone(),
            next_serial: 1,
            state: ActionState::Proposed,
            reopened: row.attempt,
            root: row.entity.clone(),
            proposed_ms: row.time_ms,
            updated_ms: row.time_ms,
            facts: BTreeMap::new(),
            plan: None,
            hash: None,
            steps: Vec::new(),
            at: None,
            until_ms: None,
            who: None,
            began_ms: None,
            verifying_ms: None,
            failed_ms: None,
            failed_verify: false,
            is_over: false,
            noted: BTreeSet::new(),
        })
    }

    /// Takes the next row; one that was taken before changes nothing.
    pub fn fold(&mut self, row: &Action) {
        if row.serial < self.next_serial {
            return;
        }
        self.next_serial = row.serial + 1;
        self.updated_ms = row.time_ms;
        if is_note(row) {
            self.noted.insert(note(row));
            return;
        }
        self.state = row.state;
        match (row.state, row.step) {
            (ActionState::Proposed, _) => self.fold_fact(row),
            (ActionState::Planned, _) => self.fold_plan(row),
            (ActionState::AwaitingApproval, _) => self.until_ms = row.until_ms,
            (ActionState::Approved, _) => {
                (self.until_ms, self.who) = (row.until_ms, row.who.clone());
                self.noted.insert(note(row));
            }
            (ActionState::Verifying, _) => {
                (self.until_ms, self.verifying_ms) = (row.until_ms, Some(row.time_ms));
            }
            (_, Some(step)) => self.fold_step(row, step),
            (ActionState::Failed, None) => {
                self.failed_ms = Some(row.time_ms);
                self.failed_verify = self.verifying_ms.is_some();
            }
            _ => {}
        }
        self.is_over = ENDS.contains(&row.state) || (self.at_end(row) && row.step.is_none());
    }

    /// Ends that are ends only of the whole: steps may be in these states too.
    fn at_end(&self, row: &Action) -> bool {
        match row.state {
            ActionState::RolledBack | ActionState::Unknown => true,
            ActionState::Failed => self.to_take_back().is_none() && !self.without_way_back(),
            _ => false,
        }
    }

    fn fold_fact(&mut self, row: &Action) {
        if let Some(question) = &row.command {
            let answer = row.result.clone().ok_or_else(|| row.reason.clone());
            self.facts.insert(question.clone(), answer);
        }
    }

    fn fold_plan(&mut self, row: &Action) {
        let plan = row.plan.as_deref().and_then(|text| Plan::parse(text).ok());
        self.steps = vec![Progress::Waiting; plan.as_ref().map_or(0, |plan| plan.steps.len())];
        self.hash.clone_from(&row.plan_hash);
        self.plan = plan;
        self.facts.clear();
    }

    fn fold_step(&mut self, row: &Action, step: u32) {
        let goes_back = self.failed_ms.is_some();
        let Some(progress) = self.steps.get_mut(step as usize) else {
            return;
        };
        let attempt = row.attempt;
        *progress = match row.state {
            ActionState::Leased if goes_back => Progress::LeasedBack(attempt),
            ActionState::Leased => Progress::Leased(attempt),
            ActionState::Applying => Progress::Applying(attempt),
            ActionState::Applied => Progress::Applied,
            ActionState::Failed => Progress::Failed,
            ActionState::Unknown => Progress::Unknown,
            ActionState::RollingBack => Progress::GoingBack(attempt),
            ActionState::RolledBack => Progress::Back,
            ActionState::Stuck => Progress::Stuck,
            _ => *progress,
        };
        self.at = Some(step);
        if row.state == ActionState::Applying && self.began_ms.is_none() {
            self.began_ms = Some(row.time_ms);
        }
    }

    pub fn step(&self, step: u32) -> Option<&PlanStep> {
        self.plan.as_ref()?.steps.get(step as usize)
    }

    pub fn progress(&self, step: u32) -> Progress {
        self.steps.get(step as usize).copied().unwrap_or(Progress::Waiting)
    }

    /// The next step that was not begun.
    pub fn next_step(&self) -> Option<u32> {
        let waiting = self.steps.iter().position(|step| *step == Progress::Waiting);
        waiting.map(|step| step as u32)
    }

    /// The last step that changed a device and can be taken back.
    pub fn to_take_back(&self) -> Option<u32> {
        let plan = self.plan.as_ref()?;
        let can = |(step, progress): &(usize, &Progress)| {
            **progress == Progress::Applied && plan.steps[*step].inverse.is_some()
        };
        let found = self.steps.iter().enumerate().filter(can).next_back();
        found.map(|(step, _)| step as u32)
    }

    /// Steps that changed a device and have no way back.
    pub fn without_way_back(&self) -> bool {
        let Some(plan) = &self.plan else {
            return false;
        };
        let steps = self.steps.iter().zip(&plan.steps);
        let mut applied = steps.filter(|(progress, _)| **progress == Progress::Applied);
        applied.any(|(_, step)| step.effect.changes() && step.inverse.is_none())
    }

    /// Steps that changed a device and stand.
    pub fn applied(&self) -> Vec<u32> {
        let is = |step: &u32| {
            self.progress(*step) == Progress::Applied
                && self.step(*step).is_some_and(|step| step.effect.changes())
        };
        (0..self.steps.len() as u32).filter(is).collect()
    }

    /// Whether something of it may be on a device, or about to be.
    pub fn is_under_way(&self) -> bool {
        !self.is_over && self.steps.iter().any(|p| !matches!(p, Progress::Waiting | Progress::Back))
    }
}

/// A person's word that changed nothing: a row that repeats the state, with who said it.
fn is_note(row: &Action) -> bool {
    row.who.is_some() && row.step.is_none() && row.action.as_deref() == Some(NOTE)
}

/// What such a row has for an action.
pub const NOTE: &str = "approval";

/// What tells one word from another.
pub fn note(row: &Action) -> String {
    let who = row.who.as_deref().unwrap_or("");
    let (hash, verdict) = (row.plan_hash.as_deref(), row.result.as_deref());
    let (hash, verdict) = (hash.unwrap_or(""), verdict.unwrap_or(""));
    format!("{who}\0{hash}\0{verdict}\0{}", row.until_ms.unwrap_or(0))
}

/// The same of an approval.
pub fn note_of(approval: &model::rows::Approval) -> String {
    let (who, hash, verdict) = (&approval.who, &approval.plan_hash, approval.verdict.as_str());
    format!("{who}\0{hash}\0{verdict}\0{}", approval.until_ms)
}
