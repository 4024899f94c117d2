//! One rule's half of score: its open panes, series and models, and which windows close when. What
//! a closed window says is `closed`'s.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use model::rows::Signal;
use runtime::task::{BadMessage, Block, Outputs, RestoreError};

use super::super::keytext;
use super::super::lost::{Lost, LostPanes};
use super::super::points::rows_of;
use super::super::saved::{SavedModel, SavedModels, SavedPanes};
use super::super::series::{Gone, SeriesKey, SeriesTable};
use super::super::states::States;
use super::closed::{Closed, Said};
use super::ended::{self, Estate};
use super::past::{Past, PastLimits};
use crate::metrics;
use crate::models::{Lifecycle, Model, ModelKind};
use crate::rules::{Compiled, Watched, Windowed};
use crate::stage::Topics;

/// No window has closed yet.
const NEVER: i64 = i64::MIN;
/// Series of a rule for each group that one window may have.
const SERIES_PER_GROUP: usize = 2;
/// Panes that one message of another plan marks: its own may be longer, not longer than a window.
const FOREIGN_PANES_MAX: usize = 60;

/// What closing a window needs beside the rule.
pub struct Closing<'a> {
    pub topics: &'a Topics,
    pub past: PastLimits,
}

pub struct RuleState {
    states: States,
    /// What of these panes is missing.
    lost: LostPanes,
    /// Start of the next window to close; none before it comes any more.
    next_start_ms: i64,
    pub series: SeriesTable,
    /// For each watch, its models with the lives of their anomalies.
    pub watches: Vec<Vec<Judge>>,
    origin: Origin,
    /// What another form of the rule left open, until it is this one's to end.
    estate: Estate,
}

/// A model of a watched value.
pub struct Judge {
    pub model: Box<dyn Model>,
    pub life: Lifecycle,
}

/// Where a rule's models come from.
enum Origin {
    /// They are in no snapshot, and no window has closed yet: what `signals` has of the past, once
    /// it is read, waits for the first one.
    Past(Box<Past>),
    Known,
}

// === impl RuleState ===

impl RuleState {
    pub fn new(rule: &Windowed) -> RuleState {
        let window = rule.window.window(0);
        let judges = |watched: &Watched| {
            let judge = |model: Box<dyn Model>| Judge { model, life: Lifecycle::default() };
            watched.models.iter().map(|spec| judge(spec.build(window))).collect()
        };
        RuleState {
            states: States::default(),
            lost: LostPanes::default(),
            next_start_ms: NEVER,
            series: SeriesTable::default(),
            watches: rule.watch.iter().map(judges).collect(),
            origin: Origin::Past(Box::default()),
            estate: Estate::default(),
        }
    }

    pub fn add(
        &mut self,
        rule: &Windowed,
        pane_ms: i64,
        source: u32,
        state: RecordBatch,
    ) -> Result<u64, BadMessage> {
        let window = &rule.window;
        if window.pane_of(pane_ms) != pane_ms {
            return Err(BadMessage::new("pane", format!("{pane_ms} is no start of a pane")));
        }
        if window.first_window(pane_ms) < self.next_start_ms {
            return Err(BadMessage::new("closed", format!("the windows of {pane_ms} have closed")));
        }
        // Checked before it is kept: what does not fit the plan must not fail a whole window.
        let state = rule.cut.merge(&[state]).map_err(|e| BadMessage::new("state", e))?;
        self.states.add(rule, pane_ms, source, state).map_err(|e| BadMessage::new("merge", e))
    }

    /// Groups whose state rows no message could carry.
    pub fn add_lost(
        &mut self,
        rule: &Windowed,
        pane_ms: i64,
        keys: BTreeSet<SeriesKey>,
    ) -> Result<(), BadMessage> {
        if rule.window.first_window(pane_ms) < self.next_start_ms {
            return Err(BadMessage::new("closed", format!("the windows of {pane_ms} have closed")));
        }
        self.lost.add(pane_ms, keys, rule.groups_max);
        Ok(())
    }

    /// Rows of these times came as states of another plan, which are not read: the windows that
    /// have them are not whole. Said again it changes nothing.
    pub fn add_foreign(&mut self, rule: &Windowed, min_ts_ms: i64, max_ts_ms: i64) {
        let window = &rule.window;
        let (first, last) = (window.pane_of(min_ts_ms), window.pane_of(max_ts_ms));
        let panes = (first..=last).step_by(window.pane_ms.max(1) as usize);
        for pane_ms in panes.take(FOREIGN_PANES_MAX) {
            self.lost.add_all(pane_ms);
        }
    }

    /// Closes all windows that end by the watermark, in order.
    pub fn close(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        watermark_ms: i64,
        how: &Closing<'_>,
        out: &mut Outputs,
    ) {
        let closes_at = |start_ms: &i64| windowed.window.closes_at(*start_ms) <= watermark_ms;
        loop {
            let next = self.next_window(windowed).filter(closes_at);
            let closes_ms = next.map_or(watermark_ms, |start| windowed.window.closes_at(start));
            if let Some(last_start_ms) = self.due(windowed, closes_ms) {
                self.end_estate(rule, windowed, last_start_ms, how, out);
                continue;
            }
            let Some(start_ms) = next else {
                break;
            };
            self.begin(rule, windowed, start_ms, how.past);
            self.close_one(rule, windowed, start_ms, how.topics, out);
            self.next_start_ms = start_ms + windowed.window.every_ms;
            self.states.drop_before(self.next_start_ms);
        }
        self.lost.drop_closed(&windowed.window, watermark_ms);
    }

    /// The last window of the rule's former self, once that one would have spoken again.
    fn due(&self, windowed: &Windowed, now_ms: i64) -> Option<i64> {
        let estate = match &self.origin {
            Origin::Past(past) => past.estate(),
            Origin::Known => &self.estate,
        };
        let is_due = estate.is_there() && estate.due_ms(windowed) <= now_ms;
        is_due.then_some(estate.start_ms)
    }

    /// Ends what the former self has left open. What this one opened in windows that the former one
    /// had closed was never said: it is opened again where it still holds.
    fn end_estate(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        last_start_ms: i64,
        how: &Closing<'_>,
        out: &mut Outputs,
    ) {
        let every_ms = windowed.window.every_ms;
        let next_ms = (last_start_ms.div_euclid(every_ms) + 1) * every_ms;
        if self.begin(rule, windowed, next_ms, how.past) {
            self.next_start_ms = self.next_start_ms.max(next_ms);
        }
        for judge in self.watches.iter_mut().flatten() {
            for slot in 0..judge.life.series() {
                if judge.life.opened_ms(slot).is_some_and(|opened| opened <= last_start_ms) {
                    judge.life.forget(slot);
                }
            }
        }
        let estate = std::mem::take(&mut self.estate);
        let anomalies = estate.clears(rule, windowed);
        Said { anomalies, ..Said::default() }.send(rule, how.topics, out);
    }

    /// Before the first window closes: the models learn the past before it.
    fn begin(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        bound_ms: i64,
        limits: PastLimits,
    ) -> bool {
        match std::mem::replace(&mut self.origin, Origin::Known) {
            Origin::Known => false,
            Origin::Past(past) => {
                self.estate = past.learn(rule, windowed, bound_ms, limits, self);
                true
            }
        }
    }

    /// With known series windows follow each other, empty or not; without, the next is the first
    /// that has rows.
    fn next_window(&self, rule: &Windowed) -> Option<i64> {
        let panes = [self.states.first_pane(), self.lost.first_pane()];
        let first = panes.into_iter().flatten().min().map(|pane| rule.window.first_window(pane));
        match (self.series.is_empty(), self.next_start_ms) {
            (false, next) if next != NEVER => Some(next),
            (_, next) => first.map(|first| first.max(next)),
        }
    }

    fn close_one(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        start_ms: i64,
        topics: &Topics,
        out: &mut Outputs,
    ) {
        let labels = [("rule", rule.name.as_str())];
        let window = windowed.window.window(start_ms);
        let states = self.states.of_window(window.start_ms, window.end_ms);
        let lost = self.lost.of_window(window.start_ms, window.end_ms);
        out.count(metrics::SCORE_WINDOWS, &labels, 1);
        let result = match windowed.cut.finish(&states) {
            Ok(result) => result,
            Err(_) => {
                out.count(metrics::SCORE_WINDOWS_FAILED, &labels, 1);
                return;
            }
        };
        let row_of_slot = self.see(rule, windowed, start_ms, &result, lost.as_ref());
        let mut said = Said::default();
        self.forget_aloud(rule, windowed, start_ms, &mut said, out);
        let series = &self.series;
        let of_window = lost.as_ref();
        let closed = Closed::new(rule, windowed, window, &result, series, &row_of_slot, of_window);
        out.count(metrics::SCORE_POINTS, &labels, closed.points());
        for (watched, judges) in windowed.watch.iter().zip(&mut self.watches) {
            closed.watch(watched, judges, self.series.slots(), &mut said);
        }
        said.send(rule, topics, out);
    }

    /// The series that the window has, those too of which it has only lost something; the row of
    /// each slot.
    fn see(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        start_ms: i64,
        result: &RecordBatch,
        lost: Option<&Lost>,
    ) -> Vec<Option<usize>> {
        let mut row_of_slot: Vec<Option<usize>> = Vec::new();
        for (row, found) in rows_of(rule, windowed, result).into_iter().enumerate() {
            let slot = self.series.see(found.key, start_ms, found.entity) as usize;
            row_of_slot.resize(row_of_slot.len().max(slot + 1), None);
            row_of_slot[slot] = Some(row);
        }
        if let Some(Lost::Groups(keys)) = lost {
            for key in keys {
                let entity = keytext::values(windowed, &key.1)
                    .and_then(|values| keytext::entity(rule, windowed, &values));
                self.series.see(key.clone(), start_ms, entity);
            }
        }
        row_of_slot
    }

    /// Forgets series, counted, and says so of those whose anomaly is open.
    fn forget_aloud(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        start_ms: i64,
        said: &mut Said,
        out: &mut Outputs,
    ) {
        for (gone, open) in self.forget(windowed, start_ms) {
            let reason = ("reason", gone.why.as_str());
            out.count(metrics::SCORE_SERIES_FORGOTTEN, &[("rule", &rule.name), reason], 1);
            for (watch, model, opened_ms) in open {
                let (name, life) = (&windowed.watch[watch].name, (model, opened_ms));
                let clear = ended::forgotten(rule, windowed, &gone, name, life, start_ms);
                said.anomalies.push(clear);
            }
        }
    }

    /// Forgets series that were not seen for long, or are too many; with the anomalies that were
    /// open: watch, model and opening window.
    pub fn forget(
        &mut self,
        rule: &Windowed,
        start_ms: i64,
    ) -> Vec<(Gone, Vec<(usize, ModelKind, i64)>)> {
        let kept_ms = i64::from(rule.forget_after).saturating_mul(rule.window.every_ms);
        let before_ms = start_ms.saturating_sub(kept_ms);
        let max = rule.groups_max.saturating_mul(SERIES_PER_GROUP);
        let gone = self.series.forget(before_ms, start_ms, max);
        let one = |gone: Gone| {
            let open = self.let_go(gone.series.slot as usize);
            (gone, open)
        };
        gone.into_iter().map(one).collect()
    }

    /// Empties a slot; which anomalies were open there.
    fn let_go(&mut self, slot: usize) -> Vec<(usize, ModelKind, i64)> {
        let mut open = Vec::new();
        for (watch, judges) in self.watches.iter_mut().enumerate() {
            for judge in judges.iter_mut().filter(|judge| slot < judge.life.series()) {
                if let Some(opened_ms) = judge.life.opened_ms(slot) {
                    open.push((watch, judge.model.kind(), opened_ms));
                }
                judge.model.forget(slot);
                judge.life.forget(slot);
            }
        }
        open
    }

    // --- the past

    /// Whether the models are in no snapshot.
    pub fn wants_past(&self) -> bool {
        matches!(self.origin, Origin::Past(_))
    }

    /// Takes a row of `signals`.
    pub fn add_past(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        signal: Signal,
        task: (u32, u32),
        limits: PastLimits,
    ) {
        if let Origin::Past(past) = &mut self.origin {
            past.add(rule, windowed, signal, task, limits);
        }
    }

    /// How many points of the past the limit refused, now that all are read.
    pub fn past_read(&mut self) -> u64 {
        let Origin::Past(past) = &mut self.origin else {
            return 0;
        };
        let refused = past.refused;
        if past.is_empty() {
            self.origin = Origin::Known;
        }
        refused
    }

    /// Where time stood when a snapshot was taken.
    pub fn next_start_ms(&self) -> Option<i64> {
        (self.next_start_ms != NEVER).then_some(self.next_start_ms)
    }

    // --- snapshots

    pub fn blocks(&self, rule: &Compiled) -> Vec<Block> {
        let (next, states) = (self.next_start_ms, &self.states);
        let panes = SavedPanes::block(&rule.name, &rule.plan_fp, next, states, &self.lost);
        if self.wants_past() {
            // Nothing has closed yet: a restore from here reads the past again.
            return vec![panes];
        }
        let save = |judge: &Judge| SavedModel {
            bytes: judge.model.save().expect("plain structs are written to memory"),
            life: judge.life.clone(),
        };
        let models = SavedModels {
            fingerprint: rule.fingerprint.clone(),
            series: self.series.clone(),
            models: self.watches.iter().flatten().map(save).collect(),
            estate: self.estate.clone(),
        };
        vec![panes, models.block(&rule.name)]
    }

    /// Open panes of the same plan. Those of another cannot be read: their windows are not whole,
    /// and windows that it has closed are not closed again.
    pub fn restore_panes(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        saved: SavedPanes,
    ) -> Result<(), RestoreError> {
        if let Some(states) = saved.states(&rule.plan_fp)? {
            self.states = states;
            self.next_start_ms = saved.next_start_ms;
            self.lost = saved.lost;
            return Ok(());
        }
        if saved.next_start_ms != NEVER {
            let every_ms = windowed.window.every_ms;
            let up = saved.next_start_ms.saturating_add(every_ms - 1);
            self.next_start_ms = up.div_euclid(every_ms) * every_ms;
        }
        for pane_ms in saved.pane_times() {
            self.add_foreign(windowed, pane_ms, pane_ms);
        }
        Ok(())
    }

    /// Models of the same rule and format; others stay without, and ask for their past.
    pub fn restore_models(
        &mut self,
        rule: &Compiled,
        saved: SavedModels,
    ) -> Result<(), RestoreError> {
        let judges = self.watches.iter().map(Vec::len).sum();
        if !saved.fits(&rule.fingerprint, judges) {
            return Ok(());
        }
        for (judge, saved) in self.watches.iter_mut().flatten().zip(saved.models) {
            let fail = |error| RestoreError(format!("rule {}: {error}", rule.name));
            judge.model.restore(&saved.bytes).map_err(fail)?;
            judge.life = saved.life;
        }
        self.series = saved.series;
        self.estate = saved.estate;
        self.origin = Origin::Known;
        Ok(())
    }
}
