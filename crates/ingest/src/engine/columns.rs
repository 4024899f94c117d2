//! Flow columns while they grow. A column may lag behind the batch: rows that nobody wrote are
//! null, so a template costs nothing for the columns that it does not have. Which rows have a value
//! is kept as runs, since a data set writes all of its rows or none.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanBufferBuilder, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    StringArray, UInt32Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, TimestampMillisecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

/// Rows of a batch that have a value: first row and count, rising, not touching.
#[derive(Clone, Debug, Default)]
struct Runs(Vec<(usize, usize)>);

/// One column of fixed width.
#[derive(Clone, Debug)]
pub struct Column<T> {
    values: Vec<T>,
    runs: Runs,
}

/// MPLS label stacks.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    values: Vec<u32>,
    ends: Vec<i32>,
    runs: Runs,
}

/// Bytes of any length.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    values: Vec<u8>,
    ends: Vec<i32>,
    runs: Runs,
}

// === impl Runs ===

impl Runs {
    fn add(&mut self, row: usize, n: usize) {
        if n == 0 {
            return;
        }
        match self.0.last_mut() {
            Some((start, len)) if *start + *len == row => *len += n,
            _ => self.0.push((row, n)),
        }
    }

    fn holds(&self, row: usize) -> bool {
        self.0.iter().rev().find(|(start, _)| *start <= row).is_some_and(|(s, n)| row < s + n)
    }

    /// `None` where all rows have a value.
    fn nulls(&self, rows: usize) -> Option<NullBuffer> {
        if self.0.as_slice() == [(0, rows)] {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new(rows);
        for &(start, len) in &self.0 {
            bits.append_n(start - bits.len(), false);
            bits.append_n(len, true);
        }
        bits.append_n(rows - bits.len(), false);
        Some(NullBuffer::new(bits.finish()))
    }
}

// === impl Column ===

impl<T> Default for Column<T> {
    fn default() -> Column<T> {
        Column { values: Vec::new(), runs: Runs::default() }
    }
}

impl<T: Copy + Default> Column<T> {
    pub fn is_empty(&self) -> bool {
        self.runs.0.is_empty()
    }

    fn reach(&mut self, row: usize) {
        if self.values.len() < row {
            self.values.resize(row, T::default());
        }
    }

    /// Values of the rows from `row` on, which is at or after the last row written.
    #[inline]
    pub fn extend(&mut self, row: usize, values: impl ExactSizeIterator<Item = T>) {
        self.reach(row);
        self.runs.add(row, values.len());
        self.values.extend(values);
    }

    pub fn fill(&mut self, row: usize, n: usize, value: T) {
        self.reach(row);
        self.runs.add(row, n);
        self.values.resize(row + n, value);
    }

    /// Writes one row: the next, or one that already has a value.
    pub fn put(&mut self, row: usize, value: T) {
        if row < self.values.len() {
            if self.runs.holds(row) {
                self.values[row] = value;
            }
            return;
        }
        self.fill(row, 1, value);
    }

    pub fn get(&self, row: usize) -> Option<T> {
        if self.runs.holds(row) { self.values.get(row).copied() } else { None }
    }

    /// The rows from `row` on, if the last run holds all of them.
    pub fn tail(&self, row: usize) -> Option<&[T]> {
        let (start, _) = self.runs.0.last()?;
        if *start <= row { self.values.get(row..) } else { None }
    }

    pub fn tail_mut(&mut self, row: usize) -> &mut [T] {
        let from = row.min(self.values.len());
        &mut self.values[from..]
    }

    fn take(&mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        self.reach(rows);
        let nulls = self.runs.nulls(rows);
        self.runs.0.clear();
        let fresh = Vec::with_capacity(self.values.len());
        (std::mem::replace(&mut self.values, fresh), nulls)
    }
}

fn primitive<P: ArrowPrimitiveType>(values: Vec<P::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<P>::new(ScalarBuffer::from(values), nulls))
}

impl Column<u8> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        primitive::<UInt8Type>(values, nulls)
    }
}

impl Column<u16> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        primitive::<UInt16Type>(values, nulls)
    }
}

impl Column<u32> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        primitive::<UInt32Type>(values, nulls)
    }
}

impl Column<u64> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        primitive::<UInt64Type>(values, nulls)
    }
}

impl Column<i64> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        let values = ScalarBuffer::from(values);
        let times = PrimitiveArray::<TimestampMillisecondType>::new(values, nulls);
        Arc::new(times.with_timezone("UTC"))
    }

    /// Least and largest value written.
    pub fn range(&self) -> Option<(i64, i64)> {
        Some((*self.values.iter().min()?, *self.values.iter().max()?))
    }
}

/// Addresses are kept as the native number over their 16 bytes in network order.
impl Column<i128> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        Arc::new(FixedSizeBinaryArray::new(16, Buffer::from_vec(values), nulls))
    }
}

impl Column<[u8; 6]> {
    pub fn array(&mut self, rows: usize) -> ArrayRef {
        let (values, nulls) = self.take(rows);
        let bytes = Buffer::from_slice_ref(values.as_flattened());
        Arc::new(FixedSizeBinaryArray::new(6, bytes, nulls))
    }
}

// === impl Labels ===

/// Ends of a list column's rows: a row without one ends where the row before did.
fn reach(ends: &mut Vec<i32>, rows: usize, at: usize) {
    if ends.len() < rows {
        ends.resize(rows, i32::try_from(at).unwrap_or(i32::MAX));
    }
}

fn offsets(ends: &[i32]) -> OffsetBuffer<i32> {
    let mut all = Vec::with_capacity(ends.len() + 1);
    all.push(0);
    all.extend_from_slice(ends);
    OffsetBuffer::new(ScalarBuffer::from(all))
}

impl Labels {
    pub fn is_empty(&self) -> bool {
        self.runs.0.is_empty()
    }

    /// The stack of one row, which comes after all rows written. An empty stack is null.
    pub fn push(&mut self, row: usize, stack: &[u32]) {
        if stack.is_empty() {
            return;
        }
        reach(&mut self.ends, row, self.values.len());
        self.values.extend_from_slice(stack);
        reach(&mut self.ends, row + 1, self.values.len());
        self.runs.add(row, 1);
    }

    pub fn array(&mut self, rows: usize, field: &DataType) -> ArrayRef {
        reach(&mut self.ends, rows, self.values.len());
        let nulls = self.runs.nulls(rows);
        let item = match field {
            DataType::List(item) => item.clone(),
            _ => Arc::new(Field::new_list_field(DataType::UInt32, true)),
        };
        let values = Arc::new(UInt32Array::from(std::mem::take(&mut self.values)));
        let list = ListArray::new(item, offsets(&self.ends), values, nulls);
        *self = Labels::default();
        Arc::new(list)
    }
}

// === impl Bytes ===

impl Bytes {
    pub fn is_empty(&self) -> bool {
        self.runs.0.is_empty()
    }

    pub fn size(&self) -> usize {
        self.values.len()
    }

    /// Appends to the last row written, or begins a row after it.
    pub fn append(&mut self, row: usize, parts: [&[u8]; 2]) {
        if self.ends.len() <= row {
            reach(&mut self.ends, row, self.values.len());
            self.runs.add(row, 1);
        } else {
            self.ends.truncate(row);
        }
        for part in parts {
            self.values.extend_from_slice(part);
        }
        reach(&mut self.ends, row + 1, self.values.len());
    }

    pub fn array(&mut self, rows: usize) -> ArrayRef {
        reach(&mut self.ends, rows, self.values.len());
        let nulls = self.runs.nulls(rows);
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        let binary = BinaryArray::new(offsets(&self.ends), values, nulls);
        *self = Bytes::default();
        Arc::new(binary)
    }
}

/// A text that is the same in every row.
pub fn same_text(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}
