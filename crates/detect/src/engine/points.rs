//! A closed window's result as points: one a series, the absent ones too, with the columns that the
//! models read.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use model::rows::Contributor;

use super::key::{KeyColumns, value_text};
use super::series::SeriesKey;
use crate::rules::{Absent, Compiled, Windowed};

/// One row of a result: its series and what it names.
pub struct ResultRow {
    pub key: SeriesKey,
    pub entity: Option<String>,
}

/// The keys of a result's rows.
pub fn rows_of(rule: &Compiled, windowed: &Windowed, result: &RecordBatch) -> Vec<ResultRow> {
    let columns = windowed.key.iter().map(|key| (key.name.as_str(), result.column(key.output)));
    let keys = KeyColumns::new(columns);
    let domains = result.column(windowed.domain.output);
    let entity = rule.entity.as_ref();
    let one = |row: usize| ResultRow {
        key: (value_text(domains.as_ref(), row), keys.text(row)),
        entity: entity.and_then(|entity| entity.name(|column| keys.value(column, row))),
    };
    (0..result.num_rows()).map(one).collect()
}

/// Where each series of the rule is in the window's result.
pub struct Present<'a> {
    /// Domain of each series, in the order of their keys.
    pub domains: Vec<&'a str>,
    /// Row in the result, if the window has one.
    pub rows: Vec<Option<usize>>,
    /// Domains of which the window has any row.
    pub alive: BTreeSet<&'a str>,
}

impl Present<'_> {
    /// A result column as numbers, one a series: NaN where nothing was measured.
    pub fn column(&self, result: &RecordBatch, at: usize, absent: Absent) -> Vec<f64> {
        let numbers = as_numbers(result.column(at));
        let one = |(row, domain): (&Option<usize>, &&str)| match row {
            Some(row) => number(&numbers, *row),
            None if absent == Absent::Zero && self.alive.contains(domain) => 0.0,
            None => f64::NAN,
        };
        self.rows.iter().zip(&self.domains).map(one).collect()
    }
}

fn as_numbers(column: &ArrayRef) -> ArrayRef {
    cast(column, &DataType::Float64).unwrap_or_else(|_| column.clone())
}

fn number(numbers: &ArrayRef, row: usize) -> f64 {
    let values = numbers.as_primitive_opt::<Float64Type>();
    values.filter(|values| values.is_valid(row)).map_or(f64::NAN, |values| values.value(row))
}

/// The contributors of one row, as `top_k` lists them.
pub fn contributors(column: &ArrayRef, row: usize) -> Vec<Contributor> {
    let items = column.as_list_opt::<i32>().filter(|list| list.is_valid(row));
    let Some(items) = items.map(|list| list.value(row)) else {
        return Vec::new();
    };
    let Some(items) = items.as_struct_opt() else {
        return Vec::new();
    };
    let part = |name: &str| items.column_by_name(name);
    let (Some(names), Some(weights), Some(shares)) = (part("name"), part("weight"), part("share"))
    else {
        return Vec::new();
    };
    let (weights, shares) = (as_numbers(weights), as_numbers(shares));
    let one = |item: usize| Contributor {
        name: value_text(names.as_ref(), item),
        weight: number(&weights, item),
        share: number(&shares, item),
    };
    (0..items.len()).map(one).collect()
}
