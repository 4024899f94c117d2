//! Typed access to a batch's columns by name; a foreign producer's batch may lack any of them.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMillisecondArray, UInt8Array, UInt32Array,
};
use arrow::datatypes::{Float64Type, TimestampMillisecondType, UInt8Type, UInt32Type};

use super::anomaly::Contributor;

/// A row that does not fit its schema.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RowError {
    #[error("there is no column {0} of the expected type")]
    Column(&'static str),
    #[error("{column} may not be {value:?}")]
    Value { column: &'static str, value: String },
    #[error(transparent)]
    Schema(#[from] crate::schema::SchemaError),
}

/// The columns of a batch or of a struct column.
pub struct Columns<'a> {
    find: Box<dyn Fn(&str) -> Option<&'a ArrayRef> + 'a>,
}

impl<'a> Columns<'a> {
    pub fn of(batch: &'a RecordBatch) -> Columns<'a> {
        Columns { find: Box::new(|name| batch.column_by_name(name)) }
    }

    pub fn of_struct(array: &'a StructArray) -> Columns<'a> {
        Columns { find: Box::new(|name| array.column_by_name(name)) }
    }

    pub fn array(&self, name: &'static str) -> Result<&'a ArrayRef, RowError> {
        (self.find)(name).ok_or(RowError::Column(name))
    }

    pub fn text(&self, name: &'static str) -> Result<&'a StringArray, RowError> {
        self.array(name)?.as_string_opt::<i32>().ok_or(RowError::Column(name))
    }

    pub fn boolean(&self, name: &'static str) -> Result<&'a BooleanArray, RowError> {
        self.array(name)?.as_boolean_opt().ok_or(RowError::Column(name))
    }

    pub fn float(&self, name: &'static str) -> Result<&'a Float64Array, RowError> {
        self.array(name)?.as_primitive_opt::<Float64Type>().ok_or(RowError::Column(name))
    }

    pub fn time(&self, name: &'static str) -> Result<&'a TimestampMillisecondArray, RowError> {
        let array = self.array(name)?;
        array.as_primitive_opt::<TimestampMillisecondType>().ok_or(RowError::Column(name))
    }

    pub fn uint8(&self, name: &'static str) -> Result<&'a UInt8Array, RowError> {
        self.array(name)?.as_primitive_opt::<UInt8Type>().ok_or(RowError::Column(name))
    }

    pub fn uint32(&self, name: &'static str) -> Result<&'a UInt32Array, RowError> {
        self.array(name)?.as_primitive_opt::<UInt32Type>().ok_or(RowError::Column(name))
    }

    pub fn list(&self, name: &'static str) -> Result<&'a ListArray, RowError> {
        self.array(name)?.as_list_opt::<i32>().ok_or(RowError::Column(name))
    }
}

pub fn text_at(array: &StringArray, row: usize) -> Option<String> {
    array.is_valid(row).then(|| array.value(row).to_owned())
}

pub fn float_at(array: &Float64Array, row: usize) -> Option<f64> {
    array.is_valid(row).then(|| array.value(row))
}

/// The numbers of one row of a list column; none where the list is null.
pub fn floats_at(list: &ListArray, row: usize) -> Vec<Option<f64>> {
    if list.is_null(row) {
        return Vec::new();
    }
    let values = list.value(row);
    let floats = values.as_primitive_opt::<Float64Type>();
    floats.map_or_else(Vec::new, |floats| floats.iter().collect())
}

pub fn time_at(array: &TimestampMillisecondArray, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

/// The struct behind one row of a list column; `None` where the list is null.
pub fn items_at(
    list: &ListArray,
    row: usize,
    name: &'static str,
) -> Result<Option<StructArray>, RowError> {
    if list.is_null(row) {
        return Ok(None);
    }
    let items = list.value(row);
    items.as_struct_opt().cloned().map(Some).ok_or(RowError::Column(name))
}

pub fn contributors_at(list: &ListArray, row: usize) -> Result<Vec<Contributor>, RowError> {
    let Some(items) = items_at(list, row, "contributors")? else {
        return Ok(Vec::new());
    };
    let columns = Columns::of_struct(&items);
    let (names, weights) = (columns.text("name")?, columns.float("weight")?);
    let shares = columns.float("share")?;
    let one = |i| Contributor {
        name: names.value(i).to_owned(),
        weight: weights.value(i),
        share: shares.value(i),
    };
    Ok((0..items.len()).map(one).collect())
}
