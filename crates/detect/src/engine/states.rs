//! The accumulators of one rule's open panes: state rows by pane and source partition, merged when
//! their number grows, so that memory is groups × panes (× source partitions where the order of
//! merging counts) and not chunks.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use sql::SqlError;

use super::limit::limited;
use crate::rules::Windowed;

/// Batches of one accumulator before they are merged into one.
const BATCHES_MAX: usize = 8;

/// By pane and source partition; the partition is 0 where merging is exact.
#[derive(Default)]
pub struct States {
    panes: BTreeMap<(i64, u32), Vec<RecordBatch>>,
}

// === impl States ===

impl States {
    /// Adds one message's state rows; how many groups went into `other`. On an error nothing has
    /// changed.
    pub fn add(
        &mut self,
        rule: &Windowed,
        pane_ms: i64,
        source: u32,
        state: RecordBatch,
    ) -> Result<u64, SqlError> {
        let source = if rule.cut.exact_merge() { 0 } else { source };
        let held = self.panes.entry((pane_ms, source)).or_default();
        let rows: usize = held.iter().map(RecordBatch::num_rows).sum();
        if held.len() < BATCHES_MAX && rows + state.num_rows() <= rule.groups_max {
            held.push(state);
            return Ok(0);
        }
        let mut all = held.clone();
        all.push(state);
        let merged = rule.cut.merge(&all)?;
        let (merged, others) = limited(&rule.cut, merged, rule.domain.group, rule.groups_max)?;
        *held = vec![merged];
        Ok(others)
    }

    pub fn first_pane(&self) -> Option<i64> {
        self.panes.keys().next().map(|(pane, _)| *pane)
    }

    /// All states of the panes of a window, in the order (source partition, pane).
    pub fn of_window(&self, start_ms: i64, end_ms: i64) -> Vec<RecordBatch> {
        let mut parts: Vec<_> = self.panes.range((start_ms, 0)..(end_ms, 0)).collect();
        parts.sort_by_key(|((pane, source), _)| (*source, *pane));
        parts.into_iter().flat_map(|(_, batches)| batches.iter().cloned()).collect()
    }

    /// Forgets panes that no window from `start_ms` on has.
    pub fn drop_before(&mut self, start_ms: i64) {
        self.panes = self.panes.split_off(&(start_ms, 0));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&(i64, u32), &Vec<RecordBatch>)> {
        self.panes.iter()
    }

    pub fn insert(&mut self, place: (i64, u32), batches: Vec<RecordBatch>) {
        self.panes.insert(place, batches);
    }
}
