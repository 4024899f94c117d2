//! The life of a series' anomaly: open → worse → clear. It opens after so many windows in breach
//! and clears by so many points inside the band, never by missing points: silence is not health.

use model::rows::AnomalyKind;
use serde::{Deserialize, Serialize};

use super::{Stand, Verdict};

/// When an anomaly opens, gets worse and clears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hysteresis {
    /// Windows in breach, one after the other.
    pub open_after: u32,
    /// Points inside the band, one after the other.
    pub clear_after: u32,
    /// It is worse when its severity is this many times what was last said.
    pub worse_factor: f64,
}

/// One life a series, in columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lifecycle {
    breaches: Vec<u32>,
    insides: Vec<u32>,
    missing: Vec<u32>,
    /// Start of the window that opened it; `CLOSED` while there is none.
    opened_ms: Vec<i64>,
    reported: Vec<f64>,
}

const CLOSED: i64 = i64::MIN;

impl Lifecycle {
    pub fn grow(&mut self, series: usize) {
        if series > self.opened_ms.len() {
            self.breaches.resize(series, 0);
            self.insides.resize(series, 0);
            self.missing.resize(series, 0);
            self.opened_ms.resize(series, CLOSED);
            self.reported.resize(series, 0.0);
        }
    }

    pub fn forget(&mut self, slot: usize) {
        self.breaches[slot] = 0;
        self.insides[slot] = 0;
        self.missing[slot] = 0;
        self.opened_ms[slot] = CLOSED;
        self.reported[slot] = 0.0;
    }

    pub fn is_open(&self, slot: usize) -> bool {
        self.opened_ms[slot] != CLOSED
    }

    /// Start of the window that opened the slot's anomaly, while it is open.
    pub fn opened_ms(&self, slot: usize) -> Option<i64> {
        self.opened_ms.get(slot).copied().filter(|opened_ms| *opened_ms != CLOSED)
    }

    /// Takes up an anomaly that is open already. How bad it was said to be is not known any more,
    /// so it is not called worse.
    pub fn reopen(&mut self, slot: usize, opened_ms: i64) {
        self.forget(slot);
        self.opened_ms[slot] = opened_ms;
        self.reported[slot] = f64::INFINITY;
    }

    /// All columns have the same length: a restored state may be another program's.
    pub fn is_whole(&self) -> bool {
        let n = self.opened_ms.len();
        [self.breaches.len(), self.insides.len(), self.missing.len(), self.reported.len()]
            .iter()
            .all(|&length| length == n)
    }

    pub fn series(&self) -> usize {
        self.opened_ms.len()
    }

    /// Takes one point. What there is to say, and the window that opened the anomaly it is said of.
    pub fn step(
        &mut self,
        slot: usize,
        window_start_ms: i64,
        verdict: &Verdict,
        when: &Hysteresis,
    ) -> Option<(AnomalyKind, i64)> {
        match verdict.stand {
            Stand::Unknown => None,
            Stand::Missing => {
                self.pass(slot, when);
                None
            }
            Stand::Breach => self.breach(slot, window_start_ms, verdict.severity, when),
            Stand::Outside => {
                self.missing[slot] = 0;
                self.breaches[slot] = 0;
                self.insides[slot] = 0;
                None
            }
            Stand::Inside => self.inside(slot, when),
        }
    }

    /// A gap neither counts nor resets, until it is as long as the run that would open.
    fn pass(&mut self, slot: usize, when: &Hysteresis) {
        self.missing[slot] = self.missing[slot].saturating_add(1);
        if self.missing[slot] >= when.open_after {
            self.breaches[slot] = 0;
        }
    }

    fn breach(
        &mut self,
        slot: usize,
        window_start_ms: i64,
        severity: f64,
        when: &Hysteresis,
    ) -> Option<(AnomalyKind, i64)> {
        self.missing[slot] = 0;
        self.insides[slot] = 0;
        self.breaches[slot] = self.breaches[slot].saturating_add(1);
        if self.is_open(slot) {
            if severity >= self.reported[slot] * when.worse_factor {
                self.reported[slot] = severity;
                return Some((AnomalyKind::Worse, self.opened_ms[slot]));
            }
            return None;
        }
        if self.breaches[slot] < when.open_after {
            return None;
        }
        self.opened_ms[slot] = window_start_ms;
        self.reported[slot] = severity;
        Some((AnomalyKind::Open, window_start_ms))
    }

    fn inside(&mut self, slot: usize, when: &Hysteresis) -> Option<(AnomalyKind, i64)> {
        self.missing[slot] = 0;
        self.breaches[slot] = 0;
        if !self.is_open(slot) {
            return None;
        }
        self.insides[slot] += 1;
        if self.insides[slot] < when.clear_after {
            return None;
        }
        let opened_ms = self.opened_ms[slot];
        self.forget(slot);
        Some((AnomalyKind::Clear, opened_ms))
    }
}
