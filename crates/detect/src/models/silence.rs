//! A source that has stopped to speak. Judged only from points that exist: ingest publishes a zero
//! for each exporter while it lives, so a zero is silence and a missing point is ingest's own end.
//! Zeros come in runs (an exporter that exports once a minute), so a run is compared with the runs
//! before it: its tail is that of a two-state Markov chain.

use serde::{Deserialize, Serialize};

use super::{
    Finding, Hysteresis, Model, ModelKind, Points, Stand, StateError, Verdict, load, save, seconds,
    unreadable,
};

/// Share of the memory that a window takes away: 1,000 windows are remembered.
const FORGETTING: f64 = 0.001;
/// A run is long when it is longer than twice the longest before.
const TIMES_LONGEST: f64 = 2.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SilenceParams {
    /// A run of zeros is a breach when it is no more probable than this.
    pub tail: f64,
    /// No shorter run is a breach.
    pub windows_min: u32,
    /// Windows with something in them before the model speaks.
    pub warmup: u32,
    /// Share of windows that usually have something; below it nothing is expected of the source.
    pub speaks_min: f64,
    /// Windows without a point after which ingest counts as gone.
    pub gone_after: u32,
}

impl Default for SilenceParams {
    fn default() -> SilenceParams {
        SilenceParams { tail: 1e-3, windows_min: 3, warmup: 12, speaks_min: 0.1, gone_after: 3 }
    }
}

/// Why an anomaly of a series was opened.
const NOTHING: u8 = 0;
const SILENT: u8 = 1;
const GONE: u8 = 2;

pub struct Silence {
    params: SilenceParams,
    state: State,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// Windows with something, and how many of them a zero followed.
    spoke: Vec<f64>,
    fell_silent: Vec<f64>,
    /// Windows with nothing within ended runs, and how many of them a zero followed.
    silent: Vec<f64>,
    stayed_silent: Vec<f64>,
    run: Vec<u32>,
    longest: Vec<f64>,
    missing: Vec<u32>,
    reason: Vec<u8>,
}

impl State {
    fn floats(&mut self) -> [&mut Vec<f64>; 5] {
        [
            &mut self.spoke,
            &mut self.fell_silent,
            &mut self.silent,
            &mut self.stayed_silent,
            &mut self.longest,
        ]
    }

    fn is_whole(&mut self) -> bool {
        let n = self.run.len();
        let others = self.missing.len() == n && self.reason.len() == n;
        others && self.floats().iter().all(|column| column.len() == n)
    }
}

// === impl Silence ===

impl Silence {
    pub fn new(params: SilenceParams) -> Silence {
        Silence { params, state: State::default() }
    }

    fn one(&mut self, slot: usize, value: f64, open: bool) -> Verdict {
        if !open {
            self.state.reason[slot] = NOTHING;
        }
        if value.is_nan() {
            return self.absent(slot);
        }
        self.state.missing[slot] = 0;
        if value > 0.0 {
            let verdict = self.speaks(slot);
            self.end_run(slot);
            return verdict;
        }
        self.state.run[slot] = self.state.run[slot].saturating_add(1);
        self.zero(slot)
    }

    fn absent(&mut self, slot: usize) -> Verdict {
        let missing = &mut self.state.missing[slot];
        *missing = missing.saturating_add(1);
        let known = self.state.spoke[slot] >= f64::from(self.params.warmup);
        if !known || *missing < self.params.gone_after || self.state.reason[slot] == SILENT {
            return Verdict::bare(Stand::Missing);
        }
        self.state.reason[slot] = GONE;
        Verdict { severity: 1.0, ..Verdict::bare(Stand::Breach) }
    }

    fn speaks(&self, slot: usize) -> Verdict {
        let expected = self.usually(slot);
        Verdict { expected, lower: f64::NAN, score: 0.0, ..Verdict::bare(Stand::Inside) }
    }

    fn zero(&mut self, slot: usize) -> Verdict {
        let state = &self.state;
        let warm = state.spoke[slot] >= f64::from(self.params.warmup);
        let usually = self.usually(slot);
        if !warm || usually < self.params.speaks_min {
            return Verdict::bare(Stand::Unknown);
        }
        let run = state.run[slot];
        let probability = self.probability(slot, run);
        let long = f64::from(run) > TIMES_LONGEST * state.longest[slot];
        let silent = long && run >= self.params.windows_min && probability <= self.params.tail;
        let stand = match (silent || state.reason[slot] == SILENT, state.reason[slot]) {
            (true, _) => Stand::Breach,
            // It is reported on again, which ends `ingest gone`; it may still be silent.
            (false, GONE) => Stand::Inside,
            (false, _) => Stand::Outside,
        };
        if stand == Stand::Breach {
            self.state.reason[slot] = SILENT;
        }
        let score = -probability.max(1e-300).log10();
        Verdict { expected: usually, score, severity: 1.0, ..Verdict::bare(stand) }
    }

    /// Share of windows with something in them.
    fn usually(&self, slot: usize) -> f64 {
        let state = &self.state;
        state.spoke[slot] / (state.spoke[slot] + state.silent[slot]).max(1.0)
    }

    /// Tail of a run's length, with half a count added to what was never seen (Jeffreys' prior).
    fn probability(&self, slot: usize, run: u32) -> f64 {
        let state = &self.state;
        let starts = (state.fell_silent[slot] + 0.5) / (state.spoke[slot] + 1.0);
        let stays = (state.stayed_silent[slot] + 0.5) / (state.silent[slot] + 1.0);
        starts * stays.powf(f64::from(run.saturating_sub(1)))
    }

    /// Traffic: what was a run is learned, unless it was the incident.
    fn end_run(&mut self, slot: usize) {
        let state = &mut self.state;
        for column in [&mut state.spoke, &mut state.fell_silent] {
            column[slot] *= 1.0 - FORGETTING;
        }
        for column in [&mut state.silent, &mut state.stayed_silent] {
            column[slot] *= 1.0 - FORGETTING;
        }
        state.longest[slot] *= 1.0 - FORGETTING;
        let run = f64::from(state.run[slot]);
        if run > 0.0 {
            state.fell_silent[slot] += 1.0;
            // Remembered once and in part, so that the same run alarms at most a few times.
            let learned = if state.reason[slot] == SILENT { run.min(10.0) } else { run };
            state.silent[slot] += learned;
            state.stayed_silent[slot] += learned - 1.0;
            if state.reason[slot] != SILENT {
                state.longest[slot] = state.longest[slot].max(run);
            }
        }
        state.spoke[slot] += 1.0;
        state.run[slot] = 0;
    }
}

impl Model for Silence {
    fn kind(&self) -> ModelKind {
        ModelKind::Silence
    }

    fn hysteresis(&self) -> Hysteresis {
        // The run is judged by the model; one window of traffic is the end of a silence.
        Hysteresis { open_after: 1, clear_after: 1, worse_factor: f64::INFINITY }
    }

    fn grow(&mut self, series: usize) {
        if series <= self.state.run.len() {
            return;
        }
        for column in self.state.floats() {
            column.resize(series, 0.0);
        }
        self.state.run.resize(series, 0);
        self.state.missing.resize(series, 0);
        self.state.reason.resize(series, NOTHING);
    }

    fn forget(&mut self, slot: usize) {
        for column in self.state.floats() {
            column[slot] = 0.0;
        }
        self.state.run[slot] = 0;
        self.state.missing[slot] = 0;
        self.state.reason[slot] = NOTHING;
    }

    fn judge(&mut self, points: &Points<'_>, verdicts: &mut Vec<Verdict>) {
        for (i, (&slot, &value)) in points.slots.iter().zip(points.values).enumerate() {
            verdicts.push(self.one(slot as usize, value, points.open[i]));
        }
    }

    fn why(&self, finding: &Finding<'_>) -> String {
        let slot = finding.slot;
        let Finding { value_name, window, .. } = finding;
        if self.state.reason[slot] == GONE {
            let lasting = seconds(i64::from(self.state.missing[slot]) * window.every_ms);
            return format!(
                "ingest gone: nobody has reported {value_name} for {lasting}, so whether the \
                 source still speaks is not known"
            );
        }
        let lasting = seconds(i64::from(self.state.run[slot]) * window.every_ms);
        let usually = 100.0 * finding.verdict.expected;
        format!(
            "silent: {value_name} is 0 for {lasting} while ingest listens; usually {usually:.0} % \
             of windows have some"
        )
    }

    fn save(&self) -> Result<Vec<u8>, StateError> {
        save(ModelKind::Silence, &self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut state: State = load(ModelKind::Silence, bytes)?;
        if !state.is_whole() {
            return Err(unreadable(ModelKind::Silence, "columns of different lengths".into()));
        }
        self.state = state;
        Ok(())
    }
}
