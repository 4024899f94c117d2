//! State rows by partition, and the limit of groups: which groups stay is decided by a hash of
//! their keys, so that it does not depend on who came first; the rest becomes the group `other`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use bus::partition::{murmur2, partition};
use bytes::Bytes;
use model::addr;
use runtime::task::Place;
use sql::{CutPlan, SqlError};

use super::key::{OTHER, OTHER_ADDR, value_text};

/// The rows of each shard's partition.
pub fn by_shard(
    state: &RecordBatch,
    shard: &[usize],
    partitions: u32,
) -> Vec<(Place, RecordBatch)> {
    if shard.is_empty() {
        return vec![(Place::ByKey(Bytes::new()), state.clone())];
    }
    if let [one] = shard {
        let name = state.schema().field(*one).name().clone();
        let is_plain = matches!(
            state.column(*one).data_type(),
            DataType::Utf8 | DataType::FixedSizeBinary(_) | DataType::UInt32 | DataType::Int64
        );
        let only = state.schema().fields().iter().filter(|f| f.name() == &name).count() == 1;
        if is_plain && only {
            return vec![(Place::ByColumn(name), state.clone())];
        }
    }
    let mut rows_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in 0..state.num_rows() {
        let key = joined(state, shard, row);
        rows_of.entry(partition(key.as_bytes(), partitions)).or_default().push(row as u32);
    }
    let taken = rows_of.into_iter().map(|(to, rows)| {
        let rows = take_record_batch(state, &UInt32Array::from(rows));
        (Place::Fixed(to), rows.expect("rows are taken by indices of their batch"))
    });
    taken.collect()
}

fn joined(state: &RecordBatch, columns: &[usize], row: usize) -> String {
    let texts: Vec<String> =
        columns.iter().map(|&column| value_text(state.column(column).as_ref(), row)).collect();
    texts.join("\u{1f}")
}

/// At most `groups_max` groups of a state, and how many went into `other`. `domain` is the group
/// column that stays: no group of one domain hides in another's.
pub fn limited(
    cut: &CutPlan,
    state: RecordBatch,
    domain: usize,
    groups_max: usize,
) -> Result<(RecordBatch, u64), SqlError> {
    if state.num_rows() <= groups_max {
        return Ok((state, 0));
    }
    let groups: Vec<usize> = (0..cut.group_columns()).collect();
    let mut order: Vec<(u32, String, u32)> = (0..state.num_rows())
        .map(|row| {
            let key = joined(&state, &groups, row);
            (murmur2(key.as_bytes()), key, row as u32)
        })
        .collect();
    order.sort();
    let (kept, over) = order.split_at(groups_max);
    let take = |rows: &[(u32, String, u32)]| {
        let rows = UInt32Array::from_iter_values(rows.iter().map(|(_, _, row)| *row));
        take_record_batch(&state, &rows).map_err(|error| SqlError::State(error.to_string()))
    };
    let moved = over.len() as u64;
    let others = as_other(take(over)?, cut.group_columns(), domain)?;
    Ok((cut.merge(&[take(kept)?, others])?, moved))
}

fn as_other(rows: RecordBatch, groups: usize, domain: usize) -> Result<RecordBatch, SqlError> {
    let schema = rows.schema();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    for (at, column) in columns.iter_mut().enumerate().take(groups) {
        if at != domain {
            *column = other(column.data_type(), column.len());
        }
    }
    RecordBatch::try_new(schema, columns).map_err(|error| SqlError::State(error.to_string()))
}

fn other(kind: &DataType, rows: usize) -> ArrayRef {
    match kind {
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(OTHER, rows))),
        DataType::FixedSizeBinary(addr::WIDTH) => {
            let all = std::iter::repeat_n(OTHER_ADDR, rows);
            let all = FixedSizeBinaryArray::try_from_iter(all);
            all.map_or_else(|_| new_null_array(kind, rows), |all| Arc::new(all) as ArrayRef)
        }
        DataType::Boolean => Arc::new(BooleanArray::from(vec![None; rows])),
        kind => new_null_array(kind, rows),
    }
}
