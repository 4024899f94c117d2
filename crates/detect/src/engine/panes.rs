//! A chunk's rows by pane. Most messages lie in one pane and are passed on as they are.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;

use crate::rules::WindowSpec;

/// Rows of one message that lie in one pane.
pub struct Part {
    /// Which message of the chunk.
    pub message: usize,
    pub rows: Rows,
    pub batch: RecordBatch,
}

pub enum Rows {
    All(u32),
    Some(UInt32Array),
}

// === impl Rows ===

impl Rows {
    pub fn to_vec(&self) -> Vec<u32> {
        match self {
            Rows::All(rows) => (0..*rows).collect(),
            Rows::Some(rows) => rows.values().to_vec(),
        }
    }
}

/// The parts of each pane, in the order of their messages.
pub fn split(
    messages: &[(RecordBatch, Vec<i64>)],
    window: &WindowSpec,
) -> Result<BTreeMap<i64, Vec<Part>>, ArrowError> {
    let mut panes: BTreeMap<i64, Vec<Part>> = BTreeMap::new();
    for (message, (batch, times)) in messages.iter().enumerate() {
        let (Some(&least), Some(&most)) = (times.iter().min(), times.iter().max()) else {
            continue;
        };
        if window.pane_of(least) == window.pane_of(most) {
            let rows = Rows::All(batch.num_rows() as u32);
            let part = Part { message, rows, batch: batch.clone() };
            panes.entry(window.pane_of(least)).or_default().push(part);
            continue;
        }
        let mut rows_of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, &time) in times.iter().enumerate() {
            rows_of.entry(window.pane_of(time)).or_default().push(row as u32);
        }
        for (pane, rows) in rows_of {
            let rows = UInt32Array::from(rows);
            let batch = take_record_batch(batch, &rows)?;
            panes.entry(pane).or_default().push(Part { message, rows: Rows::Some(rows), batch });
        }
    }
    Ok(panes)
}
