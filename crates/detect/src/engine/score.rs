//! The final half. State rows are merged by pane; a window closes when all tasks of rollup have
//! passed its end; its result becomes points, the models judge them, and `signals` and `evidence`
//! say what they found.
//!
//! All tasks, not only those of the rule's source: what is said between two of our own heartbeats
//! must be the same however the sources' messages interleave (DESIGN §4 "Same"), and these follow
//! the least of all. Nobody hears of it later for that: correlate waits for the heartbeats.

mod closed;
mod ended;
mod past;
mod rule;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use model::rows::Signal;
use runtime::task::{BadMessage, Block, Count, Engine, History, Input, Outputs, RestoreError};

pub use self::ended::Estate;
pub use self::past::PastLimits;
use self::rule::{Closing, RuleState};
use super::saved::{self, Restored};
use super::{LOST, PANE, PLAN_FP, RULE, lost};
use crate::metrics;
use crate::rules::{Compiled, RuleSet};
use crate::stage::Topics;

pub struct Score {
    rules: Arc<RuleSet>,
    topics: Arc<Topics>,
    /// By rule, for rules with a window.
    states: BTreeMap<String, RuleState>,
    /// Of `partials`: whose series the past is asked for.
    partition: u32,
    past: PastLimits,
}

/// Records of `signals` lie by their newest window: what is read begins a day before what counts.
const DAY_MS: i64 = 86_400_000;

// === impl Score ===

impl Score {
    pub fn new(rules: Arc<RuleSet>, topics: Arc<Topics>) -> Score {
        let windowed = rules.iter().filter_map(|rule| Some((rule, rule.windowed()?)));
        let states = windowed.map(|(rule, windowed)| (rule.name.clone(), RuleState::new(windowed)));
        let states = states.collect();
        Score { rules, topics, states, partition: 0, past: PastLimits::default() }
    }

    /// As the task of this partition of `partials`.
    pub fn of_partition(mut self, partition: u32, past: PastLimits) -> Score {
        (self.partition, self.past) = (partition, past);
        self
    }

    fn add(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        let header = |name: &'static str| {
            let value = input.meta.extra.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            value.ok_or_else(|| BadMessage::new("header", format!("no header {name}")))
        };
        let (name, plan_fp, pane) = (header(RULE)?, header(PLAN_FP)?, header(PANE)?);
        let rule = self.rules.get(name).filter(|rule| rule.windowed().is_some());
        let rule = rule.ok_or_else(|| BadMessage::new("rule", format!("no rule {name:.100}")))?;
        let of_rule = self.states.get_mut(name).expect("every rule with a window has a state");
        if rule.plan_fp != plan_fp {
            // Its rows are lost to this plan, whether the message is taken once or again.
            let (min_ts_ms, max_ts_ms) = (input.meta.min_ts_ms, input.meta.max_ts_ms);
            of_rule.add_foreign(windowed_of(rule), min_ts_ms, max_ts_ms);
            let detail = format!("rule {name} is {}, the partial is {plan_fp:.100}", rule.plan_fp);
            return Err(BadMessage::new("plan-fp", detail));
        }
        let pane_ms: i64 =
            pane.parse().map_err(|_| BadMessage::new("pane", format!("{pane:.100}")))?;
        let source = match &input.meta.name.writer {
            bus::Writer::Task { partition, .. } => *partition,
            bus::Writer::Instance { .. } => 0,
        };
        let state = input.batch()?;
        let rows = state.num_rows() as u64;
        if header(LOST).is_ok() {
            let keys = lost::keys(windowed_of(rule), &state)?;
            return of_rule.add_lost(windowed_of(rule), pane_ms, keys);
        }
        let others = of_rule.add(windowed_of(rule), pane_ms, source, state)?;
        out.count(metrics::SCORE_STATES, &[("rule", name)], rows);
        out.count(metrics::SCORE_GROUPS_OTHER, &[("rule", name)], others);
        Ok(())
    }

    /// Closes what the watermark allows, rule by rule in the order of their names.
    fn close(&mut self, watermark_ms: i64, out: &mut Outputs) {
        let how = Closing { topics: &self.topics, past: self.past };
        for rule in self.rules.iter() {
            let Some(state) = self.states.get_mut(&rule.name) else {
                continue;
            };
            state.close(rule, windowed_of(rule), watermark_ms, &how, out);
        }
    }
}

fn windowed_of(rule: &Compiled) -> &crate::rules::Windowed {
    rule.windowed().expect("only rules with a window have a state")
}

impl Engine for Score {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            self.add(input, out)?;
        }
        if let Some(least_ms) = input.watermarks.least() {
            self.close(least_ms, out);
            out.advance(least_ms);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<Block> {
        let rules = self.rules.iter().filter_map(|rule| Some((rule, self.states.get(&rule.name)?)));
        rules.flat_map(|(rule, state)| state.blocks(rule)).collect()
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        for block in blocks {
            let restored = saved::read(block)?;
            let name = match &restored {
                Restored::Panes(name, _) | Restored::Models(name, _) => name.clone(),
            };
            let rule = self.rules.get(&name);
            let (Some(rule), Some(state)) = (rule, self.states.get_mut(&name)) else {
                continue;
            };
            match restored {
                Restored::Panes(_, panes) => state.restore_panes(rule, windowed_of(rule), panes)?,
                Restored::Models(_, models) => state.restore_models(rule, models)?,
            }
        }
        Ok(())
    }

    fn history_wanted(&self) -> Option<History> {
        if !self.states.values().any(RuleState::wants_past) {
            return None;
        }
        let now_ms = self.states.values().filter_map(RuleState::next_start_ms).max();
        let since_ms = now_ms.map(|ms| ms.saturating_sub(self.past.past_ms + DAY_MS));
        Some(History { topic: self.topics.signals.clone(), since_ms })
    }

    fn history(&mut self, batch: &RecordBatch) {
        // One message is of one rule.
        let names = batch.column_by_name("rule").and_then(|names| names.as_string_opt::<i32>());
        let name = names.filter(|_| batch.num_rows() > 0).map(|names| names.value(0));
        let Some(rule) = name.and_then(|name| self.rules.get(name)) else {
            return;
        };
        let wanting = self.states.get_mut(&rule.name).filter(|state| state.wants_past());
        let (Some(state), Ok(rows)) = (wanting, Signal::from_batch(batch)) else {
            return;
        };
        let task = (self.partition, self.topics.partitions);
        for row in rows.into_iter().filter(|row| row.rule == rule.name) {
            state.add_past(rule, windowed_of(rule), row, task, self.past);
        }
    }

    fn history_read(&mut self) -> Vec<Count> {
        let refused = |(name, state): (&String, &mut RuleState)| Count {
            metric: metrics::SCORE_PAST_REFUSED,
            labels: vec![("rule", name.clone())],
            step: state.past_read(),
        };
        self.states.iter_mut().map(refused).collect()
    }
}
