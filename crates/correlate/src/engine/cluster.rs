//! The usual guide's correlation, kept as a baseline and for what names no entity: k-means over the
//! anomalies of a window, by when they opened, how bad they are and which rule found them. The same
//! anomalies give the same groups: they come sorted, the first centres are chosen by distance, and
//! no random number is drawn.

use std::collections::BTreeMap;

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::{KMeans, KMeansInit};
use model::rows::Anomaly;
use model::schema::hex16;
use ndarray::{Array1, Array2, ArrayView1, Axis};

/// A further group must lower the mean squared distance by this much. Features lie between 0 and 1,
/// so anomalies of one rule spread evenly over a window (variance 1/12) stay one group.
const GAIN_MIN: f64 = 0.08;
/// Two rules lie this far apart on each of their two axes: 1 in all.
const RULE_WEIGHT: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// A score of 20 (p = 10^-20) and above is as bad as it gets.
const SCORE_MAX: f64 = 20.0;
/// Axes for rules; more rules than that share axes.
const RULE_AXES: usize = 16;
const TIME: usize = 0;
const SCORE: usize = 1;

/// The group of each anomaly, in their order.
pub(super) fn groups(anomalies: &[&Anomaly], window_ms: i64, groups_max: usize) -> Vec<usize> {
    if anomalies.len() < 2 {
        return vec![0; anomalies.len()];
    }
    let features = features(anomalies, window_ms);
    let most = groups_max.min(anomalies.len());
    let mut best = split(&features, 1);
    for k in 2..=most {
        let next = split(&features, k);
        if next.spread > best.spread - GAIN_MIN {
            break;
        }
        best = next;
    }
    best.groups
}

struct Split {
    groups: Vec<usize>,
    /// Mean squared distance to the own centre.
    spread: f64,
}

fn features(anomalies: &[&Anomaly], window_ms: i64) -> Array2<f64> {
    let axes = axes(anomalies);
    let first_ms = anomalies.iter().map(|a| a.time_ms).min().unwrap_or(0);
    let mut features = Array2::zeros((anomalies.len(), 2 + RULE_AXES));
    for (row, anomaly) in anomalies.iter().enumerate() {
        let score = anomaly.score.filter(|s| s.is_finite()).unwrap_or(0.0);
        let since = anomaly.time_ms.saturating_sub(first_ms) as f64;
        features[[row, TIME]] = (since / window_ms as f64).clamp(0.0, 1.0);
        features[[row, SCORE]] = score.clamp(0.0, SCORE_MAX) / SCORE_MAX;
        features[[row, 2 + axes[anomaly.rule.as_str()]]] = RULE_WEIGHT;
    }
    features
}

/// An axis for each rule, by its name alone where there are more rules than axes.
fn axes<'a>(anomalies: &[&'a Anomaly]) -> BTreeMap<&'a str, usize> {
    let mut axes: BTreeMap<&str, usize> =
        anomalies.iter().map(|anomaly| (anomaly.rule.as_str(), 0)).collect();
    let are_few = axes.len() <= RULE_AXES;
    for (nth, (rule, axis)) in axes.iter_mut().enumerate() {
        let digits = hex16(rule.as_bytes());
        let hashed = usize::from_str_radix(&digits[..4], 16).expect("hexadecimal digits");
        *axis = if are_few { nth } else { hashed % RULE_AXES };
    }
    axes
}

fn split(features: &Array2<f64>, k: usize) -> Split {
    let centres = far_apart(features, k);
    let k = centres.nrows();
    let data = DatasetBase::from(features.clone());
    let fitted = KMeans::params(k)
        .init_method(KMeansInit::Precomputed(centres.clone()))
        .n_runs(1)
        .fit(&data);
    // It fails only where no distance is a number; features are finite, so this is never taken.
    let centres = fitted.as_ref().map_or(centres, |model| model.centroids().clone());
    let groups: Array1<usize> = match &fitted {
        Ok(model) => model.predict(features),
        Err(_) => Array1::zeros(features.nrows()),
    };
    let rows = features.axis_iter(Axis(0)).zip(&groups);
    let sum: f64 = rows.map(|(row, group)| distance(row, centres.row(*group))).sum();
    Split { groups: groups.to_vec(), spread: sum / features.nrows() as f64 }
}

/// First centres: the first row, then each time the row farthest from all chosen (Gonzalez 1985).
/// Fewer than `k` where rows repeat.
fn far_apart(features: &Array2<f64>, k: usize) -> Array2<f64> {
    let mut chosen = vec![0];
    let mut nearest: Vec<f64> =
        features.axis_iter(Axis(0)).map(|row| distance(row, features.row(0))).collect();
    while chosen.len() < k {
        let mut farthest = 0;
        for (row, far) in nearest.iter().enumerate() {
            if *far > nearest[farthest] {
                farthest = row;
            }
        }
        if nearest[farthest] <= 0.0 {
            break;
        }
        chosen.push(farthest);
        for (row, far) in nearest.iter_mut().enumerate() {
            *far = far.min(distance(features.row(row), features.row(farthest)));
        }
    }
    features.select(Axis(0), &chosen)
}

fn distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}
