//! Rows that rules missed, on their way to `<topic>.late`: each row once, with all rules that
//! missed it for one reason.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use bus::Meta;
use runtime::task::{Late, Outputs};

/// Why a rule missed rows: part of `.late`'s headers and of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// The row's first window had closed.
    Late,
    /// The rule's query failed on the rows (a division by zero, an overflow).
    Query,
}

/// The rules that missed each row of a chunk.
#[derive(Default)]
pub struct Misses {
    rules: BTreeMap<(Missed, usize, u32), Vec<String>>,
}

// === impl Missed ===

impl Missed {
    pub fn as_str(self) -> &'static str {
        match self {
            Missed::Late => "late",
            Missed::Query => "query",
        }
    }
}

// === impl Misses ===

impl Misses {
    pub fn add(&mut self, missed: Missed, rule: &str, message: usize, rows: &[u32]) {
        for &row in rows {
            self.rules.entry((missed, message, row)).or_default().push(rule.to_owned());
        }
    }

    /// Sends the rows, whole, in the order of messages and rows.
    pub fn send(self, whole: impl Fn(usize) -> (RecordBatch, Meta), out: &mut Outputs) {
        let mut groups: BTreeMap<(Missed, usize, Vec<String>), Vec<u32>> = BTreeMap::new();
        for ((missed, message, row), rules) in self.rules {
            groups.entry((missed, message, rules)).or_default().push(row);
        }
        for ((missed, message, rules), rows) in groups {
            let (batch, meta) = whole(message);
            if let Ok(batch) = take_record_batch(&batch, &UInt32Array::from(rows)) {
                out.late(Late { batch, meta, rules, reason: missed.as_str() });
            }
        }
    }
}
