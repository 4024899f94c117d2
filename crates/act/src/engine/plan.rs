//! A plan: what would be done, exactly, with the way back; and the hash that an approval is bound
//! to.

use model::schema::hex16;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::driver::Call;
use crate::playbook::{Effect, Mode};

/// See the module. It stands as JSON in the row `planned`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub execution: String,
    pub incident: String,
    pub playbook: String,
    /// How far it may go by itself: the strictest of the playbook and of all actions in it.
    pub mode: Mode,
    /// What the playbook's templates saw.
    pub trigger: Value,
    pub steps: Vec<PlanStep>,
    /// Steps of the playbook that are not made, and why.
    pub skipped: Vec<Skipped>,
    pub verify: Verify,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    pub name: String,
    pub action: String,
    pub driver: String,
    pub effect: Effect,
    pub device: Option<String>,
    pub entity: Option<String>,
    /// In words for a person.
    pub says: String,
    /// What the device was found to be, what it is to be, and both in one line.
    pub before: Option<String>,
    pub want: Option<Want>,
    pub diff: String,
    /// What is sent, exactly; and to take it back.
    pub command: String,
    pub inverse_command: Option<String>,
    /// Why there is no way back, where there is none.
    pub no_inverse: Option<String>,
    pub write: Call,
    pub inverse: Option<Call>,
    pub read: Option<Call>,
    pub silences: bool,
}

/// What reading must answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    Is(String),
    Has(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub name: String,
    pub action: String,
    pub reason: String,
}

/// How it is found out whether the repair worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    pub within_ms: i64,
    /// Whether the incident's own anomalies must clear: not where the repair silences them.
    pub by_anomalies: bool,
    /// Nothing new may break here.
    pub services: Vec<String>,
    /// Devices that are changed, and what hangs on them.
    pub elements: Vec<String>,
}

// === impl Plan ===

impl Plan {
    pub fn json(&self) -> String {
        canonical(&serde_json::to_value(self).expect("plain data always has a form in JSON"))
    }

    pub fn parse(text: &str) -> Result<Plan, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// 16 hex digits over the whole plan, whatever the order of its keys.
    pub fn hash(&self) -> String {
        hex16(self.json().as_bytes())
    }

    /// Whether anything on a device is changed.
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.effect.changes())
    }

    pub fn devices(&self) -> std::collections::BTreeSet<&str> {
        let changing = self.steps.iter().filter(|step| step.effect.changes());
        changing.filter_map(|step| step.device.as_deref()).collect()
    }
}

// === impl Want ===

impl Want {
    pub fn is_met_by(&self, answer: &str) -> bool {
        match self {
            Want::Is(want) => answer.trim() == want.trim(),
            Want::Has(want) => answer.contains(want.as_str()),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Want::Is(want) => want.clone(),
            Want::Has(want) => format!("… {want} …"),
        }
    }
}

/// JSON with the keys of all maps in order.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let member =
                |key: &String| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key]));
            format!("{{{}}}", keys.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}
