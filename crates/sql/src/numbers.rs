//! Group keys as numbers: 0 for the first key that was seen, 1 for the next. DataFusion's table of
//! several columns compares each of them through a trait object; an address and a domain of text
//! cost it more than all sums beside them (measured). Here a row costs one look-up of a number and
//! 16 bytes for each key column, and none where a column repeats its last value.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::RandomState;

/// Room for groups that a run has from the start, so that its table seldom grows.
const ROWS_PER_GROUP: usize = 8;
const GROUPS_AT_FIRST: usize = 16_384;

/// The numbers of one run.
pub(crate) struct Numbers {
    kinds: Vec<DataType>,
    steps: Vec<Step>,
    /// Of each batch, the keys that were new in it.
    found: Vec<Vec<ArrayRef>>,
    count: u32,
}

/// One key column: from the number of the columns before it and its value to a number of both.
#[derive(Default)]
struct Step {
    numbers: HashMap<Pair, u32, RandomState>,
    texts: HashMap<Box<[u8]>, u128, RandomState>,
    last: Option<(Pair, u32)>,
}

/// The number so far, and a value in two halves: with its number 32 bytes, since a table that does
/// not fit the cache is what a look-up costs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    low: u64,
    high: u64,
    before: u32,
    is_null: bool,
}

impl Pair {
    fn new(before: u32, value: Option<u128>) -> Pair {
        let known = value.unwrap_or(0);
        Pair { low: known as u64, high: (known >> 64) as u64, before, is_null: value.is_none() }
    }
}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Null and 0 of one group meet in one bucket, which `Eq` tells apart.
        state.write_u64(self.low ^ u64::from(self.before).rotate_left(32));
        state.write_u64(self.high);
    }
}

/// Whether numbers of such keys are right (equal bytes are equal values) and a gain: DataFusion's
/// table of one number is as fast.
pub(crate) fn are_worth_it(kinds: &[DataType]) -> bool {
    match kinds {
        [] => false,
        [one] if one.is_primitive() || *one == DataType::Boolean => false,
        kinds => kinds.iter().all(is_plain),
    }
}

fn is_plain(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8
            | DataType::Binary
            | DataType::FixedSizeBinary(16)
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(_, _)
    )
}

// === impl Numbers ===

impl Numbers {
    /// `rows` come in all.
    pub fn new(kinds: &[DataType], rows: usize) -> Numbers {
        let mut steps: Vec<Step> = kinds.iter().map(|_| Step::default()).collect();
        if let Some(last) = steps.last_mut() {
            last.numbers.reserve((rows / ROWS_PER_GROUP).min(GROUPS_AT_FIRST));
        }
        Numbers { kinds: kinds.to_vec(), steps, found: Vec::new(), count: 0 }
    }

    /// The number of each row's key.
    pub fn of(&mut self, keys: &[ArrayRef]) -> Result<UInt32Array, ArrowError> {
        let rows = keys.first().map_or(0, |column| column.len());
        let mut numbers = vec![0; rows];
        for (step, column) in self.steps.iter_mut().zip(keys) {
            step.fold(&mut numbers, column)?;
        }
        let mut new = Vec::new();
        for (row, &number) in numbers.iter().enumerate() {
            if number == self.count {
                self.count += 1;
                new.push(row as u32);
            }
        }
        if !new.is_empty() {
            let new = UInt32Array::from(new);
            let taken = keys.iter().map(|column| take(column, &new, None));
            self.found.push(taken.collect::<Result<_, _>>()?);
        }
        Ok(UInt32Array::from(numbers))
    }

    /// The columns of a batch whose first is numbers, with their keys in its place.
    pub fn in_place_of_first(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let key = |(at, kind): (usize, &DataType)| {
            let parts: Vec<&dyn Array> = self.found.iter().map(|of| of[at].as_ref()).collect();
            let all = match parts.is_empty() {
                true => new_empty_array(kind),
                false => concat(&parts)?,
            };
            take(&all, batch.column(0), None)
        };
        let mut columns = self.kinds.iter().enumerate().map(key).collect::<Result<Vec<_>, _>>()?;
        columns.extend(batch.columns()[1..].iter().cloned());
        Ok(columns)
    }
}

// === impl Step ===

impl Step {
    /// Replaces each number by that of it and this column's value.
    fn fold(&mut self, numbers: &mut [u32], column: &ArrayRef) -> Result<(), ArrowError> {
        match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                self.texts(numbers, texts.iter().map(|text| text.map(str::as_bytes)));
            }
            DataType::Binary => self.texts(numbers, column.as_binary::<i32>().iter()),
            DataType::FixedSizeBinary(16) => {
                let read = |bytes: &[u8]| bytes.try_into().map_or(0, u128::from_ne_bytes);
                let values = column.as_fixed_size_binary();
                match values.null_count() {
                    0 => {
                        let all = values.value_data().chunks_exact(16).take(values.len());
                        self.values(numbers, all.map(|bytes| Some(read(bytes))));
                    }
                    _ => self.values(numbers, values.iter().map(|v| v.map(read))),
                }
            }
            DataType::Boolean => {
                self.values(numbers, column.as_boolean().iter().map(|v| v.map(u128::from)));
            }
            DataType::Int8 => self.primitive::<Int8Type>(numbers, column, |v| v as u128),
            DataType::Int16 => self.primitive::<Int16Type>(numbers, column, |v| v as u128),
            DataType::Int32 => self.primitive::<Int32Type>(numbers, column, |v| v as u128),
            DataType::Int64 => self.primitive::<Int64Type>(numbers, column, |v| v as u128),
            DataType::UInt8 => self.primitive::<UInt8Type>(numbers, column, u128::from),
            DataType::UInt16 => self.primitive::<UInt16Type>(numbers, column, u128::from),
            DataType::UInt32 => self.primitive::<UInt32Type>(numbers, column, u128::from),
            DataType::UInt64 => self.primitive::<UInt64Type>(numbers, column, u128::from),
            DataType::Date32 => self.primitive::<Date32Type>(numbers, column, |v| v as u128),
            DataType::Date64 => self.primitive::<Date64Type>(numbers, column, |v| v as u128),
            DataType::Timestamp(unit, _) => self.timestamps(numbers, column, unit),
            other => {
                let message = format!("keys of {other} have no numbers");
                return Err(ArrowError::InvalidArgumentError(message));
            }
        }
        Ok(())
    }

    fn timestamps(&mut self, numbers: &mut [u32], column: &ArrayRef, unit: &TimeUnit) {
        let widen = |v: i64| v as u128;
        match unit {
            TimeUnit::Second => self.primitive::<TimestampSecondType>(numbers, column, widen),
            TimeUnit::Millisecond => {
                self.primitive::<TimestampMillisecondType>(numbers, column, widen);
            }
            TimeUnit::Microsecond => {
                self.primitive::<TimestampMicrosecondType>(numbers, column, widen);
            }
            TimeUnit::Nanosecond => {
                self.primitive::<TimestampNanosecondType>(numbers, column, widen);
            }
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        numbers: &mut [u32],
        column: &ArrayRef,
        widen: impl Fn(T::Native) -> u128,
    ) {
        self.values(numbers, column.as_primitive::<T>().iter().map(|value| value.map(&widen)));
    }

    fn values(&mut self, numbers: &mut [u32], values: impl Iterator<Item = Option<u128>>) {
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = self.number(Pair::new(*number, value));
        }
    }

    fn texts<'a>(&mut self, numbers: &mut [u32], texts: impl Iterator<Item = Option<&'a [u8]>>) {
        let mut last: Option<(&[u8], u128)> = None;
        for (number, text) in numbers.iter_mut().zip(texts) {
            let value = text.map(|text| match last {
                Some((same, value)) if same == text => value,
                _ => {
                    let value = self.text(text);
                    last = Some((text, value));
                    value
                }
            });
            *number = self.number(Pair::new(*number, value));
        }
    }

    fn text(&mut self, text: &[u8]) -> u128 {
        if let Some(value) = self.texts.get(text) {
            return *value;
        }
        let value = self.texts.len() as u128;
        self.texts.insert(text.into(), value);
        value
    }

    #[inline]
    fn number(&mut self, pair: Pair) -> u32 {
        if let Some((last, number)) = self.last
            && last == pair
        {
            return number;
        }
        let number = match self.numbers.get(&pair) {
            Some(number) => *number,
            None => {
                let next = self.numbers.len() as u32;
                self.numbers.insert(pair, next);
                next
            }
        };
        self.last = Some((pair, number));
        number
    }
}

/// The number column's place and type in a plan.
pub(crate) fn field() -> Arc<arrow::datatypes::Field> {
    Arc::new(arrow::datatypes::Field::new("group number", DataType::UInt32, false))
}

#[cfg(test)]
mod tests;
