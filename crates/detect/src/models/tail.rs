//! The tail of a distribution, read from a histogram: how often was a value at least this large?
//! Where at least four values were larger the answer is counted; beyond it is the generalized
//! Pareto distribution of the excesses (Pickands 1975; used for streams by SPOT, Siffer et al.
//! 2017).

use super::histogram::{BINS, bin_of, edge, middle};

/// Fewest values beyond a point for which counting is trusted: a single estimate scatters by half,
/// but over time a counted tail is exact, which a fitted one is not.
const COUNTED_MIN: f64 = 4.0;
/// Fewest values that a tail is fitted to.
const FITTED_MIN: f64 = 10.0;
/// Share of the values whose excesses the Pareto tail is fitted to.
const FITTED_SHARE: f64 = 0.02;
/// The shape's prior: nearly exponential, worth so many values. Moment estimates of the shape from
/// fewer values scatter by more than the shapes that occur.
const SHAPE_PRIOR: f64 = 0.05;
const SHAPE_PRIOR_VALUES: f64 = 50.0;
/// Above ½ there is no variance. A normal tail looks like −0.1 at the depths that are fitted; lower
/// would call possible values impossible.
const SHAPE_MIN: f64 = -0.1;
const SHAPE_MAX: f64 = 0.5;
/// Scores end at 12: no history that a series has supports a smaller probability.
const PROBABILITY_MIN: f64 = 1e-12;

/// One histogram, seen as part of `total` values (the other side of the band has the rest).
#[derive(Clone, Copy)]
pub struct Tail<'a> {
    pub counts: &'a [f32],
    pub total: f64,
}

/// The Pareto tail beyond `from`, and the last place where values were counted.
struct Fit {
    from: f64,
    shape: f64,
    scale: f64,
    counted_to: f64,
    beyond_counted: f64,
}

impl Tail<'_> {
    /// Probability of a value of at least `z` on this side.
    pub fn beyond(&self, z: f64) -> f64 {
        if self.total <= 0.0 {
            return 1.0;
        }
        let bin = bin_of(z);
        let above = sum(&self.counts[bin + 1..]);
        let here = f64::from(self.counts[bin]);
        if bin == 0 {
            // Below the first edge the histogram does not tell values apart.
            return ((above + here) / self.total).min(1.0);
        }
        let counted = match above >= COUNTED_MIN {
            true => between(edge(bin), above + here, edge(bin + 1), above, z),
            false => self.fit().beyond(z),
        };
        (counted / self.total).clamp(PROBABILITY_MIN, 1.0)
    }

    /// The value whose `beyond` is `probability`.
    pub fn quantile(&self, probability: f64) -> f64 {
        let wanted = probability * self.total;
        if wanted >= COUNTED_MIN {
            return self.counted_quantile(wanted);
        }
        let fit = self.fit();
        let (mut low, mut high) = (fit.counted_to, fit.counted_to.max(1.0) * 1e3);
        for _ in 0..60 {
            let mid = f64::midpoint(low, high);
            if fit.beyond(mid) > wanted { low = mid } else { high = mid }
        }
        high
    }

    fn counted_quantile(&self, wanted: f64) -> f64 {
        let mut above = 0.0;
        for bin in (1..BINS).rev() {
            let with = above + f64::from(self.counts[bin]);
            if with >= wanted {
                let share = (with / wanted).ln() / (with / above.max(1e-9)).ln();
                return edge(bin) + share.clamp(0.0, 1.0) * (edge(bin + 1) - edge(bin));
            }
            above = with;
        }
        edge(1)
    }

    fn fit(&self) -> Fit {
        let fitted_min = (FITTED_SHARE * self.total).max(FITTED_MIN);
        let (mut counted, mut from) = ((0, 0.0), 0);
        let mut above = 0.0;
        for bin in (0..BINS).rev() {
            above += f64::from(self.counts[bin]);
            if counted.1 < COUNTED_MIN {
                counted = (bin, above);
            }
            if above >= fitted_min {
                from = bin;
                break;
            }
        }
        let start = edge(from);
        let (mean, variance) = self.excesses(from, start);
        let raw = 0.5 * (1.0 - mean * mean / variance);
        let weight = above / (above + SHAPE_PRIOR_VALUES);
        let shape = (weight * raw + (1.0 - weight) * SHAPE_PRIOR).clamp(SHAPE_MIN, SHAPE_MAX);
        Fit {
            from: start,
            shape,
            scale: mean * (1.0 - shape),
            counted_to: edge(counted.0),
            beyond_counted: counted.1,
        }
    }

    /// Mean and variance of what values exceed `start` by; 1 each where there is nothing.
    fn excesses(&self, from: usize, start: f64) -> (f64, f64) {
        let (mut n, mut first, mut second) = (0.0, 0.0, 0.0);
        for bin in from..BINS {
            let count = f64::from(self.counts[bin]);
            let excess = middle(bin) - start;
            n += count;
            first += count * excess;
            second += count * excess * excess;
        }
        if n <= 0.0 || first <= 0.0 {
            return (1.0, 1.0);
        }
        let mean = first / n;
        (mean, (second / n - mean * mean).max(1e-6 * mean * mean))
    }
}

impl Fit {
    /// How many of the values are expected at or beyond `z`.
    fn beyond(&self, z: f64) -> f64 {
        let at = |value: f64| (value - self.from).max(0.0) / self.scale;
        let log = |excess: f64| match self.shape.abs() < 1e-3 {
            true => -excess,
            false => -(self.shape * excess).max(-1.0 + 1e-12).ln_1p() / self.shape,
        };
        let beyond = log(at(z.max(self.counted_to))) - log(at(self.counted_to));
        self.beyond_counted * beyond.exp()
    }
}

/// Log-linear between two places where the survivors are counted.
fn between(low: f64, at_low: f64, high: f64, at_high: f64, z: f64) -> f64 {
    let share = ((z - low) / (high - low)).clamp(0.0, 1.0);
    at_low * (at_high / at_low).powf(share)
}

/// In eight lanes: a strict left-to-right sum takes one addition's latency a bin.
fn sum(counts: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 8];
    let chunks = counts.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, count) in lanes.iter_mut().zip(chunk) {
            *lane += count;
        }
    }
    f64::from(lanes.iter().sum::<f32>() + rest)
}
