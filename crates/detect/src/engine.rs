//! Both engines, pure: rollup runs rules' partial halves over chunks of rows, score merges their
//! states, closes windows and lets the models judge. What a rule is, is `rules`'s; the log and its
//! messages are `runtime`'s.

pub mod key;
mod keytext;
mod late;
mod limit;
mod lost;
mod oversize;
mod panes;
pub mod points;
mod reading;
pub mod rollup;
mod row;
mod saved;
pub mod score;
mod series;
mod states;

#[cfg(test)]
mod tests;

pub use reading::Reading;

/// Header of a partial: the rule's name.
pub const RULE: &str = "rule";
/// Header of a partial: fingerprint of the rule's plan.
pub const PLAN_FP: &str = "plan-fp";
/// Header of a partial: first instant of its pane.
pub const PANE: &str = "pane";
/// Header of a partial that has only the groups of state rows which no message could carry.
pub const LOST: &str = "lost";
