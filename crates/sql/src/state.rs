//! State rows as Arrow: put in order, measured, and checked against the plan that reads them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::{RowConverter, SortField};
use datafusion::error::{DataFusionError, Result};

/// The rows sorted by their first `keys` columns: nulls first, then the types' own order. Equal
/// keys keep their order.
pub(crate) fn sorted(batch: RecordBatch, keys: usize) -> Result<RecordBatch> {
    if keys == 0 || batch.num_rows() < 2 {
        return Ok(batch);
    }
    let columns = &batch.columns()[..keys];
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
    Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
}

/// Two states side by side: which of their groups both have.
pub(crate) struct Pair {
    a: RecordBatch,
    b: RecordBatch,
    /// Rows of `a` and of `b` with the same group, in the order of `a`.
    both: Vec<(u32, u32)>,
    /// Rows of `b` whose group `a` does not have.
    only_b: Vec<u32>,
}

impl Pair {
    pub fn of(a: RecordBatch, b: RecordBatch, keys: usize) -> Result<Pair> {
        if keys == 0 {
            let rows = a.num_rows().min(b.num_rows()) as u32;
            let both = (0..rows).map(|row| (row, row)).collect();
            return Ok(Pair { a, b, both, only_b: vec![] });
        }
        let kinds = a.columns()[..keys].iter().map(|c| SortField::new(c.data_type().clone()));
        let converter = RowConverter::new(kinds.collect())?;
        let (of_a, of_b) = (
            converter.convert_columns(&a.columns()[..keys])?,
            converter.convert_columns(&b.columns()[..keys])?,
        );
        let mut in_b: HashMap<&[u8], u32> = HashMap::with_capacity(b.num_rows());
        for row in 0..b.num_rows() {
            in_b.insert(of_b.row(row).data(), row as u32);
        }
        let shared = |row| in_b.get(of_a.row(row as usize).data()).map(|&other| (row, other));
        let both: Vec<(u32, u32)> = (0..a.num_rows() as u32).filter_map(shared).collect();
        let mut taken = vec![false; b.num_rows()];
        both.iter().for_each(|&(_, row)| taken[row as usize] = true);
        let only_b = (0..b.num_rows() as u32).filter(|&row| !taken[row as usize]).collect();
        Ok(Pair { a, b, both, only_b })
    }

    pub fn is_disjoint(&self) -> bool {
        self.both.is_empty()
    }

    /// The rows of each whose group both have, in the same order.
    pub fn shared(&self) -> Result<(RecordBatch, RecordBatch)> {
        let (of_a, of_b): (Vec<u32>, Vec<u32>) = self.both.iter().copied().unzip();
        Ok((
            take_record_batch(&self.a, &UInt32Array::from(of_a))?,
            take_record_batch(&self.b, &UInt32Array::from(of_b))?,
        ))
    }

    /// `a` with the shared groups replaced by `merged`, whose rows are in their order, then the
    /// groups that only `b` has.
    pub fn joined(&self, merged: Option<RecordBatch>) -> Result<RecordBatch> {
        let merged = merged.unwrap_or_else(|| RecordBatch::new_empty(self.a.schema()));
        if merged.num_rows() != self.both.len() {
            let (found, wanted) = (merged.num_rows(), self.both.len());
            let message = format!("{found} groups came out of merging {wanted}");
            return Err(DataFusionError::Internal(message));
        }
        let (rows_a, rows_b) = (self.a.num_rows() as u32, self.b.num_rows() as u32);
        let mut order: Vec<u32> = (0..rows_a).collect();
        for (at, (row, _)) in self.both.iter().enumerate() {
            order[*row as usize] = rows_a + rows_b + at as u32;
        }
        order.extend(self.only_b.iter().map(|row| rows_a + row));
        let all = concat_batches(&self.a.schema(), [&self.a, &self.b, &merged])?;
        Ok(take_record_batch(&all, &UInt32Array::from(order))?)
    }
}

/// `columns` under `schema`; an error names what does not fit.
pub(crate) fn fitted(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> std::result::Result<RecordBatch, String> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let fields = schema.fields();
    if columns.len() != fields.len() {
        return Err(format!("{} columns, not {}", columns.len(), fields.len()));
    }
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| e.to_string())
}

/// Bytes that each row takes in its columns, so that who keeps state can bound it by row.
pub fn row_bytes(batch: &RecordBatch) -> Vec<usize> {
    let mut bytes = vec![0; batch.num_rows()];
    for column in batch.columns() {
        for (row, sum) in bytes.iter_mut().enumerate() {
            *sum += value_bytes(column.as_ref(), row, 1);
        }
    }
    bytes
}

/// Bytes of all rows of `batch`.
pub fn state_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|c| value_bytes(c.as_ref(), 0, c.len())).sum()
}

/// Bytes of `len` values from `from` on.
fn value_bytes(array: &dyn Array, from: usize, len: usize) -> usize {
    let spanned = |offsets: &[i32]| (offsets[from] as usize, offsets[from + len] as usize);
    match array.data_type() {
        DataType::Utf8 => {
            let (start, end) = spanned(array.as_string::<i32>().value_offsets());
            end - start + 4 * len
        }
        DataType::Binary => {
            let (start, end) = spanned(array.as_binary::<i32>().value_offsets());
            end - start + 4 * len
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = spanned(list.value_offsets());
            4 * len + value_bytes(list.values().as_ref(), start, end - start)
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            columns.iter().map(|c| value_bytes(c.as_ref(), from, len)).sum()
        }
        DataType::FixedSizeBinary(width) => *width as usize * len,
        fixed => match fixed.primitive_width() {
            Some(width) => width * len,
            None => array.slice(from, len).get_array_memory_size().min(1 << 30),
        },
    }
}
