//! One sample of one metric (`metrics`).

use arrow::array::RecordBatch;

use super::build;
use super::read::{Columns, RowError, float_at, text_at, time_at};
use crate::schema;

/// How a rate came about, and so how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Ok,
    Wrap,
    Reset,
    Gap,
    Implausible,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub domain: String,
    pub received_ms: i64,
    pub device: String,
    pub entity: Option<String>,
    pub metric: String,
    pub value: f64,
    /// Increase per second.
    pub rate: Option<f64>,
    pub quality: Quality,
    pub device_time_ms: Option<i64>,
    pub instance: Option<String>,
}

impl Quality {
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Ok => "ok",
            Quality::Wrap => "wrap",
            Quality::Reset => "reset",
            Quality::Gap => "gap",
            Quality::Implausible => "implausible",
        }
    }

    fn parse(text: &str) -> Result<Quality, RowError> {
        Ok(match text {
            "ok" => Quality::Ok,
            "wrap" => Quality::Wrap,
            "reset" => Quality::Reset,
            "gap" => Quality::Gap,
            "implausible" => Quality::Implausible,
            _ => return Err(RowError::Value { column: "quality", value: text.to_owned() }),
        })
    }
}

impl Metric {
    pub fn to_batch(rows: &[Metric]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let columns = vec![
            build::text(all().map(|r| r.domain.as_str())),
            build::time(all().map(|r| r.received_ms)),
            build::text(all().map(|r| r.device.as_str())),
            build::text_or_null(all().map(|r| r.entity.as_deref())),
            build::text(all().map(|r| r.metric.as_str())),
            build::float_values(all().map(|r| r.value)),
            build::float(all().map(|r| r.rate)),
            build::text(all().map(|r| r.quality.as_str())),
            build::time_or_null(all().map(|r| r.device_time_ms)),
            build::text_or_null(all().map(|r| r.instance.as_deref())),
        ];
        Ok(build::batch(schema::metrics(), rows.len(), columns)?)
    }

    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Metric>, RowError> {
        let batch = schema::metrics().conform(batch)?;
        let columns = Columns::of(&batch);
        let text = |name| columns.text(name);
        let (domain, device, entity) = (text("domain")?, text("device")?, text("entity")?);
        let (metric, quality, instance) = (text("metric")?, text("quality")?, text("instance")?);
        let (received, device_time) = (columns.time("received")?, columns.time("device_time")?);
        let (value, rate) = (columns.float("value")?, columns.float("rate")?);
        let one = |i: usize| {
            Ok(Metric {
                domain: domain.value(i).to_owned(),
                received_ms: received.value(i),
                device: device.value(i).to_owned(),
                entity: text_at(entity, i),
                metric: metric.value(i).to_owned(),
                value: value.value(i),
                rate: float_at(rate, i),
                quality: Quality::parse(quality.value(i))?,
                device_time_ms: time_at(device_time, i),
                instance: text_at(instance, i),
            })
        };
        (0..batch.num_rows()).map(one).collect()
    }
}
