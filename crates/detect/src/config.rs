//! Detect's section of the configuration.

use serde::{Deserialize, Serialize};

use crate::engine::score::PastLimits;
use crate::rules::{Limits, Rule, RuleError, RuleSet};

/// Rules and their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, garde::Validate)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// The rules; usually `!include rules.yaml`.
    #[garde(skip)]
    pub rules: Vec<Rule>,
    /// Most rules that are loaded. Each runs over every chunk of its source.
    #[garde(range(min = 1, max = 10_000))]
    pub rules_max: usize,
    /// Most groups of one rule in one window; the rest is the group `other`. A group takes about 1
    /// KB in each open pane.
    #[garde(range(min = 1, max = 10_000_000))]
    pub groups_max: usize,
    /// Ingest instances that are silent while another beats this often are not waited for.
    #[garde(range(min = 1, max = 255))]
    pub left_out_after: u32,
    /// How long rollup holds time back for instances that it has not heard of yet.
    #[garde(range(min = 0, max = 60_000))]
    pub grace_ms: i64,
    /// Days of `signals` from which the models of a changed rule are rebuilt. Opening a task reads
    /// all of them: a million points take a few seconds.
    #[garde(range(min = 0, max = 366))]
    pub past_days: u32,
    /// Most points a rule and task that models are rebuilt from, the newest; about 50 bytes each.
    #[garde(range(min = 0, max = 100_000_000))]
    pub past_points_max: usize,
}

/// A configuration that detect cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl Default for DetectConfig {
    fn default() -> DetectConfig {
        let limits = Limits::default();
        DetectConfig {
            rules: Vec::new(),
            rules_max: limits.rules_max,
            groups_max: limits.groups_max,
            left_out_after: 10,
            grace_ms: 1000,
            past_days: 7,
            past_points_max: PastLimits::default().points_max,
        }
    }
}

impl DetectConfig {
    pub fn past(&self) -> PastLimits {
        let past_ms = i64::from(self.past_days) * 86_400_000;
        PastLimits { past_ms, points_max: self.past_points_max }
    }

    /// Plans the rules.
    pub fn load(&self) -> Result<RuleSet, ConfigError> {
        let limits = Limits { rules_max: self.rules_max, groups_max: self.groups_max };
        Ok(RuleSet::load(self.rules.clone(), limits)?)
    }
}
