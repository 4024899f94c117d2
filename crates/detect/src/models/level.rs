//! Deviation from a series' own level: a robust moving level and scale, and the calibrated tail of
//! what remained. The tail is counted per series and side, so that a lognormal series, a counter
//! and a gauge state the same probability; a new series starts from what all others of its rule
//! showed.

use serde::{Deserialize, Serialize};

use super::histogram::{BINS, Histograms, exponential};
use super::tail::Tail;
use super::{
    Finding, Hysteresis, Model, ModelKind, Points, Stand, StateError, Verdict, figure, load, save,
    unreadable,
};

/// Weight of a new point in the level: 20 windows of memory, so that a day's curve is followed and
/// a minute's spike is not (research: residuals at 0.05 were the best single feature).
const LEVEL_WEIGHT: f64 = 0.05;
/// Weight of a new residual in the scale: steadier than the level it judges.
const SCALE_WEIGHT: f64 = 0.02;
/// A residual moves level and scale by no more than this many scales (Huber's clipping).
const CLIP: f64 = 3.0;
/// While an anomaly is open, and for points that would be one, learning runs at a tenth: an
/// incident does not become the norm, a lasting change does.
const QUARANTINE_WEIGHT: f64 = 0.1;
const QUARANTINE_PROBABILITY: f64 = 1e-5;
/// Points of memory of a series' tail: at this total the histogram is halved. 2^18 leave 131,072 or
/// more, so at least six values beyond 5 × 10^-5 (10^-4 of both sides).
const MEMORY: f64 = 262_144.0;
const POOL_MEMORY: f64 = 1_048_576.0;
/// What the pool's tail is worth against a series' own, in points: a new series is judged by what
/// all of its rule showed, one with a long past by its own alone.
const POOL_WORTH: f64 = 1000.0;
/// Beyond this many points of its own a series no longer asks the pool.
const OWN_ALONE: f64 = 16.0 * POOL_WORTH;
/// Points before a residual is counted: the scale is made of too few until then.
const COUNTED_FROM: f64 = 30.0;
/// What the exponential prior is worth to the pool, in points a side.
const PRIOR: f64 = 50.0;
/// The band in `signals` is where one point in a thousand lies outside.
const BAND_PROBABILITY: f64 = 1e-3;
/// A band is computed again after so many points: it moves slower than that.
const BAND_EVERY: f64 = 16.0;
/// No scale below this share of the level: smaller changes are nobody's incident.
const SCALE_SHARE_MIN: f64 = 5e-3;

/// Worse when it lies twice as many scales outside.
const WORSE_FACTOR: f64 = 2.0;

/// Which deviations are evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    Both,
    Up,
    Down,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelParams {
    pub side: Side,
    /// A point is a breach when it is no more probable than this. A thousand series with a window a
    /// minute give 1.4 million points a day: at 10^-6 one and a half single breaches a day.
    pub tail: f64,
    /// Windows in breach that open an anomaly: chance alone does not do that three times running.
    pub sustain: u32,
    /// Points inside the band that clear it.
    pub clear: u32,
    /// Points before the model speaks.
    pub warmup: u32,
    /// Smallest scale in the value's own unit: what a change must be large against.
    pub floor: f64,
}

impl Default for LevelParams {
    fn default() -> LevelParams {
        LevelParams { side: Side::Both, tail: 1e-6, sustain: 3, clear: 5, warmup: 60, floor: 0.0 }
    }
}

pub struct Level {
    params: LevelParams,
    level: Vec<f64>,
    scale: Vec<f64>,
    /// Points taken in, quarantined ones by their weight.
    seen: Vec<f64>,
    up: Histograms,
    down: Histograms,
    total: Vec<f64>,
    band_up: Vec<f64>,
    band_down: Vec<f64>,
    pool: Pool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pool {
    up: Vec<f32>,
    down: Vec<f32>,
    total: f64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    level: Vec<f64>,
    scale: Vec<f64>,
    seen: Vec<f64>,
    up: Vec<f32>,
    down: Vec<f32>,
    total: Vec<f64>,
    band_up: Vec<f64>,
    band_down: Vec<f64>,
    pool: Pool,
}

// === impl Level ===

impl Level {
    pub fn new(params: LevelParams) -> Level {
        Level {
            params,
            level: Vec::new(),
            scale: Vec::new(),
            seen: Vec::new(),
            up: Histograms::default(),
            down: Histograms::default(),
            total: Vec::new(),
            band_up: Vec::new(),
            band_down: Vec::new(),
            pool: Pool::new(),
        }
    }

    fn scale_of(&self, slot: usize) -> f64 {
        self.scale[slot].max(self.scale_min(slot))
    }

    fn scale_min(&self, slot: usize) -> f64 {
        let share = SCALE_SHARE_MIN * self.level[slot].abs();
        self.params.floor.max(share).max(f64::MIN_POSITIVE)
    }

    fn is_warm(&self, slot: usize) -> bool {
        self.seen[slot] >= f64::from(self.params.warmup)
    }

    /// Two-sided unless the rule watches one side only.
    fn probability(&self, slot: usize, residual: f64, z: f64) -> f64 {
        let one = self.one_sided(slot, residual, z);
        let counts = match self.params.side {
            Side::Both => return (2.0 * one).min(1.0),
            Side::Up => residual >= 0.0,
            Side::Down => residual < 0.0,
        };
        if counts { one } else { 1.0 }
    }

    /// The series' own tail and the pool's, weighed by what each has seen.
    fn one_sided(&self, slot: usize, residual: f64, z: f64) -> f64 {
        let (rows, pooled) = match residual >= 0.0 {
            true => (&self.up, &self.pool.up),
            false => (&self.down, &self.pool.down),
        };
        let total = self.total[slot];
        let own = || rows.tail(slot, total).beyond(z).ln();
        if total >= OWN_ALONE {
            return own().exp();
        }
        let pooled = Tail { counts: pooled, total: self.pool.total }.beyond(z).ln();
        let weight = total / (total + POOL_WORTH);
        let own = if weight > 0.0 { weight * own() } else { 0.0 };
        (own + (1.0 - weight) * pooled).exp()
    }

    fn one(&self, slot: usize, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::bare(Stand::Missing);
        }
        if !self.is_warm(slot) {
            return Verdict::bare(Stand::Unknown);
        }
        let (level, scale) = (self.level[slot], self.scale_of(slot));
        let residual = value - level;
        let z = residual.abs() / scale;
        let probability = self.probability(slot, residual, z);
        let stand = match probability {
            p if p <= self.params.tail => Stand::Breach,
            p if p <= BAND_PROBABILITY => Stand::Outside,
            _ => Stand::Inside,
        };
        Verdict {
            stand,
            expected: level,
            lower: level - self.band_down[slot] * scale,
            upper: level + self.band_up[slot] * scale,
            score: -probability.log10(),
            severity: z,
        }
    }

    fn learn(&mut self, slot: usize, value: f64, verdict: &Verdict, open: bool) {
        if value.is_nan() {
            return;
        }
        let strange = verdict.score >= -QUARANTINE_PROBABILITY.log10();
        let weight = if open || strange { QUARANTINE_WEIGHT } else { 1.0 };
        if self.seen[slot] == 0.0 {
            self.level[slot] = value;
            self.seen[slot] = 1.0;
            return;
        }
        let residual = value - self.level[slot];
        let at_floor = self.scale[slot] <= self.scale_min(slot);
        let scale = self.scale_of(slot);
        // Before there is a scale, the first residuals are taken as they come.
        let clip = if self.seen[slot] < 8.0 { f64::INFINITY } else { CLIP * scale };
        let clipped = residual.clamp(-clip, clip);
        // What an open anomaly shows is not the series' noise: its tail does not learn it at all.
        if !open {
            self.count(slot, residual, residual.abs() / scale, weight, at_floor);
        }
        let early = 1.0 / (self.seen[slot] + 1.0);
        self.level[slot] += weight * LEVEL_WEIGHT.max(early) * clipped;
        let toward = clipped.abs() - self.scale[slot];
        self.scale[slot] += weight * SCALE_WEIGHT.max(1.0 / self.seen[slot]) * toward;
        let was_warm = self.is_warm(slot);
        self.seen[slot] += weight;
        let due = self.seen[slot] % BAND_EVERY < 1.0 || !was_warm;
        if self.is_warm(slot) && due {
            self.set_band(slot);
        }
    }

    /// Counts a residual. A series at its smallest scale says nothing about the others' noise.
    fn count(&mut self, slot: usize, residual: f64, z: f64, weight: f64, at_floor: bool) {
        if self.seen[slot] < COUNTED_FROM {
            return;
        }
        let rows = if residual >= 0.0 { &mut self.up } else { &mut self.down };
        rows.learn(slot, z, weight as f32);
        self.total[slot] += weight;
        if self.total[slot] >= MEMORY {
            self.up.halve(slot);
            self.down.halve(slot);
            self.total[slot] *= 0.5;
        }
        if !at_floor {
            self.pool.learn(residual, z, weight);
        }
    }

    /// Where one point in a thousand lies outside, by the series' own tail or, while that is short,
    /// the pool's.
    fn set_band(&mut self, slot: usize) {
        let own = self.total[slot] >= POOL_WORTH;
        let tail = |rows: &Histograms, pooled: &[f32]| match own {
            true => rows.tail(slot, self.total[slot]).quantile(BAND_PROBABILITY / 2.0),
            false => {
                let total = self.pool.total;
                Tail { counts: pooled, total }.quantile(BAND_PROBABILITY / 2.0)
            }
        };
        let (up, down) = (tail(&self.up, &self.pool.up), tail(&self.down, &self.pool.down));
        self.band_up[slot] = up;
        self.band_down[slot] = down;
    }
}

impl Model for Level {
    fn kind(&self) -> ModelKind {
        ModelKind::Level
    }

    fn hysteresis(&self) -> Hysteresis {
        Hysteresis {
            open_after: self.params.sustain,
            clear_after: self.params.clear,
            worse_factor: WORSE_FACTOR,
        }
    }

    fn grow(&mut self, series: usize) {
        if series <= self.level.len() {
            return;
        }
        let columns = [&mut self.level, &mut self.scale, &mut self.seen, &mut self.total];
        for column in columns.into_iter().chain([&mut self.band_up, &mut self.band_down]) {
            column.resize(series, 0.0);
        }
        self.up.grow(series);
        self.down.grow(series);
    }

    fn forget(&mut self, slot: usize) {
        let columns = [&mut self.level, &mut self.scale, &mut self.seen, &mut self.total];
        for column in columns.into_iter().chain([&mut self.band_up, &mut self.band_down]) {
            column[slot] = 0.0;
        }
        self.up.clear(slot);
        self.down.clear(slot);
    }

    fn judge(&mut self, points: &Points<'_>, verdicts: &mut Vec<Verdict>) {
        let from = verdicts.len();
        let judged = points.slots.iter().zip(points.values);
        verdicts.extend(judged.map(|(&slot, &value)| self.one(slot as usize, value)));
        for (i, (&slot, &value)) in points.slots.iter().zip(points.values).enumerate() {
            self.learn(slot as usize, value, &verdicts[from + i], points.open[i]);
        }
    }

    fn why(&self, finding: &Finding<'_>) -> String {
        let Finding { value_name, value, verdict, .. } = finding;
        let side = if *value >= verdict.expected { "above" } else { "below" };
        format!(
            "{value_name} {} is {side} its band: expected {}, {} to {}; {} windows running, each \
             no more probable than 10^-{:.1}",
            figure(*value),
            figure(verdict.expected),
            figure(verdict.lower),
            figure(verdict.upper),
            self.params.sustain,
            (-self.params.tail.log10()).min(verdict.score),
        )
    }

    fn save(&self) -> Result<Vec<u8>, StateError> {
        let saved = Saved {
            level: self.level.clone(),
            scale: self.scale.clone(),
            seen: self.seen.clone(),
            up: self.up.to_flat(),
            down: self.down.to_flat(),
            total: self.total.clone(),
            band_up: self.band_up.clone(),
            band_down: self.band_down.clone(),
            pool: self.pool.clone(),
        };
        save(ModelKind::Level, &saved)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let saved: Saved = load(ModelKind::Level, bytes)?;
        let bad = |what: &str| unreadable(ModelKind::Level, what.to_owned());
        let series = saved.level.len();
        let lengths = [
            saved.scale.len(),
            saved.seen.len(),
            saved.total.len(),
            saved.band_up.len(),
            saved.band_down.len(),
        ];
        let pooled = saved.pool.up.len() == BINS && saved.pool.down.len() == BINS;
        let rows = saved.up.len() == saved.down.len() && saved.up.len() >= series * BINS;
        if lengths.iter().any(|&length| length != series) || !pooled || !rows {
            return Err(bad("columns of different lengths"));
        }
        let rows = |flat| Histograms::from_flat(flat).ok_or_else(|| bad("a part of a histogram"));
        *self = Level {
            params: self.params.clone(),
            level: saved.level,
            scale: saved.scale,
            seen: saved.seen,
            up: rows(saved.up)?,
            down: rows(saved.down)?,
            total: saved.total,
            band_up: saved.band_up,
            band_down: saved.band_down,
            pool: saved.pool,
        };
        Ok(())
    }
}

// === impl Pool ===

impl Pool {
    fn new() -> Pool {
        Pool { up: exponential(PRIOR), down: exponential(PRIOR), total: 2.0 * PRIOR }
    }

    fn learn(&mut self, residual: f64, z: f64, weight: f64) {
        let side = if residual >= 0.0 { &mut self.up } else { &mut self.down };
        side[super::histogram::bin_of(z)] += weight as f32;
        self.total += weight;
        if self.total >= POOL_MEMORY {
            self.up.iter_mut().chain(&mut self.down).for_each(|count| *count *= 0.5);
            self.total *= 0.5;
        }
    }
}
