//! The plain limit: above or below a value, for so many windows in a row. States no probability.

use serde::{Deserialize, Serialize};

use super::{
    Finding, Hysteresis, Model, ModelKind, Points, Stand, StateError, Verdict, figure, seconds,
};
use crate::rules::Period;

/// Clears after two points inside: one may be the gap between two bursts.
const CLEAR_AFTER: u32 = 2;
/// Worse when it is out by twice as much again.
const WORSE_FACTOR: f64 = 2.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdParams {
    /// Anomalous above this value.
    pub above: Option<f64>,
    /// Anomalous below this value.
    pub below: Option<f64>,
    /// How long it must last; one window if not given.
    #[serde(rename = "for")]
    pub lasting: Option<Period>,
    /// How far inside the limit a point must be to count as healed.
    pub margin: f64,
}

pub struct Threshold {
    params: ThresholdParams,
    windows: u32,
}

impl Threshold {
    pub fn new(params: ThresholdParams, every_ms: i64) -> Threshold {
        let lasting = params.lasting.map_or(0, |period| period.ms());
        let windows = (lasting.max(0) as u64).div_ceil(every_ms.max(1) as u64);
        Threshold { params, windows: u32::try_from(windows).unwrap_or(u32::MAX).max(1) }
    }

    fn one(&self, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::bare(Stand::Missing);
        }
        let lower = self.params.below.unwrap_or(f64::NAN);
        let upper = self.params.above.unwrap_or(f64::NAN);
        let over = (value - upper).max(lower - value);
        // NaN where that limit is not set: `max` takes the other one.
        let stand = match over {
            over if over > 0.0 => Stand::Breach,
            over if over > -self.params.margin => Stand::Outside,
            _ => Stand::Inside,
        };
        let limit = if value < lower { lower } else { upper };
        let severity = 1.0 + over.max(0.0) / limit.abs().max(f64::MIN_POSITIVE);
        Verdict { lower, upper, severity, ..Verdict::bare(stand) }
    }
}

impl Model for Threshold {
    fn kind(&self) -> ModelKind {
        ModelKind::Threshold
    }

    fn hysteresis(&self) -> Hysteresis {
        Hysteresis {
            open_after: self.windows,
            clear_after: CLEAR_AFTER,
            worse_factor: WORSE_FACTOR,
        }
    }

    fn grow(&mut self, _: usize) {}

    fn forget(&mut self, _: usize) {}

    fn judge(&mut self, points: &Points<'_>, verdicts: &mut Vec<Verdict>) {
        verdicts.extend(points.values.iter().map(|&value| self.one(value)));
    }

    fn why(&self, finding: &Finding<'_>) -> String {
        let Finding { value_name, value, verdict, window, .. } = finding;
        let (side, limit) = match *value < verdict.lower {
            true => ("below", verdict.lower),
            false => ("above", verdict.upper),
        };
        let lasting = match self.windows {
            1 => format!("in a window of {}", seconds(window.end_ms - window.start_ms)),
            n => format!("for {}", seconds(i64::from(n) * window.every_ms)),
        };
        format!("{value_name} {} is {side} {} {lasting}", figure(*value), figure(limit))
    }

    fn save(&self) -> Result<Vec<u8>, StateError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}
