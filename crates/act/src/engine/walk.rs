//! From a playbook to a plan: each step in order, with what is asked for on the way. A function of
//! the incident, the network and the answers so far; where one is missing it says which.

use std::collections::BTreeMap;

use model::rows::Incident;
use serde_json::{Map, Value, json};

use super::execution::Execution;
use super::network::Network;
use super::plan::{Plan, PlanStep, Skipped, Verify, Want};
use super::trigger;
use crate::config::ActConfig;
use crate::driver::{Call, Target};
use crate::playbook::template::{self, PERCENT, TemplateError};
use crate::playbook::{Binding, Effect, Library, Mode, Playbook, Step};

/// What came of a walk.
#[derive(Clone, Debug, PartialEq)]
pub enum Walked {
    /// This must be asked first, for the step of this number.
    Asks(u32, Call),
    Plan(Box<Plan>),
    /// There can be no plan, and why.
    Cannot(String),
}

/// See the module.
pub struct Walk<'a> {
    pub config: &'a ActConfig,
    pub library: &'a Library,
    pub network: &'a Network,
    pub incident: &'a Incident,
    pub playbook: &'a Playbook,
    pub execution: &'a Execution,
}

enum Stop {
    Asks(u32, Call),
    Cannot(String),
}

/// The plan as far as it has come.
struct Draft {
    trigger: Value,
    speed_bps: Option<f64>,
    /// Outputs of the steps so far.
    outputs: Map<String, Value>,
    steps: Vec<PlanStep>,
    skipped: Vec<Skipped>,
    mode: Mode,
    asked: u32,
}

// === impl Walk ===

impl Walk<'_> {
    pub fn walk(&self) -> Walked {
        match self.draft() {
            Ok(draft) => self.finish(draft),
            Err(Stop::Asks(number, call)) => Walked::Asks(number, call),
            Err(Stop::Cannot(reason)) => Walked::Cannot(reason),
        }
    }

    fn draft(&self) -> Result<Draft, Stop> {
        let trigger = trigger::context(self.playbook, self.incident, self.network);
        let mut draft = Draft {
            speed_bps: trigger.get("speed_bps").and_then(Value::as_f64),
            trigger,
            outputs: Map::new(),
            steps: Vec::new(),
            skipped: Vec::new(),
            mode: self.playbook.mode,
            asked: 0,
        };
        for step in &self.playbook.steps {
            match &step.each {
                None => self.step(step, None, &mut draft)?,
                Some(each) => {
                    let items = template::value(each, &draft.context(None));
                    let items = items.map_err(|e| cannot(step, &e))?;
                    let Value::Array(items) = items else {
                        return Err(Stop::Cannot(format!("step {}: `each` is no list", step.name)));
                    };
                    if items.is_empty() {
                        draft.skip(step, "there is nothing to do it for".to_owned());
                    }
                    for item in &items {
                        self.step(step, Some(item), &mut draft)?;
                    }
                }
            }
            if draft.steps.len() > self.config.limits.steps_max as usize {
                let most = self.config.limits.steps_max;
                return Err(Stop::Cannot(format!("the plan has more than {most} steps")));
            }
        }
        Ok(draft)
    }

    fn step(&self, step: &Step, item: Option<&Value>, draft: &mut Draft) -> Result<(), Stop> {
        let context = draft.context(item);
        if let Some(when) = &step.when {
            match template::holds(when, &context) {
                Ok(true) => {}
                Ok(false) => {
                    draft.skip(step, format!("{when} does not hold"));
                    return Ok(());
                }
                // What cannot be shown to hold does not.
                Err(TemplateError::Undefined(what)) => {
                    draft.skip(step, format!("it is not known whether {when} holds: {what}"));
                    return Ok(());
                }
                Err(error) => return Err(cannot(step, &error)),
            }
        }
        let mut inputs = Map::new();
        for (name, value) in &step.inputs {
            let value = filled(value, &context).map_err(|e| cannot(step, &e))?;
            inputs.insert(name.clone(), value);
        }
        let device = inputs.get("device").map(text_of);
        let target = self.target(step, device.as_deref())?;
        let class = target.as_ref().and_then(|target| target.class.as_deref());
        let Some(binding) = self.library.binding(&step.action, class) else {
            let class = class.unwrap_or("none");
            let reason =
                format!("step {}: nothing binds {} for class {class}", step.name, step.action);
            return Err(Stop::Cannot(reason));
        };
        let bound = Bound { step, binding, target, inputs: Value::Object(inputs) };
        match binding.effect {
            Effect::Reads => self.reads(&bound, &context, draft),
            Effect::Tells => self.tells(&bound, draft),
            _ => self.changes(&bound, draft),
        }
    }

    /// A device that is not in the inventory is not touched.
    fn target(&self, step: &Step, device: Option<&str>) -> Result<Option<Target>, Stop> {
        let Some(device) = device else {
            return Ok(None);
        };
        let missing =
            || Stop::Cannot(format!("step {}: {device} is not in the inventory", step.name));
        self.network.target(&self.incident.domain, device).ok_or_else(missing).map(Some)
    }

    fn reads(&self, bound: &Bound<'_>, context: &Value, draft: &mut Draft) -> Result<(), Stop> {
        let call = self.call(bound, bound.binding.read.as_ref(), None)?;
        let result = match bound.binding.driver.as_str() {
            "evidence" => self.evidence(&call, draft),
            _ => {
                let answer = self.ask(&call, draft)?;
                let answer =
                    answer.map_err(|e| Stop::Cannot(format!("step {}: {e}", bound.step.name)))?;
                serde_json::from_str(&answer).unwrap_or_else(|_| json!({ "text": answer }))
            }
        };
        let mut context = context.clone();
        context["result"] = result;
        let mut outputs = Map::new();
        for (name, text) in &bound.step.outputs {
            let value = match template::value(text, &context) {
                Ok(value) => value,
                Err(TemplateError::Undefined(_)) => Value::Null,
                Err(error) => return Err(cannot(bound.step, &error)),
            };
            outputs.insert(name.clone(), value);
        }
        draft.outputs.insert(bound.step.name.clone(), Value::Object(outputs));
        Ok(())
    }

    /// What is asked of the incident itself.
    fn evidence(&self, call: &Call, draft: &Draft) -> Value {
        match call.parameters.get("what").map(String::as_str) {
            Some("talkers") => {
                let speed = draft.speed_bps.map(|speed| speed as u64);
                json!({ "flows": trigger::talkers(self.incident, self.network, speed) })
            }
            _ => trigger::metrics(self.playbook, self.incident),
        }
    }

    fn tells(&self, bound: &Bound<'_>, draft: &mut Draft) -> Result<(), Stop> {
        let write = self.call(bound, bound.binding.write.as_ref(), None)?;
        let says = self.says(bound)?;
        let command = write.text();
        self.add(
            bound,
            draft,
            PlanStep {
                says,
                diff: String::new(),
                command,
                write,
                before: None,
                want: None,
                inverse_command: None,
                no_inverse: Some("it only tells".to_owned()),
                inverse: None,
                read: None,
                ..bound.blank()
            },
        );
        Ok(())
    }

    fn changes(&self, bound: &Bound<'_>, draft: &mut Draft) -> Result<(), Stop> {
        let binding = bound.binding;
        if bound.target.is_none() {
            return Err(Stop::Cannot(format!("step {}: it names no device", bound.step.name)));
        }
        let read = match &binding.read {
            Some(_) => Some(self.call(bound, binding.read.as_ref(), None)?),
            None => None,
        };
        let want = self.want(bound)?;
        let mut before = None;
        if let Some(read) = &read {
            let answer = self.ask(read, draft)?;
            let answer = answer.map_err(|e| {
                let device = bound.device().unwrap_or_default();
                Stop::Cannot(format!("step {}: cannot read {device}: {e}", bound.step.name))
            })?;
            if want.as_ref().is_some_and(|want| want.is_met_by(&answer)) {
                draft.skip(bound.step, format!("it is so already: {}", answer.trim()));
                return Ok(());
            }
            before = Some(answer.trim().to_owned());
        }
        let write = self.call(bound, binding.write.as_ref(), before.as_deref())?;
        let inverse = match &binding.inverse {
            Some(_) => Some(self.call(bound, binding.inverse.as_ref(), before.as_deref())?),
            None => None,
        };
        let entity = match &binding.target {
            Some(target) => Some(bound.render(target, self, None)?),
            None => None,
        };
        let diff = match (&before, &want) {
            (Some(before), Some(want)) => format!("{before} → {}", want.text()),
            _ => "not readable: what it is now is not known".to_owned(),
        };
        let step = PlanStep {
            entity,
            says: self.says(bound)?,
            diff,
            command: write.text(),
            inverse_command: inverse.as_ref().map(Call::text),
            no_inverse: binding.no_inverse.clone().filter(|_| inverse.is_none()),
            before,
            want,
            write,
            inverse,
            read,
            ..bound.blank()
        };
        self.add(bound, draft, step);
        Ok(())
    }

    fn want(&self, bound: &Bound<'_>) -> Result<Option<Want>, Stop> {
        Ok(match (&bound.binding.want, &bound.binding.want_has) {
            (Some(want), _) => Some(Want::Is(bound.render(want, self, None)?)),
            (None, Some(want)) => Some(Want::Has(bound.render(want, self, None)?)),
            (None, None) => None,
        })
    }

    fn says(&self, bound: &Bound<'_>) -> Result<String, Stop> {
        match &bound.binding.says {
            Some(says) => bound.render(says, self, None),
            None => Ok(match bound.device() {
                Some(device) => format!("{} on {device}", bound.step.action),
                None => bound.step.action.clone(),
            }),
        }
    }

    fn add(&self, bound: &Bound<'_>, draft: &mut Draft, mut step: PlanStep) {
        let number = draft.steps.len();
        let key = |way: &str| format!("{}/{number}/{way}", self.execution.id);
        step.write.key = key("apply");
        if let Some(inverse) = &mut step.inverse {
            inverse.key = key("back");
        }
        draft.mode = draft.mode.min(bound.binding.mode);
        draft.steps.push(step);
    }

    fn call(
        &self,
        bound: &Bound<'_>,
        parameters: Option<&BTreeMap<String, String>>,
        before: Option<&str>,
    ) -> Result<Call, Stop> {
        let mut filled = BTreeMap::new();
        for (name, text) in parameters.into_iter().flatten() {
            filled.insert(name.clone(), bound.render(text, self, before)?);
        }
        Ok(Call {
            driver: bound.binding.driver.clone(),
            device: bound.target.clone(),
            parameters: filled,
            timeout_ms: bound.binding.timeout_ms,
            key: String::new(),
        })
    }

    /// The answer to a question, if it was asked.
    fn ask(&self, call: &Call, draft: &mut Draft) -> Result<Result<String, String>, Stop> {
        let number = draft.asked;
        draft.asked += 1;
        match self.execution.facts.get(&call.text()) {
            Some(answer) => Ok(answer.clone()),
            None => Err(Stop::Asks(number, call.clone())),
        }
    }

    fn finish(&self, draft: Draft) -> Walked {
        let within_s = self.playbook.verify_within_s.unwrap_or(self.config.verify_within_s);
        let changing: Vec<&PlanStep> =
            draft.steps.iter().filter(|step| step.effect.changes()).collect();
        let elements = self.elements(&changing);
        let verify = Verify {
            within_ms: i64::from(within_s) * 1_000,
            by_anomalies: changing.iter().any(|step| !step.silences),
            services: self.network.services_of(&self.incident.domain, &elements),
            elements,
        };
        let plan = Plan {
            execution: self.execution.id.clone(),
            incident: self.incident.id.clone(),
            playbook: self.playbook.name.clone(),
            mode: draft.mode,
            trigger: draft.trigger,
            steps: draft.steps,
            skipped: draft.skipped,
            verify,
        };
        let (bytes, most) = (plan.json().len(), self.config.limits.plan_bytes_max);
        if bytes > most as usize {
            return Walked::Cannot(format!("the plan has {bytes} bytes, at most {most}"));
        }
        Walked::Plan(Box::new(plan))
    }

    /// Ids of the elements that the steps change.
    fn elements(&self, changing: &[&PlanStep]) -> Vec<String> {
        let mut ids = Vec::new();
        for step in changing {
            let Some(device) = &step.device else {
                continue;
            };
            ids.push(format!("node/{device}"));
            let domain = &self.incident.domain;
            let link = step.entity.as_ref().and_then(|e| self.network.link(domain, device, e));
            if let Some(link) = link {
                ids.push(link.id.clone());
            }
        }
        ids.sort();
        ids.dedup();
        ids
    }
}

/// A step with what binds it, its inputs filled in.
struct Bound<'a> {
    step: &'a Step,
    binding: &'a Binding,
    target: Option<Target>,
    inputs: Value,
}

// === impl Bound ===

impl Bound<'_> {
    fn device(&self) -> Option<String> {
        self.target.as_ref().map(|target| target.name.clone())
    }

    /// A text of the binding.
    fn render(&self, text: &str, walk: &Walk<'_>, before: Option<&str>) -> Result<String, Stop> {
        let mut context = json!({ "inputs": self.inputs });
        if let Some(target) = &self.target {
            context["device"] = json!({ "name": target.name, "address": target.address });
        }
        if let Some(interface) = self.interface(walk) {
            context["interface"] = interface;
        }
        if let Some(before) = before {
            context["before"] = json!(before);
        }
        template::render(text, &context).map_err(|e| cannot(self.step, &e))
    }

    fn interface(&self, walk: &Walk<'_>) -> Option<Value> {
        let name = self.inputs.get("interface")?.as_str()?;
        let device = &self.target.as_ref()?.name;
        let found = walk.network.find_interface(&walk.incident.domain, device, name)?;
        Some(json!({ "name": name, "index": found.if_index, "speed_bps": found.speed_bps }))
    }

    fn blank(&self) -> PlanStep {
        PlanStep {
            name: self.step.name.clone(),
            action: self.step.action.clone(),
            driver: self.binding.driver.clone(),
            effect: self.binding.effect,
            device: self.device(),
            entity: None,
            says: String::new(),
            before: None,
            want: None,
            diff: String::new(),
            command: String::new(),
            inverse_command: None,
            no_inverse: None,
            write: Call {
                driver: String::new(),
                device: None,
                parameters: BTreeMap::new(),
                timeout_ms: 0,
                key: String::new(),
            },
            inverse: None,
            read: None,
            silences: self.binding.silences,
        }
    }
}

// === impl Draft ===

impl Draft {
    fn context(&self, item: Option<&Value>) -> Value {
        let mut context = json!({ "trigger": self.trigger, "steps": self.outputs });
        if let Some(item) = item {
            context["item"] = item.clone();
        }
        if let Some(speed) = self.speed_bps {
            context[PERCENT] = json!(speed / 100.0);
        }
        context
    }

    fn skip(&mut self, step: &Step, reason: String) {
        let (name, action) = (step.name.clone(), step.action.clone());
        self.skipped.push(Skipped { name, action, reason });
    }
}

/// An input with its templates filled in, anywhere in it.
fn filled(value: &Value, context: &Value) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => template::value(text, context)?,
        Value::Array(items) => {
            let items: Result<_, _> = items.iter().map(|item| filled(item, context)).collect();
            Value::Array(items?)
        }
        Value::Object(map) => {
            let members = map.iter().map(|(k, v)| Ok((k.clone(), filled(v, context)?)));
            Value::Object(members.collect::<Result<_, TemplateError>>()?)
        }
        plain => plain.clone(),
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cannot(step: &Step, error: &TemplateError) -> Stop {
    Stop::Cannot(format!("step {}: {error}", step.name))
}
