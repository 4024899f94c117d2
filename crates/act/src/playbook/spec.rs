//! Playbooks and bindings as they stand in YAML. Unknown keys are refused: a misspelt option must
//! not silently be another playbook. What they mean is checked in `load`.

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far an execution may go by itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A plan is made and shown, and nothing else.
    Plan,
    /// A person approves the plan first.
    #[default]
    Approve,
    /// Applied at once, where playbook and action both say so.
    Auto,
}

/// What an action does to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It only asks; done while the plan is made.
    Reads,
    /// It tells people or programs something.
    Tells,
    /// It brings something back into service.
    Restores,
    /// It takes a link out of service.
    Cuts,
    /// It holds traffic back.
    Limits,
}

/// A file with one playbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlaybookFile {
    #[garde(skip)]
    pub api_version: String,
    #[garde(skip)]
    pub kind: String,
    #[garde(dive)]
    pub metadata: Metadata,
    #[garde(dive)]
    pub spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    #[garde(length(min = 1, max = 80))]
    pub name: String,
    #[serde(default)]
    #[garde(skip)]
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[garde(skip)]
    pub trigger: Trigger,
    #[serde(default)]
    #[garde(skip)]
    pub mode: Mode,
    /// How long after the last step the repair must show; the configuration's value if not given.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = 86_400)))]
    pub verify_within_s: Option<u32>,
    #[garde(length(min = 1, max = 50))]
    #[garde(dive)]
    pub steps: Vec<Step>,
}

/// What begins it: a condition (a rule of detect is made of it), or a fault that correlate names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    #[serde(default)]
    pub condition: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[garde(length(min = 1, max = 80))]
    pub name: String,
    #[garde(skip)]
    pub action: String,
    #[serde(default)]
    #[garde(skip)]
    pub when: Option<String>,
    /// A list: the step is made once for each of its members, called `item`.
    #[serde(default)]
    #[garde(skip)]
    pub each: Option<String>,
    #[serde(default)]
    #[garde(length(max = 50))]
    pub inputs: BTreeMap<String, Value>,
    #[serde(default)]
    #[garde(length(max = 50))]
    pub outputs: BTreeMap<String, String>,
}

/// The file that binds actions to drivers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ActionsFile {
    #[garde(length(max = 500))]
    #[garde(dive)]
    pub actions: Vec<Binding>,
}

/// What an action is on devices of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    #[garde(length(min = 1, max = 80))]
    pub action: String,
    /// Class of the device in the inventory; without one it is for all that have no own binding.
    #[serde(default)]
    #[garde(skip)]
    pub class: Option<String>,
    #[garde(skip)]
    pub driver: String,
    #[garde(skip)]
    pub effect: Effect,
    #[serde(default)]
    #[garde(skip)]
    pub mode: Mode,
    /// Inputs that a step must give.
    #[serde(default)]
    #[garde(length(max = 50))]
    pub inputs: Vec<String>,
    /// What is changed of the device, `Gi0/1`.
    #[serde(default)]
    #[garde(skip)]
    pub target: Option<String>,
    /// What it does, in words for a person.
    #[serde(default)]
    #[garde(skip)]
    pub says: Option<String>,
    /// Parameters of the driver's calls.
    #[serde(default)]
    #[garde(skip)]
    pub read: Option<BTreeMap<String, String>>,
    #[serde(default)]
    #[garde(skip)]
    pub write: Option<BTreeMap<String, String>>,
    #[serde(default)]
    #[garde(skip)]
    pub inverse: Option<BTreeMap<String, String>>,
    /// Why there is no inverse, where a change has none.
    #[serde(default)]
    #[garde(skip)]
    pub no_inverse: Option<String>,
    /// What reading must answer after the change.
    #[serde(default)]
    #[garde(skip)]
    pub want: Option<String>,
    /// The same, where the answer only contains it.
    #[serde(default)]
    #[garde(skip)]
    pub want_has: Option<String>,
    /// The change silences the series that would show the repair: the device's state and the
    /// services behind it decide.
    #[serde(default)]
    #[garde(skip)]
    pub silences: bool,
    #[serde(default = "timeout_ms")]
    #[garde(range(min = 100, max = 600_000))]
    pub timeout_ms: u64,
}

/// SNMP with two retries of a second each, and some.
fn timeout_ms() -> u64 {
    4_000
}

// === impl Effect ===

impl Effect {
    /// Whether a device is another one afterwards.
    pub fn changes(self) -> bool {
        match self {
            Effect::Reads | Effect::Tells => false,
            Effect::Restores | Effect::Cuts | Effect::Limits => true,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Reads => "reads",
            Effect::Tells => "tells",
            Effect::Restores => "restores",
            Effect::Cuts => "cuts",
            Effect::Limits => "limits",
        }
    }
}

// === impl Mode ===

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Plan => "plan",
            Mode::Approve => "approve",
            Mode::Auto => "auto",
        }
    }
}
