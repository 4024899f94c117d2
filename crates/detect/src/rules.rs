//! Rules as a person writes them and as the engines run them: YAML, the guide's shorthand, the
//! plan, and errors that point at the place. What a window or a model does is left to `engine` and
//! `models`.

mod compile;
mod condition;
mod domain;
mod error;
mod period;
mod scan;
mod spec;

#[cfg(test)]
mod tests;

pub use compile::{Compiled, Limits, Plan, RowPlan, RuleSet, Watched, WindowSpec, Windowed};
pub use error::{RuleError, SqlPlace};
pub use period::Period;
pub use spec::{Absent, EntityColumn, Rule, Source, Watch, WindowText, parse};

/// Parses and plans a file of rules. What `gannet check` and the fuzz target call.
pub fn check_rules(text: &str) -> Result<RuleSet, RuleError> {
    RuleSet::load(parse(text)?, Limits::default())
}
