//! What rollup reads of a source: the columns that its rules need, and each row's time.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use model::schema::TopicSchema;
use runtime::task::{BadMessage, Input};

use crate::rules::{Compiled, Plan, RuleSet, Source};

/// A device time further ahead of `received` counts as `received`: the clock is wrong (DESIGN §4).
const AHEAD_MAX_MS: i64 = 60_000;
pub const RECEIVED: &str = "received";

/// The columns that one source's rules read.
pub struct Reading {
    schema: &'static TopicSchema,
    /// Columns of the schema, ascending.
    columns: Vec<usize>,
    names: BTreeSet<String>,
}

// === impl Reading ===

impl Reading {
    pub fn new(rules: &RuleSet, source: Source) -> Reading {
        let schema = source.schema();
        let arrow = &schema.arrow;
        let mut columns: BTreeSet<usize> = BTreeSet::new();
        let place = |name: &str| arrow.index_of(name).ok();
        columns.extend(place(RECEIVED).into_iter().chain(place("domain")));
        for rule in rules.of(source) {
            match &rule.plan {
                Plan::Windowed(windowed) => {
                    columns.extend(windowed.cut.input_columns());
                    columns.extend(place(&windowed.window.on));
                }
                Plan::Row(_) => columns.extend(0..arrow.fields().len()),
            }
        }
        let names = columns.iter().map(|&column| arrow.field(column).name().clone()).collect();
        Reading { schema, columns: columns.into_iter().collect(), names }
    }

    pub fn read(&self, input: &Input<'_>) -> Result<RecordBatch, BadMessage> {
        let batch = input.columns(&|name: &str| self.names.contains(name))?;
        self.schema
            .conform_columns(&batch, &self.columns)
            .map_err(|error| BadMessage::new("schema", error))
    }

    /// Where the columns that a rule reads stand in what `read` gives.
    pub fn projection(&self, rule: &Compiled) -> Vec<usize> {
        let place = |column: &usize| self.columns.binary_search(column).ok();
        match rule.windowed() {
            Some(windowed) => windowed.cut.input_columns().iter().filter_map(place).collect(),
            None => (0..self.columns.len()).collect(),
        }
    }
}

/// Each row's time by a column; `received` where there is none, or one that cannot be. Also how
/// many of these could not be.
pub fn times(batch: &RecordBatch, on: &str) -> (Vec<i64>, u64) {
    let column = |name: &str| {
        let column = batch.column_by_name(name)?;
        column.as_primitive_opt::<TimestampMillisecondType>()
    };
    let Some(received) = column(RECEIVED) else {
        return (vec![0; batch.num_rows()], 0);
    };
    if on == RECEIVED {
        return (received.values().to_vec(), 0);
    }
    let Some(device) = column(on) else {
        return (received.values().to_vec(), 0);
    };
    let mut ahead = 0;
    let one = |row: usize| {
        let received = received.value(row);
        if device.is_null(row) {
            return received;
        }
        if device.value(row) > received.saturating_add(AHEAD_MAX_MS) {
            ahead += 1;
            return received;
        }
        device.value(row)
    };
    let times = (0..batch.num_rows()).map(one).collect();
    (times, ahead)
}
