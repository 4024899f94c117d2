//! Two results side by side: as sets of rows, cell by cell, under the bound that the query states.

use anyhow::{Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How far a distributed result may be from the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Not at all.
    Exact,
    /// Floats by this relative difference: sums in another order.
    Relative(f64),
    /// Lists and joined texts as sets: their order is that of the source partitions.
    AnyOrder,
}

impl Bound {
    pub fn note(self, widest: f64) -> String {
        match self {
            Bound::Exact => "equal".into(),
            Bound::Relative(most) => format!("within {most:.0e} (widest {widest:.1e})"),
            Bound::AnyOrder => "equal as sets".into(),
        }
    }
}

enum Cell {
    Text(String),
    Float(f64),
}

/// The widest relative difference, or an error that names the first cell beyond the bound.
pub fn within(whole: &RecordBatch, part: &RecordBatch, bound: Bound) -> Result<f64> {
    let (expected, found) = (rows(whole, bound)?, rows(part, bound)?);
    ensure!(expected.len() == found.len(), "{} rows, not {}", found.len(), expected.len());
    let mut widest = 0.0f64;
    for (want, got) in expected.iter().zip(&found) {
        for (column, cells) in want.iter().zip(got).enumerate() {
            let name = whole.schema().field(column).name().clone();
            widest = widest.max(match cells {
                (Cell::Text(want), Cell::Text(got)) if want == got => 0.0,
                (Cell::Float(want), Cell::Float(got)) => {
                    let apart = apart(*want, *got);
                    let most = if let Bound::Relative(most) = bound { most } else { 0.0 };
                    ensure!(apart <= most, "{name} is {got:?}, not {want:?} ({apart:.1e} apart)");
                    apart
                }
                (want, got) => bail!("{name} is {}, not {}", got.text(), want.text()),
            });
        }
    }
    Ok(widest)
}

/// Equal bit for bit, but for the order of the rows.
pub fn identical(first: &RecordBatch, second: &RecordBatch) -> Result<()> {
    within(first, second, Bound::Exact)
        .map(|_| ())
        .map_err(|e| e.context("two distributed runs over one log differ"))
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Float(value) => format!("{value:?}"),
        }
    }
}

fn apart(want: f64, got: f64) -> f64 {
    if want.to_bits() == got.to_bits() || (want.is_nan() && got.is_nan()) {
        return 0.0;
    }
    if !want.is_finite() || !got.is_finite() {
        return f64::INFINITY;
    }
    let size = want.abs().max(got.abs());
    // A difference of the zeros' signs counts, as it would be seen in the bytes.
    if size == 0.0 { f64::MIN_POSITIVE } else { (want - got).abs() / size }
}

/// The rows, sorted by what is exact in them.
fn rows(batch: &RecordBatch, bound: Bound) -> Result<Vec<Vec<Cell>>> {
    let columns = batch.columns().iter().map(|c| cells(c, bound)).collect::<Result<Vec<_>>>()?;
    let mut columns: Vec<_> = columns.into_iter().map(|c| c.into_iter()).collect();
    let mut rows: Vec<Vec<Cell>> = (0..batch.num_rows())
        .map(|_| columns.iter_mut().filter_map(|column| column.next()).collect())
        .collect();
    rows.sort_by_cached_key(|row| {
        let texts = row.iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(text.clone()),
            Cell::Float(_) => None,
        });
        let floats = row.iter().filter_map(|cell| match cell {
            Cell::Float(value) => Some(format!("{value:?}")),
            Cell::Text(_) => None,
        });
        let floats: Vec<String> = if bound == Bound::Exact { floats.collect() } else { vec![] };
        (texts.collect::<Vec<_>>(), floats)
    });
    Ok(rows)
}

fn cells(column: &ArrayRef, bound: Bound) -> Result<Vec<Cell>> {
    if column.data_type() == &DataType::Float64 {
        let floats = column.as_primitive::<Float64Type>().iter();
        let cell = |v: Option<f64>| v.map_or_else(|| Cell::Text("null".into()), Cell::Float);
        return Ok(floats.map(cell).collect());
    }
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row: usize| {
        let text = formatter.value(row).to_string();
        if bound == Bound::AnyOrder { as_set(&text) } else { text }
    };
    Ok((0..column.len()).map(|row| Cell::Text(text(row))).collect())
}

/// `[b, a]` and `b,a` with their parts sorted.
fn as_set(text: &str) -> String {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let mut parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    parts.sort_unstable();
    parts.join(",")
}
