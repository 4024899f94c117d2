//! Splitting a batch: first by the partition of each row, then by rows and bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, max, min, take_record_batch};
use arrow::datatypes::{
    DataType, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use model::ipc;

use super::{FrameError, Framed, Outgoing, Refused, Time, Where};
use crate::config::LimitsConfig;
use crate::partition::{partition, spread};
use crate::record::OutRecord;

/// The rows of each partition that has some; a batch of no rows goes to one partition whole.
pub fn by_partition(
    outgoing: &Outgoing,
    partitions: u32,
) -> Result<Vec<(u32, RecordBatch)>, FrameError> {
    let whole = |to| Ok(vec![(to, outgoing.batch.clone())]);
    let column = match &outgoing.to {
        Where::Fixed(to) if *to < partitions => return whole(*to),
        Where::Fixed(to) => {
            let topic = outgoing.topic.to_string();
            return Err(FrameError::Partition { topic, partition: *to, partitions });
        }
        Where::Spread(seed) => return whole(spread(*seed, partitions)),
        Where::ByColumn(column) => column,
    };
    let rows_of = rows_by_partition(outgoing, column, partitions)?;
    let mut pieces = Vec::new();
    for (to, rows) in rows_of.into_iter().enumerate() {
        let to = u32::try_from(to).expect("there are u32 partitions");
        if rows.len() == outgoing.batch.num_rows() && !rows.is_empty() {
            return whole(to);
        }
        if !rows.is_empty() {
            let taken = take_record_batch(&outgoing.batch, &UInt32Array::from(rows));
            pieces.push((to, taken.map_err(|source| split_error(outgoing, source))?));
        }
    }
    if pieces.is_empty() { whole(0) } else { Ok(pieces) }
}

fn rows_by_partition(
    outgoing: &Outgoing,
    column: &str,
    partitions: u32,
) -> Result<Vec<Vec<u32>>, FrameError> {
    let values = plain_column(outgoing, column)?;
    let mut rows_of = vec![Vec::new(); partitions.max(1) as usize];
    let mut put = |row: usize, key: &[u8]| {
        let to = partition(key, partitions) as usize;
        rows_of[to].push(u32::try_from(row).expect("a batch has u32 rows"));
    };
    macro_rules! each {
        ($array:expr, $bytes:expr) => {{
            let array = $array;
            for (row, value) in array.iter().enumerate() {
                match value {
                    #[allow(clippy::redundant_closure_call)]
                    Some(value) => put(row, ($bytes)(value).as_ref()),
                    None => put(row, &[]),
                }
            }
        }};
    }
    match values.data_type() {
        DataType::Utf8 => each!(values.as_string::<i32>(), str::as_bytes),
        DataType::LargeUtf8 => each!(values.as_string::<i64>(), str::as_bytes),
        DataType::Utf8View => each!(values.as_string_view(), str::as_bytes),
        DataType::Binary => each!(values.as_binary::<i32>(), as_it_is),
        DataType::BinaryView => each!(values.as_binary_view(), as_it_is),
        DataType::FixedSizeBinary(_) => each!(values.as_fixed_size_binary(), as_it_is),
        DataType::UInt8 => each!(values.as_primitive::<UInt8Type>(), u8::to_be_bytes),
        DataType::UInt16 => each!(values.as_primitive::<UInt16Type>(), u16::to_be_bytes),
        DataType::UInt32 => each!(values.as_primitive::<UInt32Type>(), u32::to_be_bytes),
        DataType::UInt64 => each!(values.as_primitive::<UInt64Type>(), u64::to_be_bytes),
        DataType::Int16 => each!(values.as_primitive::<Int16Type>(), i16::to_be_bytes),
        DataType::Int32 => each!(values.as_primitive::<Int32Type>(), i32::to_be_bytes),
        DataType::Int64 => each!(values.as_primitive::<Int64Type>(), i64::to_be_bytes),
        other => return Err(wrong_type(outgoing, column, other, "key to partition by")),
    }
    Ok(rows_of)
}

/// A closure would have to promise one lifetime for all values.
fn as_it_is(bytes: &[u8]) -> &[u8] {
    bytes
}

/// A column with dictionaries resolved.
fn plain_column(outgoing: &Outgoing, name: &str) -> Result<ArrayRef, FrameError> {
    let column = outgoing.batch.column_by_name(name).ok_or_else(|| FrameError::NoColumn {
        topic: outgoing.topic.to_string(),
        column: name.to_owned(),
    })?;
    match column.data_type() {
        DataType::Dictionary(_, value) => {
            cast(column, value).map_err(|source| split_error(outgoing, source))
        }
        _ => Ok(Arc::clone(column)),
    }
}

/// Messages of the rows of one partition, as few as the limits allow.
pub fn by_size(
    outgoing: &Outgoing,
    partition: u32,
    batch: RecordBatch,
    whole: bool,
    limits: &LimitsConfig,
    framed: &mut Framed,
) -> Result<(), FrameError> {
    // A stack of slices, the next on top: halves of what was too large come before the rest.
    let mut todo = if whole { vec![batch] } else { even_slices(&batch, limits) };
    while let Some(slice) = todo.pop() {
        let slice = own_views(&slice).map_err(|source| split_error(outgoing, source))?;
        let payload = ipc::encode(&slice)
            .map_err(|source| FrameError::Encode { topic: outgoing.topic.to_string(), source })?;
        let rows = slice.num_rows();
        if payload.len() > limits.bytes_aim && rows > 1 && !whole {
            let half = rows / 2;
            todo.push(slice.slice(half, rows - half));
            todo.push(slice.slice(0, half));
            continue;
        }
        if payload.len() > limits.bytes_max {
            framed.refused.push(Refused { partition, row: slice, bytes: payload.len() });
            continue;
        }
        let record = message(outgoing, partition, &slice, payload, framed.records.len())?;
        framed.records.push(record);
    }
    Ok(())
}

/// Slices of about the same rows, in reverse, each within the rows and probably within the bytes.
fn even_slices(batch: &RecordBatch, limits: &LimitsConfig) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    if rows == 0 {
        return vec![batch.clone()];
    }
    let bytes: usize = batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum();
    let pieces = rows
        .div_ceil(limits.rows_max.max(1))
        .max(bytes.div_ceil(limits.bytes_aim.max(1)))
        .clamp(1, rows);
    let size = rows.div_ceil(pieces);
    let starts = (0..rows).step_by(size);
    let mut slices: Vec<RecordBatch> =
        starts.map(|start| batch.slice(start, size.min(rows - start))).collect();
    slices.reverse();
    slices
}

/// A slice of a view column still points at all the bytes of the whole: copy what it uses.
fn own_views(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let is_view =
        |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let own = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        }
    };
    let columns = batch.columns().iter().map(own).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn message(
    outgoing: &Outgoing,
    partition: u32,
    batch: &RecordBatch,
    payload: bytes::Bytes,
    index: usize,
) -> Result<OutRecord, FrameError> {
    let (min_ts_ms, max_ts_ms) = times(outgoing, batch)?;
    let mut meta = outgoing.meta.clone();
    meta.rows = u32::try_from(batch.num_rows()).expect("a message has at most rows_max rows");
    meta.min_ts_ms = min_ts_ms;
    meta.max_ts_ms = max_ts_ms;
    meta.name.index += u32::try_from(index).expect("a batch makes fewer than u32 messages");
    Ok(OutRecord {
        topic: Arc::clone(&outgoing.topic),
        partition,
        timestamp_ms: max_ts_ms,
        key: outgoing.key.clone(),
        headers: meta.headers(),
        payload: Some(payload),
    })
}

/// The least and the largest time of the rows; without rows (or times) what the headers said.
fn times(outgoing: &Outgoing, batch: &RecordBatch) -> Result<(i64, i64), FrameError> {
    let name = match &outgoing.time {
        Time::At(ms) => return Ok((*ms, *ms)),
        Time::Between(least, largest) => return Ok((*least, *largest)),
        Time::Column(name) => name,
    };
    let Some(column) = batch.column_by_name(name) else {
        let (topic, column) = (outgoing.topic.to_string(), name.clone());
        return Err(FrameError::NoColumn { topic, column });
    };
    let (least, largest) = match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let times = column.as_primitive::<TimestampMillisecondType>();
            (min(times), max(times))
        }
        DataType::Int64 => {
            let times = column.as_primitive::<Int64Type>();
            (min(times), max(times))
        }
        other => return Err(wrong_type(outgoing, name, other, "time in milliseconds")),
    };
    let meta = &outgoing.meta;
    Ok((least.unwrap_or(meta.min_ts_ms), largest.unwrap_or(meta.max_ts_ms)))
}

fn split_error(outgoing: &Outgoing, source: arrow::error::ArrowError) -> FrameError {
    FrameError::Split { topic: outgoing.topic.to_string(), source }
}

fn wrong_type(
    outgoing: &Outgoing,
    column: &str,
    found: &DataType,
    wanted: &'static str,
) -> FrameError {
    FrameError::Column {
        topic: outgoing.topic.to_string(),
        column: column.to_owned(),
        found: found.to_string(),
        wanted,
    }
}
