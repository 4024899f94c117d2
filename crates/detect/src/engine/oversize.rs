//! State rows that no message can carry: an exact `count(distinct)` grows with what it counts.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use sql::{row_bytes, state_bytes};

/// The rows of a state by whether one message can carry each.
pub struct BySize {
    pub fits: RecordBatch,
    /// One row each, with the bytes that it takes.
    pub over: Vec<(RecordBatch, usize)>,
}

/// Rows beyond `bytes_max` as a message of their own.
pub fn by_size(state: RecordBatch, bytes_max: usize) -> BySize {
    // Half of it is more than a schema and paddings take.
    let near = bytes_max / 2;
    if state_bytes(&state) <= near {
        return BySize { fits: state, over: Vec::new() };
    }
    let (mut kept, mut over) = (Vec::new(), Vec::new());
    for (row, bytes) in row_bytes(&state).into_iter().enumerate() {
        let at = UInt32Array::from(vec![row as u32]);
        let one = (bytes > near).then(|| take(&state, &at));
        match one.and_then(|one| Some((message_bytes(&one)?, one))) {
            Some((bytes, one)) if bytes > bytes_max => over.push((one, bytes)),
            _ => kept.push(row as u32),
        }
    }
    let fits = if over.is_empty() { state } else { take(&state, &UInt32Array::from(kept)) };
    BySize { fits, over }
}

fn take(batch: &RecordBatch, rows: &UInt32Array) -> RecordBatch {
    take_record_batch(batch, rows).expect("rows are taken by indices of their batch")
}

fn message_bytes(row: &RecordBatch) -> Option<usize> {
    model::ipc::encode(row).ok().map(|bytes| bytes.len())
}
