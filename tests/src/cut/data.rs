//! Rows with everything that makes an aggregate differ between one run and twelve: NULLs, NaN, both
//! zeros, infinities, repeated values, extremes of integers, and groups of very unequal size.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const SOURCE: &str = "flows";
const ROWS: usize = 6_000;
const GROUPS: u32 = 40;

pub struct Data {
    batches: Vec<RecordBatch>,
}

/// For each source partition its chunks, each a few batches.
pub type Log = Vec<Vec<Vec<RecordBatch>>>;

impl Data {
    pub fn new(seed: u64) -> Data {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows = batch(&mut rng, ROWS);
        let batches = (0..ROWS).step_by(1_000).map(|at| rows.slice(at, 1_000.min(ROWS - at)));
        Data { batches: batches.collect() }
    }

    pub fn schema(&self) -> SchemaRef {
        self.batches[0].schema()
    }

    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The rows in order, each run of up to 60 rows to some partition, chunks of up to 6 runs.
    pub fn partitioned(&self, partitions: usize, seed: u64) -> Log {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ partitions as u64);
        let mut log: Log = vec![vec![]; partitions];
        for batch in &self.batches {
            let mut at = 0;
            while at < batch.num_rows() {
                let len = rng.random_range(1..=60).min(batch.num_rows() - at);
                let chunks = &mut log[rng.random_range(0..partitions)];
                let full = chunks.last().is_none_or(|chunk| chunk.len() >= 6);
                if full || rng.random_bool(0.2) {
                    chunks.push(vec![]);
                }
                let chunk = chunks.last_mut().expect("a chunk was pushed if there was none");
                chunk.push(batch.slice(at, len));
                at += len;
            }
        }
        log
    }
}

fn batch(rng: &mut ChaCha8Rng, rows: usize) -> RecordBatch {
    let mut column = |make: &mut dyn FnMut(&mut ChaCha8Rng) -> ArrayRef| make(rng);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", column(&mut |rng| Arc::new(Int64Array::from_iter_values(group(rng, rows))))),
        ("g", column(&mut |rng| Arc::new(StringArray::from_iter(words(rng, rows))))),
        ("dst", column(&mut |rng| addresses(rng, rows))),
        ("port", column(&mut |rng| Arc::new(UInt16Array::from_iter_values(ports(rng, rows))))),
        ("bytes", column(&mut |rng| Arc::new(Int64Array::from_iter(counts(rng, rows))))),
        (
            "packets",
            column(&mut |rng| {
                Arc::new(UInt64Array::from_iter_values(
                    (0..rows).map(|_| rng.random_range(1..5_000u64)),
                ))
            }),
        ),
        ("rate", column(&mut |rng| Arc::new(Float64Array::from_iter(rates(rng, rows))))),
        ("odd", column(&mut |rng| Arc::new(Float64Array::from_iter(odd_floats(rng, rows))))),
        (
            "x",
            column(&mut |rng| {
                Arc::new(Float64Array::from_iter_values(
                    (0..rows).map(|_| rng.random_range(1.0..1_000.0)),
                ))
            }),
        ),
        (
            "up",
            column(&mut |rng| {
                Arc::new(BooleanArray::from_iter(
                    (0..rows).map(|_| rng.random_bool(0.9).then(|| rng.random_bool(0.7))),
                ))
            }),
        ),
        (
            "at",
            column(&mut |rng| {
                Arc::new(TimestampMicrosecondArray::from_iter_values(
                    (0..rows).map(|_| 1_790_000_000_000_000 + rng.random_range(0..60_000_000i64)),
                ))
            }),
        ),
    ];
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable).expect("columns are of one length")
}

/// Half of all rows in the first group, the rest spread.
fn group(rng: &mut ChaCha8Rng, rows: usize) -> impl Iterator<Item = i64> {
    let of = move |rng: &mut ChaCha8Rng| match rng.random_bool(0.5) {
        true => 0,
        false => i64::from(rng.random_range(0..GROUPS)),
    };
    (0..rows).map(move |_| of(rng)).collect::<Vec<_>>().into_iter()
}

fn words(rng: &mut ChaCha8Rng, rows: usize) -> Vec<Option<String>> {
    let word = |rng: &mut ChaCha8Rng| match rng.random_range(0..10) {
        0 => None,
        1 => Some(String::new()),
        n => Some(format!("gru-{n}")),
    };
    (0..rows).map(|_| word(rng)).collect()
}

fn addresses(rng: &mut ChaCha8Rng, rows: usize) -> ArrayRef {
    let address = |rng: &mut ChaCha8Rng| {
        let mut bytes = [0u8; 16];
        if rng.random_bool(0.7) {
            bytes[10..12].fill(0xff);
            bytes[12..].copy_from_slice(&[10, rng.random_range(0..4), 0, rng.random_range(0..30)]);
        } else {
            bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            bytes[15] = rng.random_range(0..30);
        }
        bytes
    };
    let values = (0..rows).map(|_| rng.random_bool(0.98).then(|| address(rng)));
    let values: Vec<_> = values.collect();
    let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), 16);
    Arc::new(array.expect("each address has 16 bytes"))
}

fn ports(rng: &mut ChaCha8Rng, rows: usize) -> Vec<u16> {
    (0..rows).map(|_| [22, 53, 80, 443, 8_080][rng.random_range(0..5)]).collect()
}

/// Mostly small, some repeated, a few null or near the end of the type.
fn counts(rng: &mut ChaCha8Rng, rows: usize) -> Vec<Option<i64>> {
    let count = |rng: &mut ChaCha8Rng| match rng.random_range(0..100) {
        0..=4 => None,
        5..=29 => Some(1_500),
        30 => Some(-40),
        31 => Some(i64::MAX / 8_000),
        _ => Some(rng.random_range(40..100_000)),
    };
    (0..rows).map(|_| count(rng)).collect()
}

/// Positive, five orders of magnitude: sums of it depend on their order in the last bits.
fn rates(rng: &mut ChaCha8Rng, rows: usize) -> Vec<Option<f64>> {
    let rate = |rng: &mut ChaCha8Rng| 10f64.powf(rng.random_range(-2.0..3.0));
    (0..rows).map(|_| rng.random_bool(0.95).then(|| rate(rng))).collect()
}

fn odd_floats(rng: &mut ChaCha8Rng, rows: usize) -> Vec<Option<f64>> {
    let odd = |rng: &mut ChaCha8Rng| match rng.random_range(0..40) {
        0..=2 => None,
        3 => Some(f64::NAN),
        4 => Some(-f64::NAN),
        5 => Some(0.0),
        6 => Some(-0.0),
        7 => Some(f64::INFINITY),
        8 => Some(f64::NEG_INFINITY),
        9 => Some(f64::MIN_POSITIVE / 2.0),
        _ => Some(rng.random_range(-5..5) as f64 / 4.0),
    };
    (0..rows).map(|_| odd(rng)).collect()
}
