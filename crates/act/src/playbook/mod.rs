//! Playbooks and what binds their actions: from YAML to a checked library, every error with its
//! place. What an execution of one does is left to `engine`.

mod load;
pub mod spec;
pub mod template;
#[cfg(test)]
pub(crate) mod tests;

pub use load::{DRIVERS, Library, Paths, check, check_texts};
pub use spec::{Binding, Effect, Mode, Step, Trigger};

use serde::{Deserialize, Serialize};

/// A playbook that may be run: all its names are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    pub name: String,
    pub description: Option<String>,
    pub mode: Mode,
    pub trigger: Trigger,
    pub verify_within_s: Option<u32>,
    pub steps: Vec<Step>,
}

// === impl Playbook ===

impl Playbook {
    /// Name of the rule of detect that its condition is.
    pub fn rule_name(&self) -> String {
        format!("playbook/{}", self.name)
    }

    /// The rule as detect's shorthand has it (a list of one, YAML); `None` where a fault begins it.
    pub fn rule_yaml(&self) -> Option<String> {
        let condition = self.trigger.condition.as_ref()?;
        // A JSON string is a YAML string.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut rule = format!("- name: {}\n", quoted(&self.rule_name()));
        rule.push_str(&format!("  condition: {}\n", quoted(condition)));
        if let Some(source) = &self.trigger.source {
            rule.push_str(&format!("  source: {}\n", quoted(source)));
        }
        Some(rule)
    }

    /// The metric that its condition is about.
    pub fn metric(&self) -> Option<&str> {
        let condition = self.trigger.condition.as_deref()?;
        condition.split(['<', '>']).next().map(str::trim)
    }
}
