//! Detect: rules in SQL over flows, metrics and events, run in two halves with Kafka between them,
//! and the models that find what is not normal in their results. Rollup is the partial half, score
//! the final one; the plan itself is `sql`'s, the task loop `runtime`'s.

pub mod config;
pub mod engine;
pub mod metrics;
pub mod models;
pub mod rules;
pub mod stage;

pub use config::{ConfigError, DetectConfig};
pub use rules::{Rule, RuleError, RuleSet, check_rules};
pub use stage::{RollupStage, ScoreStage, Topics};
