//! SYN flood on one destination: packets that carry SYN and not ACK, far more than the destination
//! and all others usually get, from many sources, hardly any of which completes a handshake.
//!
//! Four conditions must hold together, because each alone has an innocent cause: an absolute rate
//! (a small network's quirks), the share of traffic that is SYN only (a busy server has few), the
//! number of sources (a port scan has one), and more new flows than the destination usually has of
//! any kind (a server that is down makes its own clients' connections SYN only). What remains is
//! judged by its tail: against the destination's own past where it has one, against all
//! destinations otherwise, so that a victim unknown before the attack is judged too.

use serde::{Deserialize, Serialize};

use super::histogram::{BINS, bin_of, exponential};
use super::tail::Tail;
use super::{
    Finding, Hysteresis, Model, ModelKind, Points, Stand, StateError, Verdict, figure, load, save,
    unreadable,
};

/// Weight of a new window in what is usual: with windows every 5 s, ten minutes of memory.
const USUAL_WEIGHT: f64 = 1.0 / 120.0;
/// Windows after which a destination has a past of its own.
const OWN_HISTORY: f64 = 12.0;
/// What looks like a flood by itself is learned at this weight: an attack that runs while the model
/// starts does not become the norm.
const FLOOD_WEIGHT: f64 = 0.02;
/// The rate that stands at 10 on the histogram's scale is `rate_min`: 2.5 % of it upward are told
/// apart.
const RATE_MIN_AT: f64 = 10.0;
/// No destination's usual rate counts as less than this share of `rate_min`.
const USUAL_SHARE_MIN: f64 = 0.05;
/// What the exponential prior is worth, in points.
const PRIOR: f64 = 50.0;
const MEMORY: f64 = 1_048_576.0;

/// The rule's further columns: SYN-only flows, all flows, all packets, distinct sources.
const COLUMNS: [&str; 4] = ["syn_flows", "flows", "packets", "sources"];
const SYN_FLOWS: usize = 0;
const FLOWS: usize = 1;
const PACKETS: usize = 2;
const SOURCES: usize = 3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SynFloodParams {
    /// SYN-only packets per second below which nothing is a flood.
    pub rate_min: f64,
    /// Least share of SYN-only among the destination's flows or packets.
    pub share_min: f64,
    /// Least number of sources.
    pub sources_min: f64,
    /// SYN-only flows per second must be this many times what the destination usually has of flows.
    pub times_usual: f64,
    /// A window is a breach when it is no more probable than this.
    pub tail: f64,
    /// Time after the first window before the model speaks.
    pub history_s: u32,
    /// Windows inside the band that clear it.
    pub clear: u32,
}

impl Default for SynFloodParams {
    fn default() -> SynFloodParams {
        SynFloodParams {
            rate_min: 100.0,
            share_min: 0.5,
            sources_min: 16.0,
            times_usual: 3.0,
            tail: 1e-3,
            history_s: 60,
            clear: 4,
        }
    }
}

pub struct SynFlood {
    params: SynFloodParams,
    window_s: f64,
    state: State,
}

#[derive(Serialize, Deserialize)]
struct State {
    first_ms: Option<i64>,
    /// Usual SYN-only packets per second, and usual flows per second, of each destination.
    rate: Vec<f64>,
    flows: Vec<f64>,
    seen: Vec<f64>,
    /// SYN-only rates of all destinations.
    all: Vec<f32>,
    total: f64,
}

/// One destination's window, per second.
#[derive(Clone, Copy)]
struct Point {
    rate: f64,
    flow_rate: f64,
    syn_flow_rate: f64,
    share: f64,
    sources: f64,
}

// === impl SynFlood ===

impl SynFlood {
    pub fn new(params: SynFloodParams, window_ms: i64) -> SynFlood {
        let state = State {
            first_ms: None,
            rate: Vec::new(),
            flows: Vec::new(),
            seen: Vec::new(),
            all: exponential(PRIOR),
            total: PRIOR,
        };
        SynFlood { params, window_s: window_ms.max(1) as f64 / 1000.0, state }
    }

    fn point(&self, value: f64, column: impl Fn(usize) -> f64) -> Point {
        let known = |x: f64| if x.is_finite() { x } else { 0.0 };
        let part = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let (syn_flows, flows) = (known(column(SYN_FLOWS)), known(column(FLOWS)));
        let by_packets = part(value, known(column(PACKETS)));
        Point {
            rate: value / self.window_s,
            flow_rate: flows / self.window_s,
            syn_flow_rate: syn_flows / self.window_s,
            share: part(syn_flows, flows).max(by_packets).min(1.0),
            sources: known(column(SOURCES)),
        }
    }

    /// All that makes a flood but its improbability.
    fn looks_like_one(&self, slot: usize, point: &Point) -> bool {
        let p = &self.params;
        let enough = point.rate >= p.rate_min && point.sources >= p.sources_min;
        let new_flows = point.syn_flow_rate >= p.times_usual * self.usual_flows(slot);
        enough && point.share >= p.share_min && new_flows
    }

    fn usual_flows(&self, slot: usize) -> f64 {
        if self.has_past(slot) { self.state.flows[slot] } else { 0.0 }
    }

    fn usual_rate(&self, slot: usize) -> f64 {
        let least = USUAL_SHARE_MIN * self.params.rate_min;
        if self.has_past(slot) { self.state.rate[slot].max(least) } else { least }
    }

    fn has_past(&self, slot: usize) -> bool {
        self.state.seen[slot] >= OWN_HISTORY
    }

    fn scaled(&self, rate: f64) -> f64 {
        rate * RATE_MIN_AT / self.params.rate_min
    }

    /// The larger of both tails: it must be unusual for the destination and among all.
    fn probability(&self, slot: usize, rate: f64) -> f64 {
        let tail = Tail { counts: &self.state.all, total: self.state.total };
        let among_all = tail.beyond(self.scaled(rate));
        let own = (-rate / self.usual_rate(slot)).exp();
        if self.has_past(slot) { among_all.max(own) } else { among_all }
    }

    /// The least rate that would be evidence.
    fn upper(&self, slot: usize) -> f64 {
        let by_tail = -self.params.tail.ln() * self.usual_rate(slot);
        self.params.rate_min.max(by_tail)
    }

    fn judge_one(&self, slot: usize, point: &Point, usable: bool) -> Verdict {
        if point.rate.is_nan() {
            return Verdict::bare(Stand::Missing);
        }
        if !usable {
            return Verdict::bare(Stand::Unknown);
        }
        let probability = self.probability(slot, point.rate);
        let flood = self.looks_like_one(slot, point) && probability <= self.params.tail;
        let upper = self.upper(slot);
        let stand = match flood {
            true => Stand::Breach,
            false if point.rate >= 0.5 * upper && point.share >= self.params.share_min => {
                Stand::Outside
            }
            false => Stand::Inside,
        };
        let usual = if self.has_past(slot) { self.state.rate[slot] } else { 0.0 };
        Verdict {
            stand,
            expected: usual * self.window_s,
            lower: 0.0,
            upper: upper * self.window_s,
            score: -probability.max(1e-300).log10(),
            severity: point.rate,
        }
    }

    fn learn(&mut self, slot: usize, point: &Point, open: bool) {
        if point.rate.is_nan() {
            return;
        }
        let flood = open || self.looks_like_one(slot, point);
        let weight = if flood { FLOOD_WEIGHT } else { 1.0 };
        let bin = bin_of(self.scaled(point.rate));
        let state = &mut self.state;
        state.all[bin] += weight as f32;
        state.total += weight;
        if state.total >= MEMORY {
            state.all.iter_mut().for_each(|count| *count *= 0.5);
            state.total *= 0.5;
        }
        // The first window of a destination says all that is known of it, unless it is a flood.
        let fresh = if flood { 0.0 } else { 1.0 / (state.seen[slot] + 1.0) };
        let rate = weight * USUAL_WEIGHT.max(fresh);
        state.rate[slot] += rate * (point.rate - state.rate[slot]);
        state.flows[slot] += rate * (point.flow_rate - state.flows[slot]);
        state.seen[slot] += weight;
    }
}

impl Model for SynFlood {
    fn kind(&self) -> ModelKind {
        ModelKind::SynFlood
    }

    fn hysteresis(&self) -> Hysteresis {
        Hysteresis { open_after: 1, clear_after: self.params.clear, worse_factor: 2.0 }
    }

    fn columns(&self) -> Vec<String> {
        COLUMNS.iter().map(|&name| name.to_owned()).collect()
    }

    fn grow(&mut self, series: usize) {
        let state = &mut self.state;
        if series > state.seen.len() {
            for column in [&mut state.rate, &mut state.flows, &mut state.seen] {
                column.resize(series, 0.0);
            }
        }
    }

    fn forget(&mut self, slot: usize) {
        let state = &mut self.state;
        for column in [&mut state.rate, &mut state.flows, &mut state.seen] {
            column[slot] = 0.0;
        }
    }

    fn judge(&mut self, points: &Points<'_>, verdicts: &mut Vec<Verdict>) {
        let first_ms = *self.state.first_ms.get_or_insert(points.window.start_ms);
        let history_ms = i64::from(self.params.history_s) * 1000;
        let usable = points.window.end_ms.saturating_sub(first_ms) > history_ms;
        let all: Vec<Point> = (0..points.slots.len())
            .map(|i| self.point(points.values[i], |column| points.columns[column][i]))
            .collect();
        let slots = || points.slots.iter().map(|&slot| slot as usize);
        verdicts.extend(slots().zip(&all).map(|(slot, p)| self.judge_one(slot, p, usable)));
        for (i, (slot, point)) in slots().zip(&all).enumerate() {
            self.learn(slot, point, points.open[i]);
        }
    }

    fn why(&self, finding: &Finding<'_>) -> String {
        let point = self.point(finding.value, |column| {
            finding.columns.get(column).copied().unwrap_or(f64::NAN)
        });
        let usual = finding.verdict.expected / self.window_s;
        format!(
            "SYN flood: {} packets/s with SYN and no ACK from about {} sources, usually {}/s; \
             {:.0} % of its TCP traffic opens no connection",
            figure(point.rate),
            figure(point.sources.round()),
            figure(usual),
            100.0 * point.share,
        )
    }

    fn save(&self) -> Result<Vec<u8>, StateError> {
        save(ModelKind::SynFlood, &self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let state: State = load(ModelKind::SynFlood, bytes)?;
        let series = state.seen.len();
        let whole = state.rate.len() == series && state.flows.len() == series;
        if !whole || state.all.len() != BINS {
            return Err(unreadable(ModelKind::SynFlood, "columns of different lengths".into()));
        }
        self.state = state;
        Ok(())
    }
}
