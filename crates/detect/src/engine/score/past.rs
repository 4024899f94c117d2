//! A rule's past out of `signals`, for a rule whose models are not in the snapshot: its text or
//! plan, or the models' format, is another one, or no snapshot is left. Points are kept until the
//! rule closes its first window, and only those of windows before that one count, so that a restore
//! that finds newer points makes the same models.

use std::collections::BTreeMap;

use model::rows::Signal;

use super::super::keytext;
use super::super::row;
use super::super::series::SeriesKey;
use super::ended::{Estate, Inherited};
use super::rule::{Judge, RuleState};
use crate::models::{Points, Window};
use crate::rules::{Absent, Compiled, Watched, Windowed};

/// What of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastLimits {
    /// Windows that begin longer ago, seen from the first one to close, do not count.
    pub past_ms: i64,
    /// Most points of a rule; the newest are kept.
    pub points_max: usize,
}

impl Default for PastLimits {
    fn default() -> PastLimits {
        PastLimits { past_ms: 7 * 86_400_000, points_max: 1_000_000 }
    }
}

/// Points of one rule, as they were read.
#[derive(Default)]
pub struct Past {
    /// The keys whose rows come to this task.
    numbers: BTreeMap<SeriesKey, u32>,
    fingerprints: Vec<String>,
    windows: BTreeMap<i64, Vec<Point>>,
    held: usize,
    /// Windows before it are given up, for the limit of points.
    not_before_ms: Option<i64>,
    pub refused: u64,
    estate: Estate,
}

struct Point {
    series: u32,
    watch: u16,
    fingerprint: u16,
    complete: bool,
    anomalous: bool,
    value: f64,
    more: Option<Box<More>>,
}

/// What few points have.
struct More {
    inputs: Vec<f64>,
    anomalies: Option<String>,
}

/// The series of the past by their numbers.
struct Names<'a> {
    keys: Vec<&'a SeriesKey>,
    entities: Vec<Option<String>>,
    /// The order of the keys.
    rank: Vec<u32>,
}

/// What is known of the series' anomalies while the past goes by, for each watch and slot.
#[derive(Default)]
struct Open {
    /// Whether the last point was anomalous: a model learns less of it.
    anomalous: Vec<Vec<bool>>,
    /// For each model the start of the present run of points with its anomaly, of this very rule.
    since: Vec<Vec<Vec<Option<Run>>>>,
}

#[derive(Clone, PartialEq)]
struct Run {
    opened_ms: i64,
    id: String,
}

// === impl Past ===

impl Past {
    /// Takes one row of `signals` of this rule; `partition` is the task's of `partitions`.
    pub fn add(
        &mut self,
        rule: &Compiled,
        windowed: &Windowed,
        signal: Signal,
        (partition, partitions): (u32, u32),
        limits: PastLimits,
    ) {
        let key = (signal.domain, signal.key);
        let Some(series) = self.number(windowed, &key, partition, partitions) else {
            return;
        };
        let (start_ms, end_ms) = (signal.window_start_ms, signal.window_end_ms);
        if signal.rule_fp != rule.fingerprint {
            let open = signal.anomalies.as_deref();
            self.inherit(&key, &signal.value_name, open, (start_ms, end_ms));
        }
        let watch = windowed.watch.iter().position(|watch| watch.name == signal.value_name);
        let Some(watch) = watch.filter(|_| self.not_before_ms.is_none_or(|ms| start_ms >= ms))
        else {
            return;
        };
        let inputs: Vec<f64> = signal.inputs.iter().map(|x| x.unwrap_or(f64::NAN)).collect();
        let more = (!inputs.is_empty() || signal.anomalies.is_some())
            .then(|| Box::new(More { inputs, anomalies: signal.anomalies }));
        let point = Point {
            series,
            watch: watch as u16,
            fingerprint: self.fingerprint(&signal.rule_fp),
            complete: signal.complete,
            anomalous: signal.anomalous,
            value: signal.value.unwrap_or(f64::NAN),
            more,
        };
        self.windows.entry(start_ms).or_default().push(point);
        self.held += 1;
        self.keep_to(limits.points_max);
    }

    fn number(
        &mut self,
        windowed: &Windowed,
        key: &SeriesKey,
        partition: u32,
        partitions: u32,
    ) -> Option<u32> {
        if let Some(number) = self.numbers.get(key) {
            return Some(*number);
        }
        let values = keytext::values(windowed, &key.1)?;
        let to = keytext::shard_partition(windowed, &values, partitions)?;
        if to != partition {
            return None;
        }
        let number = u32::try_from(self.numbers.len()).ok()?;
        self.numbers.insert(key.clone(), number);
        Some(number)
    }

    /// The oldest windows go first, whatever the order in which points are read.
    fn keep_to(&mut self, points_max: usize) {
        while self.held > points_max {
            let Some((start_ms, points)) = self.windows.pop_first() else {
                return;
            };
            self.held -= points.len();
            self.refused += points.len() as u64;
            self.not_before_ms = Some(start_ms + 1);
        }
    }

    fn fingerprint(&mut self, of: &str) -> u16 {
        let known = self.fingerprints.iter().position(|known| known == of);
        let at = known.unwrap_or_else(|| {
            self.fingerprints.push(of.to_owned());
            self.fingerprints.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// What another form of the rule left open at its last window.
    fn inherit(
        &mut self,
        key: &SeriesKey,
        value_name: &str,
        open: Option<&str>,
        (start_ms, end_ms): (i64, i64),
    ) {
        let estate = &mut self.estate;
        if !estate.is_there() || start_ms > estate.start_ms {
            *estate = Estate { anomalies: Vec::new(), start_ms, end_ms };
        }
        if start_ms < estate.start_ms {
            return;
        }
        estate.end_ms = estate.end_ms.max(end_ms);
        for (model, id) in open.into_iter().flat_map(models_and_ids) {
            let (model, id) = (model.to_owned(), id.to_owned());
            let value_name = value_name.to_owned();
            estate.anomalies.push(Inherited { key: key.clone(), value_name, model, id });
        }
    }

    /// Nothing was found: the rule is new.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && !self.estate.is_there()
    }

    /// What another form of the rule has left.
    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    /// Runs the windows before `bound_ms` through the models of a rule that has closed none yet.
    /// What they say is not said again. What is left to end comes back.
    pub fn learn(
        mut self,
        rule: &Compiled,
        windowed: &Windowed,
        bound_ms: i64,
        limits: PastLimits,
        state: &mut RuleState,
    ) -> Estate {
        let windows = std::mem::take(&mut self.windows);
        let own = self.fingerprints.iter().position(|known| *known == rule.fingerprint);
        let names = Names::new(&self.numbers, rule, windowed);
        let mut open = Open::default();
        let from_ms = bound_ms.saturating_sub(limits.past_ms);
        for (start_ms, points) in windows {
            if (from_ms..bound_ms).contains(&start_ms) {
                let points = names.in_order(points, own);
                Replayed { windowed, start_ms, points: &points, names: &names, own }
                    .learn(state, &mut open);
            }
        }
        let mut estate = self.estate;
        open.take_up(rule, &estate, state);
        estate.anomalies.sort();
        estate.anomalies.dedup();
        estate
    }
}

/// The pairs of the column `anomalies`.
fn models_and_ids(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|pair| pair.split_once('='))
}

// === impl Names ===

impl<'a> Names<'a> {
    fn new(
        numbers: &'a BTreeMap<SeriesKey, u32>,
        rule: &Compiled,
        windowed: &Windowed,
    ) -> Names<'a> {
        let keys: Vec<&SeriesKey> = numbers.keys().collect();
        let mut rank = vec![0; numbers.len()];
        for (at, number) in numbers.values().enumerate() {
            rank[*number as usize] = at as u32;
        }
        let entity = |key: &&SeriesKey| {
            let values = keytext::values(windowed, &key.1)?;
            keytext::entity(rule, windowed, &values)
        };
        let entities = keys.iter().map(entity).collect();
        Names { keys, entities, rank }
    }

    fn at(&self, point: &Point) -> usize {
        self.rank[point.series as usize] as usize
    }

    /// By watch and key, one of each: a window that two forms of the rule closed counts once, as
    /// the present one saw it.
    fn in_order(&self, mut points: Vec<Point>, own: Option<usize>) -> Vec<Point> {
        let is_own = |point: &Point| Some(usize::from(point.fingerprint)) == own;
        let place = |point: &Point| (point.watch, self.at(point));
        points.sort_by_key(|point| {
            let bits = point.value.to_bits();
            (point.watch, self.at(point), !is_own(point), bits)
        });
        points.dedup_by(|later, first| place(later) == place(first));
        points
    }
}

/// One window of the past.
struct Replayed<'a> {
    windowed: &'a Windowed,
    start_ms: i64,
    points: &'a [Point],
    names: &'a Names<'a>,
    own: Option<usize>,
}

// === impl Replayed ===

impl Replayed<'_> {
    fn learn(&self, state: &mut RuleState, open: &mut Open) {
        for point in self.points.iter().filter(|point| !point.value.is_nan()) {
            let at = self.names.at(point);
            let (key, entity) = (self.names.keys[at], &self.names.entities[at]);
            state.series.see(key.clone(), self.start_ms, entity.clone());
        }
        for (gone, _) in state.forget(self.windowed, self.start_ms) {
            open.forget(gone.series.slot as usize);
        }
        open.grow(self.windowed, state.series.slots());
        for at in 0..self.windowed.watch.len() {
            self.watch(at, state, open);
        }
    }

    fn watch(&self, watch: usize, state: &mut RuleState, open: &mut Open) {
        let watched = &self.windowed.watch[watch];
        let mut of_slot: Vec<Option<&Point>> = vec![None; state.series.slots()];
        let mut alive: Vec<&str> = Vec::new();
        for point in self.points.iter().filter(|point| usize::from(point.watch) == watch) {
            let key = self.names.keys[self.names.at(point)];
            if let Some(slot) = state.series.slot(key) {
                of_slot[slot as usize] = Some(point);
            }
            if !point.value.is_nan() && !alive.contains(&key.0.as_str()) {
                alive.push(&key.0);
            }
        }
        let zero = |domain: &str| watched.absent == Absent::Zero && alive.contains(&domain);
        let mut offset = 0;
        let judges = state.watches[watch].iter_mut().enumerate();
        let window = self.windowed.window.window(self.start_ms);
        for (at, judge) in judges {
            let width = watched.columns[at].len();
            let mut seen = Seen::new(width);
            for ((domain, _), series) in state.series.iter() {
                let slot = series.slot as usize;
                let anomalous = open.anomalous[watch][slot];
                seen.take(series.slot, of_slot[slot], zero(domain), offset, anomalous);
            }
            seen.judge(judge, window, state.series.slots());
            offset += width;
        }
        for (slot, point) in of_slot.iter().enumerate() {
            let Some(point) = point else { continue };
            let own = Some(usize::from(point.fingerprint)) == self.own;
            open.see(watched, watch, slot, point, self.start_ms, own);
        }
    }
}

/// The series that a model sees of a window of the past.
struct Seen {
    slots: Vec<u32>,
    values: Vec<f64>,
    columns: Vec<Vec<f64>>,
    open: Vec<bool>,
}

// === impl Seen ===

impl Seen {
    fn new(width: usize) -> Seen {
        let columns = vec![Vec::new(); width];
        Seen { slots: Vec::new(), values: Vec::new(), columns, open: Vec::new() }
    }

    /// A point without the columns that the model reads is none for it, nor is one that is not
    /// whole.
    fn take(&mut self, slot: u32, point: Option<&Point>, zero: bool, offset: usize, open: bool) {
        let width = self.columns.len();
        let absent = if zero { 0.0 } else { f64::NAN };
        let inputs = point.and_then(|point| point.more.as_ref()).map(|more| &more.inputs[..]);
        let inputs = inputs.and_then(|inputs| inputs.get(offset..offset + width));
        match point {
            Some(point) if !point.complete => return,
            Some(point) if !point.value.is_nan() && width > 0 && inputs.is_none() => return,
            _ => {}
        }
        self.slots.push(slot);
        self.values.push(point.map_or(absent, |point| point.value));
        self.open.push(open);
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.push(inputs.map_or(absent, |inputs| inputs[at]));
        }
    }

    fn judge(&self, judge: &mut Judge, window: Window, room: usize) {
        judge.model.grow(room);
        judge.life.grow(room);
        let points = Points {
            window,
            slots: &self.slots,
            values: &self.values,
            columns: &self.columns,
            open: &self.open,
        };
        judge.model.judge(&points, &mut Vec::with_capacity(self.slots.len()));
    }
}

// === impl Open ===

impl Open {
    fn grow(&mut self, rule: &Windowed, slots: usize) {
        self.anomalous.resize(rule.watch.len(), Vec::new());
        self.since.resize(rule.watch.len(), Vec::new());
        for (watch, watched) in rule.watch.iter().enumerate() {
            self.anomalous[watch].resize(slots, false);
            self.since[watch].resize(watched.models.len(), Vec::new());
            self.since[watch].iter_mut().for_each(|runs| runs.resize(slots, None));
        }
    }

    fn forget(&mut self, slot: usize) {
        for anomalous in self.anomalous.iter_mut().filter(|of| slot < of.len()) {
            anomalous[slot] = false;
        }
        for runs in self.since.iter_mut().flatten().filter(|of| slot < of.len()) {
            runs[slot] = None;
        }
    }

    fn see(
        &mut self,
        watched: &Watched,
        watch: usize,
        slot: usize,
        point: &Point,
        start_ms: i64,
        own: bool,
    ) {
        self.anomalous[watch][slot] = point.anomalous;
        let text = point.more.as_ref().and_then(|more| more.anomalies.as_deref()).unwrap_or("");
        for (model, runs) in watched.models.iter().zip(&mut self.since[watch]) {
            let mut named = models_and_ids(text);
            let id = named.find(|(name, _)| own && *name == model.kind().as_str());
            let run = &mut runs[slot];
            match id {
                None => *run = None,
                Some((_, id)) if run.as_ref().is_some_and(|run| run.id == id) => {}
                Some((_, id)) => *run = Some(Run { opened_ms: start_ms, id: id.to_owned() }),
            }
        }
    }

    /// What this very rule had open before a snapshot was lost goes on under its own id, unless
    /// another form of it held in between and has ended it.
    fn take_up(&self, rule: &Compiled, estate: &Estate, state: &mut RuleState) {
        let RuleState { series, watches, .. } = state;
        for ((domain, key), known) in series.iter() {
            let slot = known.slot as usize;
            for (watch, judges) in watches.iter_mut().enumerate() {
                for (at, judge) in judges.iter_mut().enumerate() {
                    let runs = self.since.get(watch).and_then(|models| models.get(at));
                    let run = runs.and_then(|runs| runs.get(slot)).and_then(Option::as_ref);
                    let Some(run) = run else { continue };
                    let kind = judge.model.kind();
                    let id = row::id(&rule.fingerprint, domain, key, kind, run.opened_ms);
                    let is_ours = !estate.is_there() || estate.start_ms < run.opened_ms;
                    if is_ours && id == run.id && slot < judge.life.series() {
                        judge.life.reopen(slot, run.opened_ms);
                    }
                }
            }
        }
    }
}
