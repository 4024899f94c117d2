//! What judges the points of a series: one trait, state in columns, a whole window of series at a
//! time. A model says how improbable a point is and whether it stands inside its band; when an
//! anomaly opens and ends is left to `lifecycle`, SQL and windows to `engine`.

mod histogram;
mod level;
mod lifecycle;
mod silence;
mod spec;
mod syn_flood;
mod tail;
mod threshold;

#[cfg(test)]
mod tests;

pub use level::{Level, LevelParams, Side};
pub use lifecycle::{Hysteresis, Lifecycle};
pub use silence::{Silence, SilenceParams};
pub use spec::{ModelKind, ModelSpec, ParamError};
pub use syn_flood::{SynFlood, SynFloodParams};
pub use threshold::{Threshold, ThresholdParams};

/// The format of every model's saved state, part of each rule's fingerprint: a snapshot of another
/// format is not read, the models are rebuilt from `signals`.
pub const STATE_FORMAT: u32 = 1;

/// A window that has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_ms: i64,
    pub end_ms: i64,
    /// Distance between two windows' starts.
    pub every_ms: i64,
}

/// The points of one window, one a series, in the order of the series' keys.
#[derive(Clone, Copy)]
pub struct Points<'a> {
    pub window: Window,
    /// Where each series has its state.
    pub slots: &'a [u32],
    /// NaN where the window had no row of the series.
    pub values: &'a [f64],
    /// The further columns that the model named in `columns`, in that order.
    pub columns: &'a [Vec<f64>],
    /// Whether the series' anomaly of this model was open before this window.
    pub open: &'a [bool],
}

/// How a point stands to its band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The model has not seen enough to say.
    Unknown,
    /// The window had no row of this series: neither good nor bad.
    Missing,
    Inside,
    /// Outside the band, but no evidence by itself.
    Outside,
    /// Improbable enough to count towards an anomaly.
    Breach,
}

/// What a model says of one point. NaN where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub stand: Stand,
    pub expected: f64,
    pub lower: f64,
    pub upper: f64,
    /// −log10 of a tail probability.
    pub score: f64,
    /// How far out, in the model's own positive unit: an anomaly is worse when it is a multiple.
    pub severity: f64,
}

/// One point with its verdict, for words.
pub struct Finding<'a> {
    pub window: Window,
    pub value_name: &'a str,
    pub value: f64,
    pub columns: &'a [f64],
    pub slot: usize,
    pub verdict: Verdict,
}

/// A model over all series of one rule's value.
pub trait Model: Send {
    fn kind(&self) -> ModelKind;

    fn hysteresis(&self) -> Hysteresis;

    /// Result columns that the model needs beside its value.
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes room for so many series. Never shrinks.
    fn grow(&mut self, series: usize);

    /// Forgets a series: its slot belongs to another one next.
    fn forget(&mut self, slot: usize);

    /// Judges each point by the state before the window, then learns the window.
    fn judge(&mut self, points: &Points<'_>, verdicts: &mut Vec<Verdict>);

    /// The reason, in words for a person.
    fn why(&self, finding: &Finding<'_>) -> String;

    fn save(&self) -> Result<Vec<u8>, StateError>;

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError>;
}

/// A saved state that is not one.
#[derive(Debug, thiserror::Error)]
#[error("state of model {model} cannot be {verb}: {reason}")]
pub struct StateError {
    pub model: &'static str,
    pub verb: &'static str,
    pub reason: String,
}

// === impl Verdict ===

impl Verdict {
    /// Says nothing but how the point stands.
    pub const fn bare(stand: Stand) -> Verdict {
        Verdict {
            stand,
            expected: f64::NAN,
            lower: f64::NAN,
            upper: f64::NAN,
            score: f64::NAN,
            severity: f64::NAN,
        }
    }
}

fn save<T: serde::Serialize>(kind: ModelKind, state: &T) -> Result<Vec<u8>, StateError> {
    postcard::to_stdvec(state).map_err(|error| StateError {
        model: kind.as_str(),
        verb: "written",
        reason: error.to_string(),
    })
}

fn load<T: serde::de::DeserializeOwned>(kind: ModelKind, bytes: &[u8]) -> Result<T, StateError> {
    postcard::from_bytes(bytes).map_err(|error| unreadable(kind, error.to_string()))
}

fn unreadable(kind: ModelKind, reason: String) -> StateError {
    StateError { model: kind.as_str(), verb: "read", reason }
}

/// A number for a person: four significant digits, thousands as k, M, G, T.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    let (scale, unit) = match size {
        s if s >= 1e15 || !s.is_finite() => return format!("{value:.3e}"),
        s if s >= 1e12 => (1e12, " T"),
        s if s >= 1e9 => (1e9, " G"),
        s if s >= 1e6 => (1e6, " M"),
        s if s >= 1e4 => (1e3, " k"),
        _ => (1.0, ""),
    };
    let scaled = value / scale;
    let digits = match scaled.abs() {
        s if s >= 1000.0 || s == s.trunc() => 0,
        s if s >= 100.0 => 1,
        s if s >= 10.0 => 2,
        s if s >= 0.01 => 3,
        _ => return format!("{value:.2e}"),
    };
    format!("{scaled:.digits$}{unit}")
}

/// A length of time for a person.
pub fn seconds(ms: i64) -> String {
    match ms {
        ms if ms % 60_000 == 0 && ms >= 120_000 => format!("{} min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}
