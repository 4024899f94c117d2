//! Columns from rows: one small function a type, so that a row's `to_batch` reads as its schema.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray,
    StructArray, TimestampMillisecondArray, UInt8Array, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};

use super::anomaly::Contributor;
use crate::schema::{SchemaError, TopicSchema};
use crate::schema_file;

pub fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values.map(Some)))
}

pub fn text_or_null<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

pub fn float(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

pub fn float_values(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values.map(Some)))
}

pub fn boolean(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values.map(Some)))
}

pub fn uint8(values: impl Iterator<Item = Option<u8>>) -> ArrayRef {
    Arc::new(UInt8Array::from_iter(values))
}

pub fn uint32(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter(values.map(Some)))
}

pub fn time(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(values.map(Some)).with_timezone("UTC"))
}

pub fn time_or_null(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(values).with_timezone("UTC"))
}

/// A list column out of the concatenated items of all rows; a row without items is null.
pub fn list(fields: Fields, lengths: &[usize], items: Vec<ArrayRef>) -> ArrayRef {
    let nulls = NullBuffer::from_iter(lengths.iter().map(|&length| length > 0));
    lists(fields, lengths, items, Some(nulls))
}

/// As `list`, for a column without nulls: a row without items is an empty list.
pub fn list_of_all(fields: Fields, lengths: &[usize], items: Vec<ArrayRef>) -> ArrayRef {
    lists(fields, lengths, items, None)
}

fn lists(
    fields: Fields,
    lengths: &[usize],
    items: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    let values = Arc::new(StructArray::new(fields, items, None));
    Arc::new(ListArray::new(item, offsets, values, nulls))
}

/// A list of numbers a row; a row without any is null.
pub fn floats(rows: &[&[Option<f64>]]) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
    let nulls = NullBuffer::from_iter(rows.iter().map(|row| !row.is_empty()));
    let values = float(rows.iter().flat_map(|row| row.iter().copied()));
    Arc::new(ListArray::new(item, offsets, values, Some(nulls)))
}

pub fn contributors(rows: &[&[Contributor]]) -> ArrayRef {
    let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let all = || rows.iter().flat_map(|row| row.iter());
    let items = vec![
        text(all().map(|c| c.name.as_str())),
        float_values(all().map(|c| c.weight)),
        float_values(all().map(|c| c.share)),
    ];
    list(schema_file::contributor(), &lengths, items)
}

pub fn batch(
    schema: &TopicSchema,
    rows: usize,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, SchemaError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.arrow.clone(), columns, &options)
        .map_err(|e| schema.bad(&e))
}
