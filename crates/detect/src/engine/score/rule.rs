//! One rule's half of score: its open panes, series and models, and what a closing window does.

use arrow::array::RecordBatch;
use model::rows::{Anomaly, AnomalyKind, Entity, Signal};
use model::schema;
use runtime::task::{BadMessage, Block, Out, Outputs, Place, RestoreError};

use super::super::points::{Present, contributors, rows_of};
use super::super::saved::{SavedModels, SavedPanes};
use super::super::series::{SeriesKey, SeriesTable};
use super::super::states::States;
use super::super::{rollup, row};
use crate::metrics;
use crate::models::{
    Finding, Lifecycle, Model, ModelKind, Points, Stand, Verdict, Window, seconds,
};
use crate::rules::{Absent, Compiled, Watched, Windowed};
use crate::stage::Topics;

/// No window has closed yet.
const NEVER: i64 = i64::MIN;
/// Series of a rule for each group that one window may have.
const SERIES_PER_GROUP: usize = 2;

pub struct RuleState {
    states: States,
    /// Start of the next window to close; none before it comes any more.
    next_start_ms: i64,
    series: SeriesTable,
    /// For each watch, its models with the lives of their anomalies.
    watches: Vec<Vec<Judge>>,
}

struct Judge {
    model: Box<dyn Model>,
    life: Lifecycle,
}

/// A window that has closed, with its result and all series of the rule in the order of their keys.
struct Closed<'a> {
    rule: &'a Compiled,
    window: Window,
    decided_ms: i64,
    result: &'a RecordBatch,
    keys: Vec<&'a SeriesKey>,
    entities: Vec<Option<&'a str>>,
    slots: Vec<u32>,
    present: Present<'a>,
}

#[derive(Default)]
struct Said {
    signals: Vec<Signal>,
    anomalies: Vec<Anomaly>,
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
            next_start_ms: NEVER,
            series: SeriesTable::default(),
            watches: rule.watch.iter().map(judges).collect(),
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

    /// Closes all windows that end by the watermark, in order.
    pub fn close(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        watermark_ms: i64,
        topics: &Topics,
        out: &mut Outputs,
    ) {
        while let Some(start_ms) = self.next_window(windowed) {
            if windowed.window.closes_at(start_ms) > watermark_ms {
                break;
            }
            self.close_one(rule, windowed, start_ms, topics, out);
            self.next_start_ms = start_ms + windowed.window.every_ms;
            self.states.drop_before(self.next_start_ms);
        }
    }

    /// With known series windows follow each other, empty or not; without, the next is the first
    /// that has rows.
    fn next_window(&self, rule: &Windowed) -> Option<i64> {
        let first = self.states.first_pane().map(|pane| rule.window.first_window(pane));
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
        out.count(metrics::SCORE_WINDOWS, &labels, 1);
        let result = match windowed.cut.finish(&states) {
            Ok(result) => result,
            Err(_) => {
                out.count(metrics::SCORE_WINDOWS_FAILED, &labels, 1);
                return;
            }
        };
        let rows = rows_of(rule, windowed, &result);
        let mut row_of_slot: Vec<Option<usize>> = Vec::new();
        for (row, found) in rows.into_iter().enumerate() {
            let slot = self.series.see(found.key, start_ms, found.entity) as usize;
            row_of_slot.resize(row_of_slot.len().max(slot + 1), None);
            row_of_slot[slot] = Some(row);
        }
        self.forget(windowed, start_ms, &labels, out);
        let closed = closed(rule, windowed, window, &result, &self.series, &row_of_slot);
        out.count(metrics::SCORE_POINTS, &labels, closed.slots.len() as u64);
        let mut said = Said::default();
        for (watched, judges) in windowed.watch.iter().zip(&mut self.watches) {
            closed.watch(watched, judges, self.series.slots(), &mut said);
        }
        send(rule, &said, topics, out);
    }

    fn forget(
        &mut self,
        rule: &Windowed,
        start_ms: i64,
        labels: &[(&'static str, &str)],
        out: &mut Outputs,
    ) {
        let kept_ms = i64::from(rule.forget_after).saturating_mul(rule.window.every_ms);
        let before_ms = start_ms.saturating_sub(kept_ms);
        let max = rule.groups_max.saturating_mul(SERIES_PER_GROUP);
        for (slot, why) in self.series.forget(before_ms, start_ms, max) {
            for judge in self.watches.iter_mut().flatten() {
                if (slot as usize) < judge.life.series() {
                    judge.model.forget(slot as usize);
                    judge.life.forget(slot as usize);
                }
            }
            let reason = ("reason", why.as_str());
            out.count(metrics::SCORE_SERIES_FORGOTTEN, &[labels[0], reason], 1);
        }
    }

    pub fn blocks(&self, rule: &Compiled) -> Vec<Block> {
        let panes = SavedPanes::block(&rule.name, &rule.plan_fp, self.next_start_ms, &self.states);
        let save = |judge: &Judge| {
            let model = judge.model.save().expect("plain structs are written to memory");
            (model, judge.life.clone())
        };
        let models = self.watches.iter().flatten().map(save).collect();
        let models = SavedModels::block(&rule.name, &rule.fingerprint, &self.series, models);
        vec![panes, models]
    }

    pub fn restore_panes(
        &mut self,
        rule: &Compiled,
        saved: &SavedPanes,
    ) -> Result<(), RestoreError> {
        if let Some(states) = saved.states(&rule.plan_fp)? {
            self.states = states;
            self.next_start_ms = saved.next_start_ms;
        }
        Ok(())
    }

    pub fn restore_models(
        &mut self,
        rule: &Compiled,
        saved: SavedModels,
    ) -> Result<(), RestoreError> {
        let judges = self.watches.iter().map(Vec::len).sum();
        if !saved.fits(&rule.fingerprint, judges) {
            return Ok(());
        }
        for (judge, (bytes, life)) in self.watches.iter_mut().flatten().zip(saved.models) {
            let fail = |error| RestoreError(format!("rule {}: {error}", rule.name));
            judge.model.restore(&bytes).map_err(fail)?;
            judge.life = life;
        }
        self.series = saved.series;
        Ok(())
    }
}

fn closed<'a>(
    rule: &'a Compiled,
    windowed: &'a Windowed,
    window: Window,
    result: &'a RecordBatch,
    series: &'a SeriesTable,
    row_of_slot: &[Option<usize>],
) -> Closed<'a> {
    let count = series.len();
    let (mut keys, mut entities) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut slots = Vec::with_capacity(count);
    for (key, known) in series.iter() {
        keys.push(key);
        entities.push(known.entity.as_deref());
        slots.push(known.slot);
    }
    let row = |slot: &u32| row_of_slot.get(*slot as usize).copied().flatten();
    let rows: Vec<Option<usize>> = slots.iter().map(row).collect();
    let domains: Vec<&str> = keys.iter().map(|(domain, _)| domain.as_str()).collect();
    let seen = domains.iter().zip(&rows).filter(|(_, row)| row.is_some());
    let alive = seen.map(|(domain, _)| *domain).collect();
    let decided_ms = windowed.window.closes_at(window.start_ms);
    let present = Present { domains, rows, alive };
    Closed { rule, window, decided_ms, result, keys, entities, slots, present }
}

// === impl Closed ===

impl Closed<'_> {
    fn watch(&self, watched: &Watched, judges: &mut [Judge], room: usize, said: &mut Said) {
        let values = self.present.column(self.result, watched.value, watched.absent);
        let mut first: Vec<Verdict> = Vec::new();
        let mut open = vec![false; values.len()];
        for (at, judge) in judges.iter_mut().enumerate() {
            judge.model.grow(room);
            judge.life.grow(room);
            let columns: Vec<Vec<f64>> = watched.columns[at]
                .iter()
                .map(|&column| self.present.column(self.result, column, watched.absent))
                .collect();
            let verdicts = self.judge(watched, judge, &values, &columns, said);
            for (open, &slot) in open.iter_mut().zip(&self.slots) {
                *open |= judge.life.is_open(slot as usize);
            }
            if at == 0 {
                first = verdicts;
            }
        }
        self.signals(watched, &values, &first, &open, said);
    }

    fn judge(
        &self,
        watched: &Watched,
        judge: &mut Judge,
        values: &[f64],
        columns: &[Vec<f64>],
        said: &mut Said,
    ) -> Vec<Verdict> {
        let open: Vec<bool> =
            self.slots.iter().map(|&slot| judge.life.is_open(slot as usize)).collect();
        let mut verdicts = Vec::with_capacity(values.len());
        let points =
            Points { window: self.window, slots: &self.slots, values, columns, open: &open };
        judge.model.judge(&points, &mut verdicts);
        let when = judge.model.hysteresis();
        for (at, verdict) in verdicts.iter().enumerate() {
            let slot = self.slots[at] as usize;
            let step = judge.life.step(slot, self.window.start_ms, verdict, &when);
            let Some((kind, opened_ms)) = step else {
                continue;
            };
            let row: Vec<f64> = columns.iter().map(|column| column[at]).collect();
            let finding = Finding {
                window: self.window,
                value_name: &watched.name,
                value: values[at],
                columns: &row,
                slot,
                verdict: *verdict,
            };
            let why = match kind {
                AnomalyKind::Clear => cleared(&finding, when.clear_after),
                AnomalyKind::Open | AnomalyKind::Worse => judge.model.why(&finding),
            };
            said.anomalies.push(self.anomaly(
                watched,
                judge.model.kind(),
                &finding,
                at,
                Life { kind, opened_ms, why },
            ));
        }
        verdicts
    }

    fn anomaly(
        &self,
        watched: &Watched,
        model: ModelKind,
        finding: &Finding<'_>,
        at: usize,
        life: Life,
    ) -> Anomaly {
        let (domain, key) = self.keys[at];
        let entity = self.rule.entity.as_ref().zip(self.entities[at]);
        let named = watched.contributors.zip(self.present.rows[at]);
        let Verdict { expected, lower, upper, score, .. } = finding.verdict;
        Anomaly {
            domain: domain.clone(),
            id: row::id(&self.rule.fingerprint, domain, key, model, life.opened_ms),
            time_ms: self.decided_ms,
            rule: self.rule.name.clone(),
            key: key.clone(),
            kind: life.kind,
            model: model.as_str().to_owned(),
            entity: entity
                .map(|(column, name)| Entity { kind: column.kind.clone(), name: name.to_owned() }),
            value_name: watched.name.clone(),
            value: known(finding.value),
            expected: known(expected),
            lower: known(lower),
            upper: known(upper),
            score: known(score),
            why: life.why,
            window_start_ms: self.window.start_ms,
            contributors: named.map_or_else(Vec::new, |(column, row)| {
                contributors(self.result.column(column), row)
            }),
        }
    }

    /// A point a series; of absent series only where absence is a gap or an anomaly is open.
    fn signals(
        &self,
        watched: &Watched,
        values: &[f64],
        verdicts: &[Verdict],
        open: &[bool],
        said: &mut Said,
    ) {
        for (at, verdict) in verdicts.iter().enumerate() {
            let is_there = self.present.rows[at].is_some();
            if !is_there && watched.absent == Absent::Zero && !open[at] {
                continue;
            }
            let (domain, key) = self.keys[at];
            said.signals.push(Signal {
                domain: domain.clone(),
                rule: self.rule.name.clone(),
                rule_fp: self.rule.fingerprint.clone(),
                key: key.clone(),
                window_start_ms: self.window.start_ms,
                window_end_ms: self.window.end_ms,
                value_name: watched.name.clone(),
                value: known(values[at]),
                complete: true,
                expected: known(verdict.expected),
                lower: known(verdict.lower),
                upper: known(verdict.upper),
                score: known(verdict.score),
                anomalous: open[at],
            });
        }
    }
}

/// What a step of an anomaly's life says.
struct Life {
    kind: AnomalyKind,
    opened_ms: i64,
    why: String,
}

fn cleared(finding: &Finding<'_>, points: u32) -> String {
    debug_assert_eq!(finding.verdict.stand, Stand::Inside);
    let lasting = seconds(i64::from(points) * finding.window.every_ms);
    format!("{} is inside its band again for {lasting}", finding.value_name)
}

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn send(rule: &Compiled, said: &Said, topics: &Topics, out: &mut Outputs) {
    for kind in [AnomalyKind::Open, AnomalyKind::Worse, AnomalyKind::Clear] {
        let step = said.anomalies.iter().filter(|anomaly| anomaly.kind == kind).count() as u64;
        let labels = [("rule", rule.name.as_str()), ("kind", kind.as_str())];
        out.count(metrics::SCORE_ANOMALIES, &labels, step);
    }
    rollup::send_anomalies(topics, &said.anomalies, out);
    let ends = || said.signals.iter().map(|signal| signal.window_end_ms);
    let (Some(min_ts_ms), Some(max_ts_ms)) = (ends().min(), ends().max()) else {
        return;
    };
    out.send(Out {
        topic: topics.signals.clone(),
        schema: schema::signals().header(),
        schema_fp: schema::signals().fingerprint.clone(),
        batch: Signal::to_batch(&said.signals).expect("rows of the schema make a batch of it"),
        place: Place::ByColumn("key".to_owned()),
        key: None,
        min_ts_ms,
        max_ts_ms,
        headers: Vec::new(),
        urgent: false,
    });
}
