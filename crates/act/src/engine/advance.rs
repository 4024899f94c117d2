//! The state machine (DESIGN §7): what follows from where an execution stands. One step at a time,
//! until nothing follows; what must wait for an answer or for time waits.

use model::rows::{ActionState, Approval, ApprovalVerdict, GateVerdict, Incident, IncidentState};

use super::execution::{Execution, Progress, note_of};
use super::gates::{self, Gates};
use super::network::Network;
use super::plan::{Plan, Want};
use super::tell::Row;
use super::walk::{Walk, Walked};
use super::{Act, Answer, Effect, Key, Kind, Lease, Miss, trigger};
use crate::driver::DriverError;
use crate::playbook::{Effect as StepEffect, Mode};

/// What is beside the incidents.
pub(super) struct World<'a> {
    pub network: &'a Network,
    pub is_killed: bool,
}

/// Whether something followed.
#[derive(PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    No,
}

/// Transitions of one execution in one turn: a guard against a circle of ours.
const MOVES_MAX: usize = 64;
/// Words of people on one execution that change nothing and are told all the same.
const NOTES_MAX: usize = 20;
/// Who approves what may go by itself.
pub const AUTO: &str = "auto";

// === impl Act ===

impl Act {
    pub(super) fn advance(&mut self, id: &str, world: &World<'_>) {
        for _ in 0..MOVES_MAX {
            let Some(execution) = self.executions.get(id).filter(|e| !e.is_over) else {
                break;
            };
            let execution = execution.clone();
            if self.one_move(&execution, world) == Moved::No {
                break;
            }
        }
    }

    fn one_move(&mut self, execution: &Execution, world: &World<'_>) -> Moved {
        match execution.state {
            ActionState::Proposed => self.make_plan(execution, world),
            ActionState::Planned => self.withdraw_if_over(execution),
            ActionState::AwaitingApproval => self.wait_for_approval(execution),
            ActionState::Approved => self.begin_step(execution, world),
            ActionState::Verifying => self.verify(execution, world),
            _ => self.go_on(execution, world),
        }
    }

    // --- before anything is done

    fn make_plan(&mut self, execution: &Execution, world: &World<'_>) -> Moved {
        if self.withdraw_if_over(execution) == Moved::Yes {
            return Moved::Yes;
        }
        let id = &execution.id;
        let (Some(incident), Some(playbook)) = (
            self.incidents.get(&execution.incident),
            self.library.playbooks.get(&execution.playbook),
        ) else {
            self.tell(id, Row::new(ActionState::Withdrawn, "the playbook or the incident is gone"));
            return Moved::Yes;
        };
        let (config, library) = (&*self.config, &*self.library);
        let network = world.network;
        let walk = Walk { config, library, network, incident, playbook, execution };
        match walk.walk() {
            Walked::Asks(step, call) => {
                let key = key(id, step, 0, Kind::Ask);
                self.call(Effect { key, call, not_after: None });
                Moved::No
            }
            Walked::Cannot(reason) => {
                let reason = format!("there is no plan: {reason}");
                self.tell(id, Row::new(ActionState::Refused, reason));
                Moved::Yes
            }
            Walked::Plan(plan) => {
                self.planned(execution, *plan, world);
                Moved::Yes
            }
        }
    }

    fn planned(&mut self, execution: &Execution, plan: Plan, world: &World<'_>) {
        let id = &execution.id;
        if plan.steps.is_empty() {
            let why: Vec<String> =
                plan.skipped.iter().map(|s| format!("{}: {}", s.name, s.reason)).collect();
            let reason = format!("nothing is to be done: {}", why.join("; "));
            self.tell(id, Row::new(ActionState::Refused, reason));
            return;
        }
        let gates = self.gates(execution, &plan, world);
        let says: Vec<&str> = plan.steps.iter().map(|step| step.says.as_str()).collect();
        let (hash, json, mode) = (plan.hash(), plan.json(), plan.mode);
        let row = Row::new(ActionState::Planned, says.join("; ")).with(|row| {
            (row.plan_hash, row.plan) = (Some(hash), Some(json));
            row.gates.clone_from(&gates);
        });
        self.tell(id, row);
        if let Some(gate) = gates::refused(&gates) {
            let reason = format!("{}: {}", gate.name, gate.reason);
            let row = Row::new(ActionState::Refused, reason).with(|row| row.gates = gates);
            self.tell(id, row);
            return;
        }
        let until_ms = self.now_ms + i64::from(self.config.approval_within_s) * 1_000;
        match (mode, gates::needs_person(&gates)) {
            (Mode::Plan, _) => {}
            (Mode::Auto, None) => {
                let reason = "playbook and actions are automatic, and no gate is against it";
                let row = Row::new(ActionState::Approved, reason).until(until_ms);
                self.tell(id, row.with(|row| row.who = Some(AUTO.to_owned())));
            }
            (_, person) => {
                let reason = match person {
                    Some(gate) => format!("{}: {}", gate.name, gate.reason),
                    None => "a person must approve this plan".to_owned(),
                };
                self.tell(id, Row::new(ActionState::AwaitingApproval, reason).until(until_ms));
            }
        }
    }

    fn gates(
        &self,
        execution: &Execution,
        plan: &Plan,
        world: &World<'_>,
    ) -> Vec<model::rows::Gate> {
        let domain = &execution.domain;
        let others: Vec<&Execution> =
            self.executions.values().filter(|e| e.domain == *domain).collect();
        let broken = self.broken(domain);
        let gates = Gates {
            config: &self.config,
            network: world.network,
            execution,
            others: &others,
            broken: &broken,
            now_ms: self.now_ms,
            is_killed: world.is_killed,
        };
        gates.all(plan)
    }

    /// What open incidents say is out of service or not to be counted on.
    fn broken(&self, domain: &str) -> std::collections::BTreeSet<String> {
        const FAULTS: [&str; 4] = ["link-down", "admin-down", "node-down", "flapping"];
        let is_it = |incident: &&Incident| {
            incident.domain == domain
                && incident.state == IncidentState::Open
                && incident.cause.as_ref().is_some_and(|c| FAULTS.contains(&c.fault.as_str()))
        };
        let names = self.incidents.values().filter(is_it).filter_map(|i| i.entity.as_ref());
        names.map(|entity| entity.name.clone()).collect()
    }

    fn withdraw_if_over(&mut self, execution: &Execution) -> Moved {
        let Some(reason) = self.why_over(execution) else {
            return Moved::No;
        };
        self.tell(&execution.id, Row::new(ActionState::Withdrawn, reason));
        Moved::Yes
    }

    /// Why nothing is to be mended any more, or something else is.
    fn why_over(&self, execution: &Execution) -> Option<String> {
        let Some(incident) = self.incidents.get(&execution.incident) else {
            return Some("the incident is not known any more".to_owned());
        };
        if let Some(other) = &incident.merged_into {
            return Some(format!("the incident is part of {other}"));
        }
        if incident.state != IncidentState::Open {
            return Some("the incident is over: nothing was changed".to_owned());
        }
        let root = incident.entity.as_ref().map(|entity| entity.name.clone());
        if root != execution.root {
            let root = root.unwrap_or_else(|| "unknown".to_owned());
            return Some(format!("the root is now {root}"));
        }
        let playbook = self.library.playbooks.get(&execution.playbook);
        match playbook.is_some_and(|playbook| trigger::matches(playbook, incident)) {
            true => None,
            false => Some("the incident does not call for this playbook any more".to_owned()),
        }
    }

    fn wait_for_approval(&mut self, execution: &Execution) -> Moved {
        if self.withdraw_if_over(execution) == Moved::Yes {
            return Moved::Yes;
        }
        self.expire(execution, "nobody approved it in time")
    }

    fn expire(&mut self, execution: &Execution, reason: &str) -> Moved {
        if execution.until_ms.is_none_or(|until| self.now_ms <= until) {
            return Moved::No;
        }
        self.tell(&execution.id, Row::new(ActionState::Expired, reason));
        Moved::Yes
    }

    /// A person's word. It counts for the very plan that waits, and until its end; any other is
    /// told and changes nothing.
    pub(super) fn approval(&mut self, approval: &Approval) {
        let Some(execution) = self.executions.get(&approval.execution) else {
            return;
        };
        let is_known = execution.noted.contains(&note_of(approval));
        if is_known || execution.noted.len() >= NOTES_MAX || approval.domain != execution.domain {
            return;
        }
        let (who, now_ms) = (&approval.who, self.now_ms);
        let ours = execution.hash.as_deref().unwrap_or("none");
        let nothing = if approval.plan_hash != ours {
            let theirs: String = approval.plan_hash.chars().take(32).collect();
            Some(format!("{who} speaks of plan {theirs}, this one is {ours}: it changes nothing"))
        } else if execution.state != ActionState::AwaitingApproval {
            let state = execution.state.as_str();
            Some(format!("the word of {who} comes when the plan is {state}: it changes nothing"))
        } else if approval.until_ms < now_ms {
            let end = model::time::rfc3339(approval.until_ms);
            Some(format!("the word of {who} ended at {end}: it changes nothing"))
        } else {
            None
        };
        if let Some(reason) = nothing {
            return self.tell_note(approval, reason);
        }
        let (state, verb) = match approval.verdict {
            ApprovalVerdict::Approve => (ActionState::Approved, "approves"),
            ApprovalVerdict::Reject => (ActionState::Rejected, "rejects"),
        };
        let words = approval.reason.as_deref().map_or(String::new(), |words| format!(": {words}"));
        let row = Row::new(state, format!("{who} {verb} it{words}")).until(approval.until_ms);
        let id = approval.execution.clone();
        self.tell(
            &id,
            row.with(|row| {
                row.who = Some(approval.who.clone());
                row.result = Some(approval.verdict.as_str().to_owned());
            }),
        );
    }

    // --- steps

    /// The first step of an approved plan.
    fn begin_step(&mut self, execution: &Execution, world: &World<'_>) -> Moved {
        if self.withdraw_if_over(execution) == Moved::Yes {
            return Moved::Yes;
        }
        if self.expire(execution, "its approval ended before it could begin") == Moved::Yes {
            return Moved::Yes;
        }
        let Some(plan) = &execution.plan else {
            return Moved::No;
        };
        let gates = self.gates(execution, plan, world);
        if let Some(gate) = gates::refused(&gates) {
            let reason = format!("{}: {}", gate.name, gate.reason);
            let row = Row::new(ActionState::Refused, reason).with(|row| row.gates = gates.clone());
            self.tell(&execution.id, row);
            return Moved::Yes;
        }
        let by_itself = execution.who.as_deref() == Some(AUTO);
        let is_held = gates.iter().any(|g| by_itself && g.verdict == GateVerdict::Hold);
        if is_held || gates::held(&gates).is_some() {
            return Moved::No;
        }
        self.next_step(execution)
    }

    /// What follows while steps are made or taken back.
    fn go_on(&mut self, execution: &Execution, world: &World<'_>) -> Moved {
        let Some(at) = execution.at else {
            return self.after_failure(execution);
        };
        match execution.progress(at) {
            Progress::Leased(attempt) => self.send(execution, at, attempt, Kind::Write),
            Progress::LeasedBack(attempt) => self.send(execution, at, attempt, Kind::WriteBack),
            Progress::Applying(attempt) => self.find_out(execution, at, attempt, Kind::ReadBack),
            Progress::GoingBack(attempt) => self.find_out(execution, at, attempt, Kind::LookBack),
            Progress::Applied | Progress::Waiting if execution.failed_ms.is_none() => {
                match world.is_killed && execution.next_step().is_some() {
                    true => Moved::No,
                    false => self.next_step(execution),
                }
            }
            Progress::Failed | Progress::Unknown if execution.failed_ms.is_none() => {
                self.after_missed_step(execution, at)
            }
            _ => self.after_failure(execution),
        }
    }

    fn next_step(&mut self, execution: &Execution) -> Moved {
        let id = &execution.id;
        let Some(step) = execution.next_step() else {
            return self.all_made(execution);
        };
        let what = execution.step(step).map(|s| (s.effect, s.command.clone(), s.device.clone()));
        let Some((effect, command, device)) = what else {
            return Moved::No;
        };
        match (effect, device) {
            (StepEffect::Tells, _) | (_, None) => {
                self.intend(execution, step, 0, Kind::Write, &command, None);
                Moved::Yes
            }
            (_, Some(device)) => self.lease(id, step, 0, &device, "to write to it"),
        }
    }

    /// Takes a device for a while; no other step may write to it then.
    pub(super) fn lease(
        &mut self,
        id: &str,
        step: u32,
        attempt: u32,
        device: &str,
        why: &str,
    ) -> Moved {
        let busy = self.executions.values().any(|other| {
            let at = other.at.filter(|_| other.id != id && !other.is_over);
            at.is_some_and(|at| {
                other.step(at).and_then(|s| s.device.as_deref()) == Some(device)
                    && matches!(
                        other.progress(at),
                        Progress::Leased(_)
                            | Progress::Applying(_)
                            | Progress::LeasedBack(_)
                            | Progress::GoingBack(_)
                    )
            })
        });
        if busy {
            return Moved::No;
        }
        let until_ms = self.now_ms + self.config.lease_ms as i64;
        let reason = format!("{device} is ours {why}");
        let row = Row::new(ActionState::Leased, reason).step(step, attempt).until(until_ms);
        self.tell(id, row);
        let lease = Lease { execution: id.to_owned(), step, begun: None };
        self.leases.insert(device.to_owned(), lease);
        Moved::Yes
    }

    /// The intent, and the write that it allows.
    fn send(&mut self, execution: &Execution, step: u32, attempt: u32, kind: Kind) -> Moved {
        let Some(plan) = execution.step(step) else {
            return Moved::No;
        };
        let device = plan.device.clone().unwrap_or_default();
        let command = match kind {
            Kind::WriteBack => plan.inverse_command.clone().unwrap_or_default(),
            _ => plan.command.clone(),
        };
        let lease = self.leases.get(&device);
        let lease = lease.filter(|l| l.execution == execution.id && l.step == step);
        match lease.map(|lease| lease.begun) {
            // Its row does not stand yet.
            Some(None) => Moved::No,
            Some(Some(begun)) => {
                let not_after = begun + std::time::Duration::from_millis(self.config.lease_ms);
                self.intend(execution, step, attempt, kind, &command, Some(not_after));
                Moved::Yes
            }
            // That of a predecessor, who had no intent yet.
            None => self.lease(&execution.id, step, attempt + 1, &device, "again, after a restart"),
        }
    }

    fn intend(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        kind: Kind,
        command: &str,
        not_after: Option<std::time::Duration>,
    ) {
        let Some(plan) = execution.step(step) else {
            return;
        };
        let (state, call) = match kind {
            Kind::WriteBack => (ActionState::RollingBack, plan.inverse.clone()),
            _ => (ActionState::Applying, Some(plan.write.clone())),
        };
        let Some(call) = call else {
            return;
        };
        let says = match kind {
            Kind::WriteBack => format!("to take back: {}", plan.says),
            _ => plan.says.clone(),
        };
        self.tell(&execution.id, Row::new(state, says).step(step, attempt).command(command));
        let key = key(&execution.id, step, attempt, kind);
        self.call(Effect { key, call, not_after });
    }

    /// A write whose answer is not known: wait for it, read the device, or say that nobody knows.
    fn find_out(&mut self, execution: &Execution, step: u32, attempt: u32, kind: Kind) -> Moved {
        let write = match kind {
            Kind::LookBack => Kind::WriteBack,
            _ => Kind::Write,
        };
        let waits = |kind| self.in_flight.contains(&key(&execution.id, step, attempt, kind));
        let Some(plan) = execution.step(step) else {
            return Moved::No;
        };
        if waits(write) || waits(kind) {
            return Moved::No;
        }
        // Whoever held the lease may have begun to write just before its end.
        let since = self.since.unwrap_or(self.mono);
        let limit = self.config.lease_ms + plan.write.timeout_ms;
        if self.mono.saturating_sub(since) < std::time::Duration::from_millis(limit)
            && !self.misreads.contains_key(&execution.id)
        {
            return Moved::No;
        }
        match &plan.read {
            Some(read) => {
                let (key, call) = (key(&execution.id, step, attempt, kind), read.clone());
                self.call(Effect { key, call, not_after: None });
                Moved::No
            }
            None => {
                let reason = "it was cut short, and this driver cannot read what became of it: a \
                              person must look";
                self.tell(
                    &execution.id,
                    Row::new(ActionState::Unknown, reason).step(step, attempt),
                );
                Moved::Yes
            }
        }
    }

    fn after_missed_step(&mut self, execution: &Execution, at: u32) -> Moved {
        let id = &execution.id;
        let changes = execution.step(at).is_some_and(|step| step.effect.changes());
        match (changes, execution.progress(at)) {
            // What was only told need not stop the rest.
            (false, _) => self.next_step(execution),
            (true, Progress::Unknown) => {
                let reason = "whether a step was made is not known: a person must decide";
                self.tell(id, Row::new(ActionState::Unknown, reason));
                Moved::Yes
            }
            (true, _) => {
                self.tell(id, Row::new(ActionState::Failed, "a step could not be made"));
                Moved::Yes
            }
        }
    }

    fn all_made(&mut self, execution: &Execution) -> Moved {
        let id = &execution.id;
        let Some(plan) = &execution.plan else {
            return Moved::No;
        };
        if !execution.applied().is_empty() {
            let until_ms = self.now_ms + plan.verify.within_ms;
            let how = match plan.verify.by_anomalies {
                true => "the incident's anomalies must clear and the device read as planned",
                false => "the device must read as planned, and nothing behind it break",
            };
            self.tell(id, Row::new(ActionState::Verifying, how).until(until_ms));
            return Moved::Yes;
        }
        let missed = |p: &Progress| matches!(p, Progress::Failed | Progress::Unknown);
        let (state, reason) = match execution.steps.iter().find(|p| missed(p)) {
            None => (ActionState::Confirmed, "told; nothing on a device was changed"),
            Some(Progress::Unknown) => (ActionState::Unknown, "whether it was told is not known"),
            Some(_) => (ActionState::Failed, "it could not be told"),
        };
        self.tell(id, Row::new(state, reason));
        Moved::Yes
    }

    /// Back, step by step, the last one first.
    fn after_failure(&mut self, execution: &Execution) -> Moved {
        let id = &execution.id;
        if execution.failed_ms.is_none() {
            return Moved::No;
        }
        let at = execution.at.map(|at| execution.progress(at));
        if at == Some(Progress::Unknown) {
            let reason = "whether it was taken back is not known: a person must decide";
            self.tell(id, Row::new(ActionState::Unknown, reason));
            return Moved::Yes;
        }
        if let Some(step) = execution.to_take_back() {
            let device = execution.step(step).and_then(|step| step.device.clone());
            return self.lease(id, step, 0, &device.unwrap_or_default(), "to take the change back");
        }
        let (state, reason) = match execution.without_way_back() {
            true => (ActionState::Stuck, "a change has no way back: a person is needed"),
            false => (ActionState::RolledBack, "all that was changed is as it was before"),
        };
        self.tell(id, Row::new(state, reason));
        Moved::Yes
    }

    // --- answers

    /// What became of a call. One that nobody waits for changes nothing.
    pub(super) fn answer(&mut self, answer: &Answer) {
        let was_waited_for = self.in_flight.remove(&answer.key);
        let Key { execution, step, attempt, kind } = &answer.key;
        let Some(found) = self.executions.get(execution).filter(|e| !e.is_over) else {
            return;
        };
        let (found, step, attempt) = (found.clone(), *step, *attempt);
        match (kind, found.progress(step)) {
            (Kind::Ask, _) if found.state == ActionState::Proposed && was_waited_for => {
                self.asked(&found, answer);
            }
            (Kind::Write, Progress::Applying(at)) if at == attempt => {
                self.written(&found, step, attempt, &answer.result);
            }
            (Kind::WriteBack, Progress::GoingBack(at)) if at == attempt => {
                self.written_back(&found, step, attempt, &answer.result);
            }
            (Kind::ReadBack, Progress::Applying(at)) if at == attempt && was_waited_for => {
                self.read_back(&found, step, attempt, &answer.result);
            }
            (Kind::LookBack, Progress::GoingBack(at)) if at == attempt && was_waited_for => {
                self.looked_back(&found, step, attempt, &answer.result);
            }
            (Kind::Look, _) if was_waited_for => self.looked(execution, step, &answer.result),
            _ => {}
        }
    }

    fn asked(&mut self, execution: &Execution, answer: &Answer) {
        // Only what the walk would ask now counts as asked.
        let question = self.questions.remove(&answer.key).unwrap_or_default();
        let row = Row::new(ActionState::Proposed, "asked for the plan").step(answer.key.step, 0);
        let row = row.command(&question);
        let row = match &answer.result {
            Ok(text) => row.result(text.clone()),
            Err(miss) => row.with(|row| row.reason = miss.to_string()),
        };
        self.tell(&execution.id, row);
    }

    fn written(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        result: &Result<String, Miss>,
    ) {
        let id = &execution.id;
        let Some(plan) = execution.step(step) else {
            return;
        };
        let miss = match result {
            Ok(text) => {
                let row = Row::new(ActionState::Applied, format!("done: {}", plan.says));
                return self.tell(id, row.step(step, attempt).result(text.clone()));
            }
            Err(miss) => miss,
        };
        match miss {
            Miss::LeaseOver | Miss::Driver(DriverError::Unreached(_)) => {
                self.again(execution, step, attempt, miss, ActionState::Failed);
            }
            Miss::Driver(DriverError::Refused(_)) => {
                let row = Row::new(ActionState::Failed, miss.to_string()).step(step, attempt);
                self.tell(id, row);
            }
            Miss::Driver(DriverError::Unclear(_)) if plan.read.is_some() => {
                // Reads the device at once: nobody else held the lease.
                self.misreads.entry(id.clone()).or_default();
            }
            Miss::Driver(DriverError::Unclear(_)) => {
                let row = Row::new(ActionState::Unknown, miss.to_string()).step(step, attempt);
                self.tell(id, row);
            }
        }
    }

    fn written_back(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        result: &Result<String, Miss>,
    ) {
        let id = &execution.id;
        let readable = execution.step(step).is_some_and(|plan| plan.read.is_some());
        match result {
            Ok(_) if readable => {
                self.misreads.entry(id.clone()).or_default();
            }
            Ok(text) => {
                let row = Row::new(ActionState::RolledBack, "taken back; it cannot be read");
                self.tell(id, row.step(step, attempt).result(text.clone()));
            }
            Err(miss @ (Miss::LeaseOver | Miss::Driver(DriverError::Unreached(_)))) => {
                self.again(execution, step, attempt, miss, ActionState::Stuck);
            }
            Err(miss @ Miss::Driver(DriverError::Refused(_))) => {
                self.tell(id, Row::new(ActionState::Stuck, miss.to_string()).step(step, attempt));
            }
            Err(Miss::Driver(DriverError::Unclear(_))) if readable => {
                self.misreads.entry(id.clone()).or_default();
            }
            Err(miss) => {
                self.tell(id, Row::new(ActionState::Unknown, miss.to_string()).step(step, attempt));
            }
        }
    }

    /// The device as it is after a write that was cut short: only what is absent is written.
    fn read_back(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        result: &Result<String, Miss>,
    ) {
        let id = &execution.id;
        let want = execution.step(step).and_then(|plan| plan.want.clone());
        match result {
            Ok(found) if want.as_ref().is_some_and(|want| want.is_met_by(found)) => {
                self.misreads.remove(id);
                let reason = "the device was found as it is to be";
                let row = Row::new(ActionState::Applied, reason).step(step, attempt);
                self.tell(id, row.result(found.clone()));
            }
            Ok(found) => {
                self.misreads.remove(id);
                let miss =
                    Miss::Driver(DriverError::Unreached(format!("the device reads {found}")));
                self.again(execution, step, attempt, &miss, ActionState::Failed);
            }
            Err(miss) => self.misread(execution, step, attempt, miss),
        }
    }

    fn looked_back(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        result: &Result<String, Miss>,
    ) {
        let id = &execution.id;
        let Some(plan) = execution.step(step) else {
            return;
        };
        let is_back = |found: &str| match &plan.want {
            // Others may have changed what is read beside ours.
            Some(want @ Want::Has(_)) => !want.is_met_by(found),
            _ => plan.before.as_deref().unwrap_or_default().trim() == found.trim(),
        };
        match result {
            Ok(found) if is_back(found) => {
                self.misreads.remove(id);
                let row = Row::new(ActionState::RolledBack, "the device reads as it did before");
                self.tell(id, row.step(step, attempt).result(found.clone()));
            }
            Ok(found) => {
                self.misreads.remove(id);
                let miss =
                    Miss::Driver(DriverError::Unreached(format!("the device reads {found}")));
                self.again(execution, step, attempt, &miss, ActionState::Stuck);
            }
            Err(miss) => self.misread(execution, step, attempt, miss),
        }
    }

    fn misread(&mut self, execution: &Execution, step: u32, attempt: u32, miss: &Miss) {
        let misses = self.misreads.entry(execution.id.clone()).or_default();
        *misses += 1;
        if *misses >= self.config.attempts_max {
            self.misreads.remove(&execution.id);
            let reason = format!("what became of it cannot be read: {miss}");
            let row = Row::new(ActionState::Unknown, reason).step(step, attempt);
            self.tell(&execution.id, row);
        }
    }

    /// One more attempt at what was not done, as long as there are any.
    fn again(
        &mut self,
        execution: &Execution,
        step: u32,
        attempt: u32,
        miss: &Miss,
        end: ActionState,
    ) {
        let id = &execution.id;
        let device = execution.step(step).and_then(|plan| plan.device.clone());
        let Some(device) = device.filter(|_| attempt + 1 < self.config.attempts_max) else {
            self.tell(id, Row::new(end, miss.to_string()).step(step, attempt));
            return;
        };
        self.lease(id, step, attempt + 1, &device, &format!("once more: {miss}"));
    }

    /// Makes a call once its row stands, unless it is being made.
    pub(super) fn call(&mut self, effect: Effect) {
        if self.in_flight.insert(effect.key.clone()) {
            if effect.key.kind == Kind::Ask {
                self.questions.insert(effect.key.clone(), effect.call.text());
            }
            self.done.effects.push(effect);
        }
    }
}

pub(super) fn key(execution: &str, step: u32, attempt: u32, kind: Kind) -> Key {
    Key { execution: execution.to_owned(), step, attempt, kind }
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Miss::LeaseOver => f.write_str("its lease was over before it began"),
            Miss::Driver(error) => error.fmt(f),
        }
    }
}
