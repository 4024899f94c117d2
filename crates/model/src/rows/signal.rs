//! One point of one series and the band its model expected (`signals`).

use arrow::array::RecordBatch;

use super::build;
use super::read::{Columns, RowError, float_at, floats_at, text_at};
use crate::schema;

#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub domain: String,
    pub rule: String,
    pub rule_fp: String,
    pub key: String,
    pub window_start_ms: i64,
    pub window_end_ms: i64,
    pub value_name: String,
    /// `None` where the window had no rows of this key.
    pub value: Option<f64>,
    pub complete: bool,
    pub expected: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// −log10 of a tail probability.
    pub score: Option<f64>,
    pub anomalous: bool,
    /// `model=id` of the open anomalies, joined by a comma.
    pub anomalies: Option<String>,
    /// Further result columns that the models read.
    pub inputs: Vec<Option<f64>>,
}

impl Signal {
    pub fn to_batch(rows: &[Signal]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let inputs: Vec<&[Option<f64>]> = all().map(|r| &r.inputs[..]).collect();
        let columns = vec![
            build::text(all().map(|r| r.domain.as_str())),
            build::text(all().map(|r| r.rule.as_str())),
            build::text(all().map(|r| r.rule_fp.as_str())),
            build::text(all().map(|r| r.key.as_str())),
            build::time(all().map(|r| r.window_start_ms)),
            build::time(all().map(|r| r.window_end_ms)),
            build::text(all().map(|r| r.value_name.as_str())),
            build::float(all().map(|r| r.value)),
            build::boolean(all().map(|r| r.complete)),
            build::float(all().map(|r| r.expected)),
            build::float(all().map(|r| r.lower)),
            build::float(all().map(|r| r.upper)),
            build::float(all().map(|r| r.score)),
            build::boolean(all().map(|r| r.anomalous)),
            build::text_or_null(all().map(|r| r.anomalies.as_deref())),
            build::floats(&inputs),
        ];
        Ok(build::batch(schema::signals(), rows.len(), columns)?)
    }

    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Signal>, RowError> {
        let batch = schema::signals().conform(batch)?;
        let columns = Columns::of(&batch);
        let text = |name| columns.text(name);
        let (domain, rule, rule_fp) = (text("domain")?, text("rule")?, text("rule_fp")?);
        let (key, value_name) = (text("key")?, text("value_name")?);
        let (start, end) = (columns.time("window_start")?, columns.time("window_end")?);
        let (value, score) = (columns.float("value")?, columns.float("score")?);
        let (expected, lower) = (columns.float("expected")?, columns.float("lower")?);
        let upper = columns.float("upper")?;
        let (complete, anomalous) = (columns.boolean("complete")?, columns.boolean("anomalous")?);
        let (anomalies, inputs) = (text("anomalies")?, columns.list("inputs")?);
        let one = |i: usize| Signal {
            domain: domain.value(i).to_owned(),
            rule: rule.value(i).to_owned(),
            rule_fp: rule_fp.value(i).to_owned(),
            key: key.value(i).to_owned(),
            window_start_ms: start.value(i),
            window_end_ms: end.value(i),
            value_name: value_name.value(i).to_owned(),
            value: float_at(value, i),
            complete: complete.value(i),
            expected: float_at(expected, i),
            lower: float_at(lower, i),
            upper: float_at(upper, i),
            score: float_at(score, i),
            anomalous: anomalous.value(i),
            anomalies: text_at(anomalies, i),
            inputs: floats_at(inputs, i),
        };
        Ok((0..batch.num_rows()).map(one).collect())
    }
}
