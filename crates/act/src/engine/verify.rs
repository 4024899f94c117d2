//! Whether a repair worked: the incident's own anomalies have cleared and the device reads as
//! planned; where the repair silences its symptoms, the device and what hangs on it decide.

use std::collections::BTreeMap;
use std::time::Duration;

use model::rows::{ActionState, Incident, IncidentState};

use super::advance::{Moved, World, key};
use super::execution::Execution;
use super::plan::{Plan, PlanStep};
use super::tell::Row;
use super::{Act, Effect, Kind, Miss};

/// What was seen of the devices of one execution since its last step.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    /// When to look again, by the turns' clock.
    next: Duration,
    number: u32,
    /// The last answer of each step: whether it is as planned, and what it was.
    last: BTreeMap<u32, (bool, String)>,
}

// === impl Act ===

impl Act {
    pub(super) fn verify(&mut self, execution: &Execution, _world: &World<'_>) -> Moved {
        let (Some(plan), Some(since_ms)) = (&execution.plan, execution.verifying_ms) else {
            return Moved::No;
        };
        let until_ms = execution.until_ms.unwrap_or(since_ms);
        self.look(execution);
        let devices = self.devices_stand(execution, since_ms);
        let signs = match plan.verify.by_anomalies {
            true => self.have_cleared(execution),
            false => self.hold(execution, plan, since_ms),
        };
        let over = self.now_ms > until_ms;
        let failed = match (devices, signs) {
            (Sign::Bad(reason), _) | (_, Sign::Bad(reason)) => reason,
            (Sign::Good(device), Sign::Good(signs)) => {
                self.looks.remove(&execution.id);
                let reason = format!("{signs}; {device}");
                self.tell(&execution.id, Row::new(ActionState::Confirmed, reason));
                return Moved::Yes;
            }
            (Sign::Not(reason), _) | (_, Sign::Not(reason)) if over => reason,
            _ => return Moved::No,
        };
        self.looks.remove(&execution.id);
        let reason = format!("the repair does not show: {failed}");
        self.tell(&execution.id, Row::new(ActionState::Failed, reason));
        Moved::Yes
    }

    /// Reads the devices every so often.
    fn look(&mut self, execution: &Execution) {
        let every = Duration::from_secs(u64::from(self.config.look_every_s));
        let looks = self.looks.entry(execution.id.clone()).or_default();
        if self.mono < looks.next {
            return;
        }
        looks.next = self.mono + every;
        looks.number += 1;
        let number = looks.number;
        let steps = execution.applied();
        for step in steps {
            let read = execution.step(step).and_then(|plan| plan.read.clone());
            let waits = self
                .in_flight
                .iter()
                .any(|k| k.execution == execution.id && k.step == step && k.kind == Kind::Look);
            if let Some(call) = read.filter(|_| !waits) {
                let key = key(&execution.id, step, number, Kind::Look);
                self.call(Effect { key, call, not_after: None });
            }
        }
    }

    pub(super) fn looked(&mut self, id: &str, step: u32, result: &Result<String, Miss>) {
        let want = self.executions.get(id).and_then(|e| e.step(step)).and_then(|s| s.want.clone());
        let seen = match result {
            Ok(found) => (want.is_some_and(|want| want.is_met_by(found)), found.clone()),
            Err(miss) => (false, miss.to_string()),
        };
        if let Some(looks) = self.looks.get_mut(id) {
            looks.last.insert(step, seen);
        }
    }

    fn devices_stand(&self, execution: &Execution, since_ms: i64) -> Sign {
        let looks = self.looks.get(&execution.id);
        let can_read = |step: &PlanStep| step.read.is_some();
        let steps = execution.applied().into_iter();
        let steps: Vec<(u32, &PlanStep)> = steps
            .filter_map(|at| Some((at, execution.step(at)?)))
            .filter(|(_, step)| can_read(step))
            .collect();
        let (mut reads, settle_ms) = (Vec::new(), i64::from(self.config.settle_s) * 1_000);
        for (at, step) in &steps {
            let want = step.want.as_ref().map(|want| want.text()).unwrap_or_default();
            let device = step.device.as_deref().unwrap_or("");
            match looks.and_then(|looks| looks.last.get(at)) {
                None => return Sign::Not(format!("{device} was not read yet")),
                Some((true, found)) => reads.push(format!("{device} reads {}", found.trim())),
                Some((false, found)) => {
                    let reason = format!("{device} reads {}, wanted is {want}", found.trim());
                    return match self.now_ms > since_ms + settle_ms {
                        true => Sign::Bad(reason),
                        false => Sign::Not(reason),
                    };
                }
            }
        }
        match reads.is_empty() {
            true => Sign::Good("no device can be read".to_owned()),
            false => Sign::Good(reads.join("; ")),
        }
    }

    /// Whether the incident's own anomalies are over; it may have become part of another one.
    fn have_cleared(&self, execution: &Execution) -> Sign {
        let Some(own) = self.incidents.get(&execution.incident) else {
            return Sign::Not("the incident is not known any more".to_owned());
        };
        let within = own.merged_into.as_ref().and_then(|id| self.incidents.get(id)).unwrap_or(own);
        let is_quiet = within.id == own.id && own.state != IncidentState::Open;
        let unexplained =
            |id: &String| own.cause.as_ref().is_some_and(|cause| cause.unexplained.contains(id));
        let open: Vec<&str> = own
            .members
            .iter()
            .filter(|member| !unexplained(&member.id))
            .filter(|member| {
                let now = within.members.iter().find(|other| other.id == member.id);
                now.unwrap_or(member).cleared_ms.is_none()
            })
            .map(|member| member.rule.as_str())
            .collect();
        match is_quiet || open.is_empty() {
            true => Sign::Good("the incident's anomalies have cleared".to_owned()),
            false => {
                Sign::Not(format!("{} of its anomalies have not cleared ({})", open.len(), open[0]))
            }
        }
    }

    /// For a while after a repair that silences its symptoms nothing new may break behind it.
    fn hold(&self, execution: &Execution, plan: &Plan, since_ms: i64) -> Sign {
        let began_ms = execution.began_ms.unwrap_or(since_ms);
        let is_new = |incident: &&Incident| {
            incident.domain == execution.domain
                && incident.id != execution.incident
                && incident.opened_ms >= began_ms
                && incident.state == IncidentState::Open
                && touches(incident, plan)
        };
        if let Some(other) = self.incidents.values().find(is_new) {
            return Sign::Bad(format!("since then: {}", other.headline));
        }
        let hold_s = self.config.hold_s;
        match self.now_ms >= since_ms + i64::from(hold_s) * 1_000 {
            true => Sign::Good(format!("nothing behind it broke for {hold_s} s")),
            false => Sign::Not(format!("nothing behind it may break for {hold_s} s")),
        }
    }
}

/// What one of two signs says.
enum Sign {
    Good(String),
    /// Not yet.
    Not(String),
    Bad(String),
}

/// Whether an incident is about a service behind the change, or says that one is affected.
fn touches(incident: &Incident, plan: &Plan) -> bool {
    let is_service = |name: &str| {
        let plain = name.trim_start_matches("service/").trim_start_matches("service ");
        plan.verify.services.iter().any(|service| service == plain)
    };
    let entity = incident.entity.as_ref();
    let own = entity.is_some_and(|e| {
        is_service(&e.name)
            || matches!(e.kind.as_str(), "device" | "node")
                && plan.devices().contains(e.name.as_str())
    });
    let affected = incident.cause.iter().flat_map(|cause| &cause.affected);
    own || affected.into_iter().any(|name| is_service(name))
}
