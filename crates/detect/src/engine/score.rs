//! The final half. State rows are merged by pane; a window closes when all tasks of its rule's
//! source have passed its end; its result becomes points, the models judge them, and `signals` and
//! `evidence` say what they found.

mod rule;

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime::task::{BadMessage, Block, Engine, Input, Outputs, RestoreError};

use self::rule::RuleState;
use super::saved::{self, Restored};
use super::{PANE, PLAN_FP, RULE};
use crate::metrics;
use crate::rules::{Compiled, RuleSet};
use crate::stage::Topics;

pub struct Score {
    rules: Arc<RuleSet>,
    topics: Arc<Topics>,
    /// By rule, for rules with a window.
    states: BTreeMap<String, RuleState>,
}

// === impl Score ===

impl Score {
    pub fn new(rules: Arc<RuleSet>, topics: Arc<Topics>) -> Score {
        let windowed = rules.iter().filter_map(|rule| Some((rule, rule.windowed()?)));
        let states = windowed.map(|(rule, windowed)| (rule.name.clone(), RuleState::new(windowed)));
        let states = states.collect();
        Score { rules, topics, states }
    }

    fn add(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        let header = |name: &'static str| {
            let value = input.meta.extra.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            value.ok_or_else(|| BadMessage::new("header", format!("no header {name}")))
        };
        let (name, plan_fp, pane) = (header(RULE)?, header(PLAN_FP)?, header(PANE)?);
        let rule = self.rules.get(name).filter(|rule| rule.windowed().is_some());
        let rule = rule.ok_or_else(|| BadMessage::new("rule", format!("no rule {name:.100}")))?;
        if rule.plan_fp != plan_fp {
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
        let of_rule = self.states.get_mut(name).expect("every rule with a window has a state");
        let others = of_rule.add(windowed_of(rule), pane_ms, source, state)?;
        out.count(metrics::SCORE_STATES, &[("rule", name)], rows);
        out.count(metrics::SCORE_GROUPS_OTHER, &[("rule", name)], others);
        Ok(())
    }

    /// Closes what the watermarks allow, rule by rule in the order of their names.
    fn close(&mut self, input: &Input<'_>, out: &mut Outputs) {
        for rule in self.rules.iter() {
            let Some(state) = self.states.get_mut(&rule.name) else {
                continue;
            };
            let source = self.topics.of(rule.from);
            if let Some(watermark_ms) = input.watermarks.of_source(source) {
                state.close(rule, windowed_of(rule), watermark_ms, &self.topics, out);
            }
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
        self.close(input, out);
        if let Some(least_ms) = input.watermarks.least() {
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
                Restored::Panes(_, panes) => state.restore_panes(rule, &panes)?,
                Restored::Models(_, models) => state.restore_models(rule, models)?,
            }
        }
        Ok(())
    }
}
