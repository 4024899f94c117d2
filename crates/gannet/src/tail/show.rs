//! Rows of any batch for people: addresses as text, times by RFC 3339, lists and structs as JSON.

use std::io::Write;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bus::Record;
use bus::config::LimitsConfig;
use bus::frame::ReadError;
use serde_json::{Map, Value, json};

/// A row with its columns in their order, which a JSON map of serde's does not keep.
pub type Row = Vec<(String, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Json,
    Table,
}

pub struct Shower {
    shape: Shape,
    headers: bool,
    limits: LimitsConfig,
    /// Columns of the last table row: a new line of names where they change.
    columns: Vec<String>,
}

/// Widest value of a table; JSON shows all of it.
const CELL_MAX: usize = 40;

// === impl Shower ===

impl Shower {
    pub fn new(shape: Shape, headers: bool, limits: LimitsConfig) -> Shower {
        Shower { shape, headers, limits, columns: Vec::new() }
    }

    pub fn record(&mut self, record: &Record, out: &mut dyn Write) -> Result<()> {
        let rows = match bus::frame::read(record, &self.limits) {
            Ok((_, batch)) => rows(&batch),
            Err(ReadError::Tombstone) => vec![vec![("deleted".into(), json!(true))]],
            // Dead letters and mirrors are whatever they are: a text, or their size.
            Err(error) => vec![foreign(record, &error)],
        };
        if self.headers {
            self.line(&Value::Object(about(record)), out)?;
        }
        for row in rows {
            match self.shape {
                Shape::Json => writeln!(out, "{}", json_line(&row))?,
                Shape::Table => self.table_row(row, out)?,
            }
        }
        Ok(())
    }

    fn line(&self, value: &Value, out: &mut dyn Write) -> Result<()> {
        match self.shape {
            Shape::Json => writeln!(out, "{value}")?,
            Shape::Table => writeln!(out, "# {value}")?,
        }
        Ok(())
    }

    fn table_row(&mut self, row: Row, out: &mut dyn Write) -> Result<()> {
        let columns: Vec<String> = row.iter().map(|(name, _)| name.clone()).collect();
        if columns != self.columns {
            writeln!(out, "{}", columns.join("\t"))?;
            self.columns = columns;
        }
        let cells: Vec<String> = row.iter().map(|(_, value)| cell(value)).collect();
        writeln!(out, "{}", cells.join("\t"))?;
        Ok(())
    }
}

fn json_line(row: &Row) -> String {
    let member = |(name, value): &(String, Value)| format!("{}:{value}", json!(name));
    let members: Vec<String> = row.iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = text.chars().map(printable).take(CELL_MAX).collect();
    if text.chars().count() > CELL_MAX { format!("{shown}…") } else { shown }
}

/// Where a message lies and what its headers say.
fn about(record: &Record) -> Map<String, Value> {
    let header = |value: &[u8]| json!(String::from_utf8_lossy(value));
    let headers: Map<String, Value> =
        record.headers.iter().map(|(name, value)| (name.to_string(), header(value))).collect();
    let key = record.key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned());
    Map::from_iter([
        ("partition".into(), json!(record.partition)),
        ("offset".into(), json!(record.offset)),
        ("timestamp".into(), json!(model::time::rfc3339(record.timestamp_ms))),
        ("key".into(), json!(key)),
        ("headers".into(), Value::Object(headers)),
    ])
}

fn foreign(record: &Record, error: &ReadError) -> Row {
    let payload = record.payload.as_deref().unwrap_or_default();
    if let Ok(Value::Object(value)) = serde_json::from_slice(payload) {
        return value.into_iter().collect();
    }
    let mut row = Row::new();
    row.push(("not_read".into(), json!(error.to_string())));
    match std::str::from_utf8(payload) {
        Ok(text) => row.push(("payload".into(), json!(text))),
        Err(_) => row.push(("payload_bytes".into(), json!(payload.len()))),
    };
    for (name, value) in &record.headers {
        row.push((name.to_string(), json!(String::from_utf8_lossy(value))));
    }
    row
}

/// Each row with its columns in their order.
pub fn rows(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let one = |row: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        columns.map(|(field, column)| (field.name().clone(), value(column, row))).collect()
    };
    (0..batch.num_rows()).map(one).collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            number(column, &DataType::UInt64, |wide| {
                json!(wide.as_primitive::<UInt64Type>().value(row))
            })
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            number(column, &DataType::Int64, |wide| {
                json!(wide.as_primitive::<Int64Type>().value(row))
            })
        }
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => {
            let ms = column.as_primitive::<TimestampMillisecondType>().value(row);
            json!(model::time::rfc3339(ms))
        }
        DataType::FixedSizeBinary(_) => json!(bytes(column.as_fixed_size_binary().value(row))),
        DataType::Binary => json!(bytes(column.as_binary::<i32>().value(row))),
        DataType::List(_) => {
            let items: ArrayRef = column.as_list::<i32>().value(row);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let named = fields.iter().zip(columns);
            named.map(|(field, column)| (field.name().clone(), value(column, row))).collect()
        }
        _ => text(column, row),
    }
}

fn number(column: &ArrayRef, wide: &DataType, value: impl FnOnce(&ArrayRef) -> Value) -> Value {
    // A widening cast of integers cannot fail.
    arrow::compute::cast(column, wide).map_or(Value::Null, |wide| value(&wide))
}

/// 16 bytes are an address, 6 a MAC (schemas/flows.toml), all others hexadecimal.
fn bytes(bytes: &[u8]) -> String {
    if let Some(address) = model::addr::to_ip(bytes) {
        return address.to_string();
    }
    let separator = if bytes.len() == 6 { ":" } else { "" };
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(separator)
}

fn text(column: &ArrayRef, row: usize) -> Value {
    let shown = ArrayFormatter::try_new(column, &FormatOptions::default());
    shown.map_or(Value::Null, |formatter| json!(formatter.value(row).to_string()))
}
