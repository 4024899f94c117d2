//! A window that has closed: its points through the models, and what is said of them in `signals`
//! and `evidence`.

use arrow::array::RecordBatch;
use model::rows::{Anomaly, AnomalyKind, Entity, Signal};
use model::schema;
use runtime::task::{Out, Outputs, Place};

use super::super::lost::Lost;
use super::super::points::{Present, contributors};
use super::super::series::{SeriesKey, SeriesTable};
use super::super::{rollup, row};
use super::rule::Judge;
use crate::metrics;
use crate::models::{Finding, ModelKind, Points, Stand, Verdict, Window, seconds};
use crate::rules::{Absent, Compiled, Watched, Windowed};
use crate::stage::Topics;

/// A window that has closed, with its result and all series of the rule in the order of their keys.
pub struct Closed<'a> {
    rule: &'a Compiled,
    window: Window,
    decided_ms: i64,
    result: &'a RecordBatch,
    keys: Vec<&'a SeriesKey>,
    entities: Vec<Option<&'a str>>,
    slots: Vec<u32>,
    present: Present<'a>,
    /// Of each series whether its point is whole; empty where all are.
    whole: Vec<bool>,
}

/// What one message makes a rule say.
#[derive(Default)]
pub struct Said {
    pub signals: Vec<Signal>,
    pub anomalies: Vec<Anomaly>,
}

/// What a step of an anomaly's life says.
struct Life {
    kind: AnomalyKind,
    opened_ms: i64,
    why: String,
}

/// The series of a window that a model may see, and their numbers.
struct Seen<'a> {
    /// Where each stands among all series of the window.
    places: Vec<usize>,
    slots: Vec<u32>,
    values: Vec<f64>,
    columns: Vec<Vec<f64>>,
    open: Vec<bool>,
    watched: &'a Watched,
}

// === impl Closed ===

impl<'a> Closed<'a> {
    pub fn new(
        rule: &'a Compiled,
        windowed: &'a Windowed,
        window: Window,
        result: &'a RecordBatch,
        series: &'a SeriesTable,
        row_of_slot: &[Option<usize>],
        lost: Option<&Lost>,
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
        let whole = match lost {
            None => Vec::new(),
            Some(lost) => keys.iter().map(|key| !lost.has(key)).collect(),
        };
        Closed { rule, window, decided_ms, result, keys, entities, slots, present, whole }
    }

    pub fn points(&self) -> u64 {
        self.slots.len() as u64
    }

    pub fn watch(&self, watched: &Watched, judges: &mut [Judge], room: usize, said: &mut Said) {
        let values = self.column(watched.value, watched.absent);
        let mut first: Vec<Verdict> = Vec::new();
        let mut inputs: Vec<Vec<f64>> = Vec::new();
        for (at, judge) in judges.iter_mut().enumerate() {
            judge.model.grow(room);
            judge.life.grow(room);
            let columns: Vec<Vec<f64>> = watched.columns[at]
                .iter()
                .map(|&column| self.column(column, watched.absent))
                .collect();
            let verdicts = self.judge(watched, judge, &values, &columns, said);
            inputs.extend(columns);
            if at == 0 {
                first = verdicts;
            }
        }
        self.signals(watched, judges, &values, &inputs, &first, said);
    }

    /// A result column as numbers, one a series. Where a group's state was lost and nothing is left
    /// of it, absence is no zero.
    fn column(&self, at: usize, absent: Absent) -> Vec<f64> {
        let mut values = self.present.column(self.result, at, absent);
        for (place, whole) in self.whole.iter().enumerate() {
            if !whole && self.present.rows[place].is_none() {
                values[place] = f64::NAN;
            }
        }
        values
    }

    fn is_whole(&self, at: usize) -> bool {
        self.whole.get(at).copied().unwrap_or(true)
    }

    /// One verdict a series. A point that is not whole is neither judged nor learned: it counts as
    /// missing, and a model that judges absence does not see it at all.
    fn judge(
        &self,
        watched: &Watched,
        judge: &mut Judge,
        values: &[f64],
        columns: &[Vec<f64>],
        said: &mut Said,
    ) -> Vec<Verdict> {
        let seen = self.seen(watched, judge, values, columns);
        let mut judged = Vec::with_capacity(seen.slots.len());
        let points = Points {
            window: self.window,
            slots: &seen.slots,
            values: &seen.values,
            columns: &seen.columns,
            open: &seen.open,
        };
        judge.model.judge(&points, &mut judged);
        for (at, verdict) in judged.iter().enumerate() {
            self.step(judge, &seen, at, verdict, said);
        }
        if self.whole.is_empty() {
            return judged;
        }
        let mut verdicts = vec![Verdict::bare(Stand::Missing); values.len()];
        for (place, verdict) in seen.places.iter().zip(judged) {
            verdicts[*place] = verdict;
        }
        verdicts
    }

    fn seen<'w>(
        &self,
        watched: &'w Watched,
        judge: &Judge,
        values: &[f64],
        columns: &[Vec<f64>],
    ) -> Seen<'w> {
        let places: Vec<usize> = (0..values.len()).filter(|&at| self.is_whole(at)).collect();
        let pick = |values: &[f64]| places.iter().map(|&at| values[at]).collect::<Vec<f64>>();
        let slots: Vec<u32> = places.iter().map(|&at| self.slots[at]).collect();
        let open = slots.iter().map(|&slot| judge.life.is_open(slot as usize)).collect();
        let values = pick(values);
        let columns = columns.iter().map(|column| pick(column)).collect();
        Seen { places, slots, values, columns, open, watched }
    }

    fn step(
        &self,
        judge: &mut Judge,
        seen: &Seen<'_>,
        at: usize,
        verdict: &Verdict,
        said: &mut Said,
    ) {
        let when = judge.model.hysteresis();
        let slot = seen.slots[at] as usize;
        let step = judge.life.step(slot, self.window.start_ms, verdict, &when);
        let Some((kind, opened_ms)) = step else {
            return;
        };
        let row: Vec<f64> = seen.columns.iter().map(|column| column[at]).collect();
        let finding = Finding {
            window: self.window,
            value_name: &seen.watched.name,
            value: seen.values[at],
            columns: &row,
            slot,
            verdict: *verdict,
        };
        let why = match kind {
            AnomalyKind::Clear => cleared(&finding, when.clear_after),
            AnomalyKind::Open | AnomalyKind::Worse => judge.model.why(&finding),
        };
        let life = Life { kind, opened_ms, why };
        let place = seen.places[at];
        said.anomalies.push(self.anomaly(seen.watched, judge.model.kind(), &finding, place, life));
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
        judges: &[Judge],
        values: &[f64],
        inputs: &[Vec<f64>],
        verdicts: &[Verdict],
        said: &mut Said,
    ) {
        for (at, verdict) in verdicts.iter().enumerate() {
            let open = self.open(judges, at);
            let is_there = self.present.rows[at].is_some();
            let is_gap = watched.absent == Absent::Missing || !self.is_whole(at);
            if !is_there && !is_gap && open.is_none() {
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
                complete: self.is_whole(at),
                expected: known(verdict.expected),
                lower: known(verdict.lower),
                upper: known(verdict.upper),
                score: known(verdict.score),
                anomalous: open.is_some(),
                anomalies: open,
                inputs: inputs.iter().map(|column| known(column[at])).collect(),
            });
        }
    }

    /// The series' open anomalies, as `signals` lists them.
    fn open(&self, judges: &[Judge], at: usize) -> Option<String> {
        let slot = self.slots[at] as usize;
        let (domain, key) = self.keys[at];
        let mut open: Option<String> = None;
        for judge in judges {
            let Some(opened_ms) = judge.life.opened_ms(slot) else {
                continue;
            };
            let model = judge.model.kind();
            let id = row::id(&self.rule.fingerprint, domain, key, model, opened_ms);
            let text = open.get_or_insert_default();
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&format!("{}={id}", model.as_str()));
        }
        open
    }
}

fn cleared(finding: &Finding<'_>, points: u32) -> String {
    debug_assert_eq!(finding.verdict.stand, Stand::Inside);
    let lasting = seconds(i64::from(points) * finding.window.every_ms);
    format!("{} is inside its band again for {lasting}", finding.value_name)
}

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

// === impl Said ===

impl Said {
    pub fn send(&self, rule: &Compiled, topics: &Topics, out: &mut Outputs) {
        for kind in [AnomalyKind::Open, AnomalyKind::Worse, AnomalyKind::Clear] {
            let step = self.anomalies.iter().filter(|anomaly| anomaly.kind == kind).count() as u64;
            let labels = [("rule", rule.name.as_str()), ("kind", kind.as_str())];
            out.count(metrics::SCORE_ANOMALIES, &labels, step);
        }
        rollup::send_anomalies(topics, &self.anomalies, out);
        let incomplete = self.signals.iter().filter(|signal| !signal.complete).count() as u64;
        out.count(metrics::SCORE_POINTS_INCOMPLETE, &[("rule", &rule.name)], incomplete);
        let ends = || self.signals.iter().map(|signal| signal.window_end_ms);
        let (Some(min_ts_ms), Some(max_ts_ms)) = (ends().min(), ends().max()) else {
            return;
        };
        out.send(Out {
            topic: topics.signals.clone(),
            schema: schema::signals().header(),
            schema_fp: schema::signals().fingerprint.clone(),
            batch: Signal::to_batch(&self.signals).expect("rows of the schema make a batch of it"),
            place: Place::ByColumn("key".to_owned()),
            key: None,
            min_ts_ms,
            max_ts_ms,
            headers: Vec::new(),
            urgent: false,
        });
    }
}
