//! The series of one rule: which keys are known, where their models' states are, when they were
//! last seen. Slots of forgotten series are given to new ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Domain and key.
pub type SeriesKey = (String, String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    pub slot: u32,
    /// Start of the last window with a row of it.
    pub seen_ms: i64,
    pub entity: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesTable {
    series: BTreeMap<SeriesKey, Series>,
    free: Vec<u32>,
    slots: u32,
}

/// A series that was forgotten: its slot is another's from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    pub key: SeriesKey,
    pub series: Series,
    pub why: Forgotten,
}

/// Why a series was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Not seen for as many windows as the rule says.
    Absent,
    /// Not in this window, and there were too many.
    Limit,
}

// === impl Forgotten ===

impl Forgotten {
    pub fn as_str(self) -> &'static str {
        match self {
            Forgotten::Absent => "absent",
            Forgotten::Limit => "limit",
        }
    }
}

// === impl SeriesTable ===

impl SeriesTable {
    /// The slot of a series that this window has, a new one if need be.
    pub fn see(&mut self, key: SeriesKey, seen_ms: i64, entity: Option<String>) -> u32 {
        if let Some(series) = self.series.get_mut(&key) {
            series.seen_ms = seen_ms;
            return series.slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.series.insert(key, Series { slot, seen_ms, entity });
        slot
    }

    pub fn slot(&self, key: &SeriesKey) -> Option<u32> {
        self.series.get(key).map(|series| series.slot)
    }

    /// Forgets what was last seen before `before_ms`, then absent ones while there are more than
    /// `max`; in the order of keys.
    pub fn forget(&mut self, before_ms: i64, now_ms: i64, max: usize) -> Vec<Gone> {
        let mut gone = Vec::new();
        let mut over = self.series.len().saturating_sub(max);
        self.series.retain(|key, series| {
            let why = match series.seen_ms {
                seen if seen < before_ms => Forgotten::Absent,
                seen if seen < now_ms && over > 0 => Forgotten::Limit,
                _ => return true,
            };
            over = over.saturating_sub(1);
            gone.push(Gone { key: key.clone(), series: series.clone(), why });
            false
        });
        // The lowest free slot is given first: a function of the input alone.
        self.free.extend(gone.iter().map(|gone: &Gone| gone.series.slot));
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        gone
    }

    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &Series)> {
        self.series.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Slots ever given: how many states each model has room for.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Each slot once, as given: a restored table may be another program's.
    pub fn is_whole(&self) -> bool {
        let used = self.series.values().map(|series| series.slot);
        let mut all: Vec<u32> = used.chain(self.free.iter().copied()).collect();
        all.sort_unstable();
        all.len() == self.slots() && all.iter().enumerate().all(|(at, slot)| at == *slot as usize)
    }
}
