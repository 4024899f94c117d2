//! A series' key read back from its text, as `signals` has it: which values its columns have, and
//! which partition its state rows go to.

use std::net::IpAddr;

use arrow::datatypes::DataType;
use bus::partition::partition;
use model::addr;

use super::key::{NULL, OTHER, OTHER_ADDR};
use crate::rules::{Compiled, Windowed};

/// The values of a key's columns, in the order of the rule's key; `None` where the text is of other
/// columns. (A value that holds `,next=` is cut there: it is then another series.)
pub fn values<'a>(rule: &Windowed, text: &'a str) -> Option<Vec<&'a str>> {
    let mut values = Vec::with_capacity(rule.key.len());
    let mut rest = text;
    for (at, key) in rule.key.iter().enumerate() {
        rest = rest.strip_prefix(key.name.as_str())?.strip_prefix('=')?;
        let value = match rule.key.get(at + 1) {
            None => rest,
            Some(next) => &rest[..rest.find(&format!(",{}=", next.name))?],
        };
        values.push(value);
        rest = rest[value.len()..].strip_prefix(',').unwrap_or("");
    }
    (rest.is_empty() || !rule.key.is_empty()).then_some(values)
}

/// What the rule's entity is for these values.
pub fn entity(rule: &Compiled, windowed: &Windowed, values: &[&str]) -> Option<String> {
    rule.entity.as_ref()?.name(|column| {
        let at = windowed.key.iter().position(|key| key.name.eq_ignore_ascii_case(column))?;
        values.get(at).filter(|value| **value != NULL).map(|value| (*value).to_owned())
    })
}

/// The partition of `partials` that `limit::by_shard` sends the key's state rows to.
pub fn shard_partition(rule: &Windowed, values: &[&str], partitions: u32) -> Option<u32> {
    let value = |group: usize| {
        let at = rule.key.iter().position(|key| key.group == group)?;
        values.get(at).copied()
    };
    let bytes = match rule.shard.as_slice() {
        [] => Vec::new(),
        [one] => plain(rule.cut.state_schema().field(*one).data_type(), value(*one)?)?,
        several => {
            let texts = several.iter().map(|group| value(*group)).collect::<Option<Vec<_>>>()?;
            texts.join("\u{1f}").into_bytes()
        }
    };
    Some(partition(&bytes, partitions))
}

/// A single column's value as `limit::by_shard` has the log partition by it.
fn plain(kind: &DataType, text: &str) -> Option<Vec<u8>> {
    let null = text == NULL;
    match kind {
        DataType::Utf8 | DataType::FixedSizeBinary(_) | DataType::UInt32 | DataType::Int64
            if null =>
        {
            Some(Vec::new())
        }
        DataType::FixedSizeBinary(addr::WIDTH) if text == OTHER => Some(OTHER_ADDR.to_vec()),
        DataType::FixedSizeBinary(addr::WIDTH) => {
            let ip: IpAddr = text.parse().ok()?;
            Some(addr::mapped(ip).to_vec())
        }
        // As hexadecimal digits in a key's text.
        DataType::FixedSizeBinary(_) => {
            let digits = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            (0..text.len()).step_by(2).map(digits).collect()
        }
        DataType::UInt32 => text.parse::<u32>().ok().map(|n| n.to_be_bytes().to_vec()),
        DataType::Int64 => text.parse::<i64>().ok().map(|n| n.to_be_bytes().to_vec()),
        _ => Some(text.as_bytes().to_vec()),
    }
}
