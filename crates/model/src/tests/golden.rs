//! Golden samples: `schemas/golden/<schema>.arrow`, one message of every schema with every column,
//! filled, null and at its extremes. They are what readers in other languages are tested with, and
//! what was once written must decode for ever: when a schema grows, its sample stays.
//! `GANNET_GOLDEN=write cargo test --release -p model golden` makes those that are not there.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::ipc::{self, Limits};
use crate::schema::{self, TopicSchema};

/// What a row is filled by.
const SEEDS: [u64; 3] = [1, 2, EXTREME];

/// The largest value of each type.
const EXTREME: u64 = u64::MAX;

/// Any fixed instant: 2023-11-14 22:13:20 UTC.
const EPOCH_MS: i64 = 1_700_000_000_000;

#[test]
fn golden_samples_decode_to_what_was_written() {
    for (name, schema) in schema::all().iter().filter(|(_, schema)| schema.columns.is_none()) {
        let path = folder().join(format!("{name}.arrow"));
        let expected = sample(schema);
        if std::env::var_os("GANNET_GOLDEN").is_some() && !path.exists() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, ipc::encode(&expected).unwrap()).unwrap();
        }
        let payload = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let read = ipc::decode(&payload, Limits::default()).unwrap();
        let conformed = schema.conform(&read).unwrap();
        assert_eq!(conformed.num_columns(), schema.fields.len(), "{name}");
        for column in read.schema().fields() {
            let index = expected.schema().index_of(column.name()).unwrap();
            let (has, wanted) = (read.column_by_name(column.name()), expected.column(index));
            assert_eq!(has, Some(wanted), "{name}.{}", column.name());
        }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/golden")
}

/// One row filled, one null where it may be, one at the extremes.
fn sample(schema: &TopicSchema) -> RecordBatch {
    let fields = schema.arrow.fields();
    let columns = fields.iter().map(|field| filled(field, &cells(field, &SEEDS))).collect();
    RecordBatch::try_new(schema.arrow.clone(), columns).unwrap()
}

/// Every second cell of a nullable column is null.
fn cells(field: &Field, seeds: &[u64]) -> Vec<Option<u64>> {
    let is_null = |at: usize| field.is_nullable() && at % 2 == 1;
    seeds.iter().enumerate().map(|(at, seed)| (!is_null(at)).then_some(*seed)).collect()
}

fn filled(field: &Field, cells: &[Option<u64>]) -> ArrayRef {
    let each = || cells.iter().copied();
    match field.data_type() {
        DataType::Utf8 => {
            let text = |seed| format!("{} {}", field.name(), small(seed));
            Arc::new(StringArray::from_iter(each().map(|cell| cell.map(text))))
        }
        DataType::Boolean => {
            Arc::new(BooleanArray::from_iter(each().map(|cell| cell.map(|seed| seed % 2 == 1))))
        }
        DataType::UInt8 => Arc::new(UInt8Array::from_iter(each().map(|c| c.map(|s| s as u8)))),
        DataType::UInt16 => Arc::new(UInt16Array::from_iter(each().map(|c| c.map(|s| s as u16)))),
        DataType::UInt32 => Arc::new(UInt32Array::from_iter(each().map(|c| c.map(|s| s as u32)))),
        DataType::UInt64 => Arc::new(UInt64Array::from_iter(each())),
        DataType::Int64 => Arc::new(Int64Array::from_iter(each().map(|c| c.map(signed)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(each().map(|c| c.map(float)))),
        DataType::Binary => {
            let bytes: Vec<Option<Vec<u8>>> = each().map(|c| c.map(|s| bytes(s, 4))).collect();
            Arc::new(BinaryArray::from_iter(bytes))
        }
        DataType::FixedSizeBinary(width) => {
            let bytes = each().map(|cell| cell.map(|seed| bytes(seed, *width as usize)));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, *width).unwrap())
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let times = each().map(|cell| cell.map(|seed| EPOCH_MS + small(seed) as i64));
            let array = TimestampMillisecondArray::from_iter(times);
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::List(item) => list(item, cells),
        DataType::Struct(fields) => {
            let seeds: Vec<u64> = each().flatten().collect();
            let columns = fields.iter().map(|field| filled(field, &self::cells(field, &seeds)));
            Arc::new(StructArray::new(fields.clone(), columns.collect(), None))
        }
        other => panic!("no sample of the type {other}"),
    }
}

/// Lists of one, two and three items; no item is null.
fn list(item: &Arc<Field>, cells: &[Option<u64>]) -> ArrayRef {
    let lengths = cells.iter().map(|cell| cell.map_or(0, |seed| small(seed) as usize));
    let offsets = OffsetBuffer::from_lengths(lengths.clone());
    let seeds: Vec<Option<u64>> = (1..=lengths.sum::<usize>() as u64).map(Some).collect();
    let nulls = NullBuffer::from_iter(cells.iter().map(Option::is_some));
    Arc::new(ListArray::new(item.clone(), offsets, filled(item, &seeds), Some(nulls)))
}

/// A seed where the extreme would be unwieldy.
fn small(seed: u64) -> u64 {
    if seed == EXTREME { 3 } else { seed }
}

fn signed(seed: u64) -> i64 {
    if seed == EXTREME { i64::MIN } else { seed as i64 }
}

fn float(seed: u64) -> f64 {
    if seed == EXTREME { f64::MAX } else { seed as f64 + 0.5 }
}

fn bytes(seed: u64, width: usize) -> Vec<u8> {
    let last = if seed == EXTREME { 0xff } else { seed as u8 };
    (0..width).map(|at| if at + 1 == width { last } else { at as u8 }).collect()
}
