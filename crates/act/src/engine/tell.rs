//! Rows: each transition of an execution is told before what it allows, and taken from there.

use model::rows::{Action, ActionState, Change, ChangeState, Incident};

use super::execution::{Execution, NOTE};
use super::{Act, trigger};
use crate::playbook::Playbook;

/// A row as it is being made: what is not said is not there.
pub(super) struct Row {
    row: Action,
}

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 2_000;

// === impl Row ===

impl Row {
    pub fn new(state: ActionState, reason: impl Into<String>) -> Row {
        Row {
            row: Action {
                domain: String::new(),
                time_ms: 0,
                execution: String::new(),
                incident: String::new(),
                playbook: String::new(),
                serial: 0,
                state,
                step: None,
                attempt: 0,
                device: None,
                entity: None,
                action: None,
                driver: None,
                command: None,
                result: None,
                reason: reason.into(),
                plan_hash: None,
                plan: None,
                gates: Vec::new(),
                who: None,
                until_ms: None,
            },
        }
    }

    pub fn step(mut self, step: u32, attempt: u32) -> Row {
        (self.row.step, self.row.attempt) = (Some(step), attempt);
        self
    }

    pub fn until(mut self, until_ms: i64) -> Row {
        self.row.until_ms = Some(until_ms);
        self
    }

    pub fn result(mut self, result: impl Into<String>) -> Row {
        self.row.result = Some(result.into());
        self
    }

    pub fn command(mut self, command: &str) -> Row {
        self.row.command = Some(command.to_owned());
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Action)) -> Row {
        change(&mut self.row);
        self
    }
}

// === impl Act ===

impl Act {
    pub(super) fn begin(&mut self, incident: &Incident, playbook: &Playbook, n: usize) {
        let id = Execution::name(&incident.domain, &incident.id, &playbook.name, n);
        let entity = incident.entity.as_ref();
        let spot = trigger::spot(incident, &super::Network::default());
        let fault = incident.cause.as_ref().map_or("an anomaly", |cause| cause.fault.as_str());
        let of = entity.map_or("", |entity| entity.name.as_str());
        let reason = format!("{fault} of {of} calls for the playbook {}", playbook.name);
        let row = Row::new(ActionState::Proposed, reason).with(|row| {
            row.domain.clone_from(&incident.domain);
            row.time_ms = self.now_ms;
            row.execution = id;
            row.incident.clone_from(&incident.id);
            row.playbook.clone_from(&playbook.name);
            row.attempt = incident.reopened;
            row.device = spot.device;
            row.entity = entity.map(|entity| entity.name.clone());
        });
        self.row(&row.row);
        self.done.rows.push(row.row);
    }

    /// Tells the next row of an execution; of a step, with what the plan says of it.
    pub(super) fn tell(&mut self, id: &str, row: Row) {
        let Some(execution) = self.executions.get_mut(id) else {
            return;
        };
        let mut row = row.row;
        row.domain.clone_from(&execution.domain);
        row.time_ms = self.now_ms;
        row.execution.clone_from(&execution.id);
        row.incident.clone_from(&execution.incident);
        row.playbook.clone_from(&execution.playbook);
        row.serial = execution.next_serial;
        row.plan_hash = row.plan_hash.or_else(|| execution.hash.clone());
        row.reason = cut(&row.reason, REASON_CHARS_MAX);
        let most = self.config.limits.answer_chars_max as usize;
        row.result = row.result.map(|result| cut(&result, most));
        if let Some(step) = row.step.and_then(|step| execution.step(step)) {
            row.device.clone_from(&step.device);
            row.entity.clone_from(&step.entity);
            row.action = Some(step.action.clone());
            row.driver = Some(step.driver.clone());
        }
        execution.fold(&row);
        let change = change(execution, &row);
        self.done.changes.extend(change.map(|change| (row.serial, change)));
        if row.state == ActionState::Withdrawn {
            self.dirty.insert(row.incident.clone());
        }
        self.done.rows.push(row);
    }

    /// A person's word that changes nothing.
    pub(super) fn tell_note(&mut self, approval: &model::rows::Approval, reason: String) {
        let Some(execution) = self.executions.get(&approval.execution) else {
            return;
        };
        let row = Row::new(execution.state, reason).with(|row| {
            row.action = Some(NOTE.to_owned());
            row.who = Some(approval.who.clone());
            row.plan_hash = Some(approval.plan_hash.clone());
            row.until_ms = Some(approval.until_ms);
            row.result = Some(approval.verdict.as_str().to_owned());
        });
        self.tell(&approval.execution, row);
    }
}

/// What correlate is told of a row: a change that begins, ends, or is taken back.
fn change(execution: &Execution, row: &Action) -> Option<Change> {
    let number = row.step?;
    let step = execution.step(number).filter(|step| step.effect.changes())?;
    let state = match row.state {
        ActionState::Applying => ChangeState::Began,
        ActionState::Applied => ChangeState::Ended,
        ActionState::Failed | ActionState::Unknown | ActionState::Stuck => ChangeState::Failed,
        ActionState::RolledBack => ChangeState::RolledBack,
        _ => return None,
    };
    Some(Change {
        domain: row.domain.clone(),
        time_ms: row.time_ms,
        execution: row.execution.clone(),
        incident: row.incident.clone(),
        step: number,
        state,
        device: step.device.clone().unwrap_or_default(),
        entity: step.entity.clone(),
        action: step.action.clone(),
        text: step.says.clone(),
    })
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
