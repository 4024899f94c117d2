//! A row of flows or of events as one line of JSON: addresses as text, times by RFC 3339, elements
//! without a column by their numbers. Columns without a value are left out.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::engine::element::Field;
use crate::engine::extra;

/// One row, without a line end.
pub fn row(batch: &RecordBatch, row: usize) -> String {
    let mut line = String::from("{");
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.is_null(row) {
            continue;
        }
        if line.len() > 1 {
            line.push(',');
        }
        let _ = write!(line, "\"{}\":", field.name());
        value(&mut line, column, row);
    }
    line.push('}');
    line
}

/// A string as JSON writes it (RFC 8259 §7): what a device sends may hold anything.
fn quoted(line: &mut String, text: &str) -> std::fmt::Result {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            c if c < ' ' => write!(line, "\\u{:04x}", u32::from(c))?,
            c => line.push(c),
        }
    }
    line.push('"');
    Ok(())
}

/// Writing to a string does not fail.
fn value(line: &mut String, column: &ArrayRef, row: usize) {
    let _ = match column.data_type() {
        DataType::UInt8 => write!(line, "{}", column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => write!(line, "{}", column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => write!(line, "{}", column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => write!(line, "{}", column.as_primitive::<UInt64Type>().value(row)),
        DataType::Utf8 => quoted(line, column.as_string::<i32>().value(row)),
        DataType::Timestamp(..) => {
            let ms = column.as_primitive::<TimestampMillisecondType>().value(row);
            write!(line, "\"{}\"", model::time::rfc3339(ms))
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = column.as_fixed_size_binary().value(row);
            match model::addr::to_ip(bytes) {
                Some(address) => write!(line, "\"{address}\""),
                None => write!(line, "null"),
            }
        }
        DataType::FixedSizeBinary(_) => {
            write!(line, "\"{}\"", hex(column.as_fixed_size_binary().value(row), ":"))
        }
        DataType::List(_) => {
            let labels = column.as_list::<i32>().value(row);
            write!(line, "{:?}", labels.as_primitive::<UInt32Type>().values().as_ref())
        }
        DataType::Binary => elements(line, column.as_binary::<i32>().value(row)),
        other => write!(line, "\"{other}\""),
    };
}

/// `{"95":"0d000050","29305/7":"0050"}`: element, or enterprise and element, and the bytes in hex;
/// an element that comes again gets a number.
fn elements(line: &mut String, bytes: &[u8]) -> std::fmt::Result {
    let all: Vec<(Field, &[u8])> = extra::elements(bytes).collect();
    line.push('{');
    for (i, (field, value)) in all.iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        let same = |other: &&(Field, &[u8])| {
            (other.0.enterprise, other.0.id) == (field.enterprise, field.id)
        };
        let again = all.iter().take(i).filter(same).count();
        line.push('"');
        if field.enterprise != 0 {
            write!(line, "{}/", field.enterprise)?;
        }
        write!(line, "{}", field.id)?;
        if again > 0 {
            write!(line, "#{}", again + 1)?;
        }
        write!(line, "\":\"{}\"", hex(value, ""))?;
    }
    line.push('}');
    Ok(())
}

fn hex(bytes: &[u8], between: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}
