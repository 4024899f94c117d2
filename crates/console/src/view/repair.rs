//! What a repair would do, does or did: its plan step by step with diff and exact commands, what
//! was checked, who said yes, and how it went.

use model::rows::{Action, ActionState, Approval, Gate};
use serde::Serialize;
use serde_json::Value;

use super::words;
use crate::store::{Execution, State};

#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    pub execution: String,
    pub playbook: String,
    pub state: &'static str,
    pub words: &'static str,
    pub tone: &'static str,
    pub reason: String,
    pub updated_ms: i64,
    pub until_ms: Option<i64>,
    /// What an approval is bound to.
    pub plan_hash: Option<String>,
    pub can_decide: bool,
    /// A word was given and act has not answered yet.
    pub is_decided: bool,
    pub mode: Option<String>,
    pub steps: Vec<Step>,
    pub skipped: Vec<(String, String)>,
    pub verify: Option<String>,
    pub gates: Vec<Gate>,
    pub words_said: Vec<Word>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Step {
    pub name: String,
    pub says: String,
    pub action: String,
    pub driver: String,
    pub device: Option<String>,
    pub entity: Option<String>,
    pub before: Option<String>,
    /// Lines with their sign: `-` what is, `+` what will be, a blank for all others.
    pub diff: Vec<(char, String)>,
    pub command: String,
    pub inverse: Option<String>,
    pub no_inverse: Option<String>,
    pub changes: bool,
    pub state: Option<&'static str>,
    pub tone: Option<&'static str>,
    pub result: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Word {
    pub time_ms: i64,
    pub verdict: &'static str,
    pub who: String,
    pub reason: Option<String>,
    pub until_ms: i64,
}

/// Characters of one text that a page shows.
const TEXT_MAX: usize = 2_000;
/// Steps that a page shows.
const STEPS_MAX: usize = 50;

/// The repairs of an incident, the latest first.
pub fn of_incident(state: &State, incident: &str) -> Vec<Repair> {
    let ids = state.repairs.get(incident).map(Vec::as_slice).unwrap_or_default();
    let found = ids.iter().filter_map(|id| Some((id, state.executions.get(id)?)));
    let mut repairs: Vec<Repair> = found.filter_map(|(id, e)| repair(id, e)).collect();
    repairs.sort_by_key(|repair| std::cmp::Reverse(repair.updated_ms));
    repairs
}

/// `None` where there is no step, only somebody's word.
pub fn repair(id: &str, execution: &Execution) -> Option<Repair> {
    let last = execution.last()?;
    let planned = execution.planned();
    let plan: Value = planned
        .and_then(|step| serde_json::from_str(step.plan.as_deref().unwrap_or_default()).ok())
        .unwrap_or_default();
    let gates = execution.steps.iter().rev().find(|step| !step.gates.is_empty());
    let waits = matches!(last.state, ActionState::AwaitingApproval);
    let hash = execution.plan_hash().map(str::to_owned);
    let is_decided = waits && execution.approvals.iter().any(|word| is_on(word, &hash, last));
    let reason = execution.steps.iter().rev().find(|step| !step.reason.is_empty());
    Some(Repair {
        execution: id.to_owned(),
        playbook: last.playbook.clone(),
        state: last.state.as_str(),
        words: words::action_state(last.state),
        tone: words::tone(last.state),
        reason: clip(reason.map(|step| step.reason.as_str()).unwrap_or_default()),
        updated_ms: last.time_ms,
        until_ms: last.until_ms,
        can_decide: waits && hash.is_some(),
        plan_hash: hash,
        is_decided,
        mode: text(&plan, "mode"),
        steps: steps(&plan, execution),
        skipped: skipped(&plan),
        verify: verify(&plan),
        gates: gates.map(|step| step.gates.clone()).unwrap_or_default(),
        words_said: execution.approvals.iter().map(word).collect(),
    })
}

fn is_on(word: &Approval, hash: &Option<String>, last: &Action) -> bool {
    Some(&word.plan_hash) == hash.as_ref() && word.time_ms >= last.time_ms
}

fn word(approval: &Approval) -> Word {
    Word {
        time_ms: approval.time_ms,
        verdict: approval.verdict.as_str(),
        who: clip(&approval.who),
        reason: approval.reason.as_deref().map(clip),
        until_ms: approval.until_ms,
    }
}

fn clip(text: &str) -> String {
    words::clip(text, TEXT_MAX)
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(clip).filter(|text| !text.is_empty())
}

fn list<'a>(plan: &'a Value, name: &str) -> &'a [Value] {
    plan.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn steps(plan: &Value, execution: &Execution) -> Vec<Step> {
    let planned = list(plan, "steps").iter().take(STEPS_MAX).enumerate();
    planned.map(|(at, step)| one(step, at, execution)).collect()
}

fn one(step: &Value, at: usize, execution: &Execution) -> Step {
    let of_step = |action: &&Action| action.step.is_some_and(|step| step as usize == at);
    let last = execution.steps.iter().rev().find(of_step);
    let mut of_results = execution.steps.iter().rev().filter(of_step);
    let result = of_results.find_map(|action| action.result.as_deref()).map(clip);
    let named = |name: &str| text(step, name).unwrap_or_default();
    let effect = step.get("effect").and_then(Value::as_str).unwrap_or("change");
    let diff = named("diff");
    Step {
        name: named("name"),
        says: named("says"),
        action: named("action"),
        driver: named("driver"),
        device: text(step, "device"),
        entity: text(step, "entity"),
        before: text(step, "before"),
        diff: diff.lines().map(signed).collect(),
        command: named("command"),
        inverse: text(step, "inverse_command"),
        no_inverse: text(step, "no_inverse"),
        changes: !matches!(effect, "reads" | "tells"),
        state: last.map(|action| words::action_state(action.state)),
        tone: last.map(|action| words::tone(action.state)),
        result,
    }
}

fn signed(line: &str) -> (char, String) {
    match line.chars().next() {
        Some(sign @ ('+' | '-')) => (sign, line[1..].trim_start().to_owned()),
        _ => (' ', line.to_owned()),
    }
}

fn skipped(plan: &Value) -> Vec<(String, String)> {
    let all = list(plan, "skipped").iter().take(STEPS_MAX);
    all.map(|one| (text(one, "name").unwrap_or_default(), text(one, "reason").unwrap_or_default()))
        .collect()
}

fn verify(plan: &Value) -> Option<String> {
    let verify = plan.get("verify")?;
    let within = words::span(verify.get("within_ms")?.as_i64()?);
    let by_anomalies = verify.get("by_anomalies").and_then(Value::as_bool).unwrap_or(true);
    let what = match by_anomalies {
        true => "the device is read back and the incident's anomalies must clear",
        false => "the device is read back, and no service may get worse",
    };
    Some(format!("{what}, within {within}; else it is rolled back"))
}
