//! Keys as text: what a series is called in `signals` and `evidence`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::addr;

/// What stands for null in a key.
pub const NULL: &str = "-";

/// The group of what is over a rule's limit.
pub const OTHER: &str = "other";
/// Its address: all ones, which no host has (RFC 4291 §2.7: multicast with reserved flags and
/// scope).
pub const OTHER_ADDR: [u8; 16] = [0xff; 16];

/// A value as text: addresses as addresses, all else as Arrow prints it.
pub fn value_text(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return NULL.to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::FixedSizeBinary(addr::WIDTH) => {
            let bytes = array.as_fixed_size_binary().value(row);
            if bytes == OTHER_ADDR {
                return OTHER.to_owned();
            }
            addr::to_ip(bytes).map_or_else(|| NULL.to_owned(), |ip| ip.to_string())
        }
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
            formatter.map_or_else(|_| NULL.to_owned(), |f| f.value(row).to_string())
        }
    }
}

/// Columns that make a key, with their names.
pub struct KeyColumns<'a> {
    columns: Vec<(&'a str, &'a ArrayRef)>,
}

impl<'a> KeyColumns<'a> {
    pub fn new(columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>) -> KeyColumns<'a> {
        KeyColumns { columns: columns.collect() }
    }

    /// `column=value` pairs joined by a comma.
    pub fn text(&self, row: usize) -> String {
        let mut text = String::new();
        for (name, column) in &self.columns {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(&value_text(column.as_ref(), row));
        }
        text
    }

    /// The value of one of its columns.
    pub fn value(&self, name: &str, row: usize) -> Option<String> {
        let (_, column) = self.columns.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        column.is_valid(row).then(|| value_text(column.as_ref(), row))
    }
}
