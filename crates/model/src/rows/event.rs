//! A discrete event (`events`).

use arrow::array::{Array, RecordBatch};

use super::build;
use super::read::{Columns, RowError, text_at, time_at};
use crate::schema;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub domain: String,
    pub received_ms: i64,
    pub device: String,
    pub entity: Option<String>,
    pub kind: String,
    pub state: Option<String>,
    /// 0 emergency to 7 debug (RFC 5424 §6.2.1).
    pub severity: Option<u8>,
    pub device_time_ms: Option<i64>,
    pub text: Option<String>,
}

impl Event {
    pub fn to_batch(rows: &[Event]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let columns = vec![
            build::text(all().map(|r| r.domain.as_str())),
            build::time(all().map(|r| r.received_ms)),
            build::text(all().map(|r| r.device.as_str())),
            build::text_or_null(all().map(|r| r.entity.as_deref())),
            build::text(all().map(|r| r.kind.as_str())),
            build::text_or_null(all().map(|r| r.state.as_deref())),
            build::uint8(all().map(|r| r.severity)),
            build::time_or_null(all().map(|r| r.device_time_ms)),
            build::text_or_null(all().map(|r| r.text.as_deref())),
        ];
        Ok(build::batch(schema::events(), rows.len(), columns)?)
    }

    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Event>, RowError> {
        let batch = schema::events().conform(batch)?;
        let columns = Columns::of(&batch);
        let text = |name| columns.text(name);
        let (domain, device, entity) = (text("domain")?, text("device")?, text("entity")?);
        let (kind, state, raw) = (text("kind")?, text("state")?, text("text")?);
        let (received, device_time) = (columns.time("received")?, columns.time("device_time")?);
        let severity = columns.uint8("severity")?;
        let one = |i: usize| Event {
            domain: domain.value(i).to_owned(),
            received_ms: received.value(i),
            device: device.value(i).to_owned(),
            entity: text_at(entity, i),
            kind: kind.value(i).to_owned(),
            state: text_at(state, i),
            severity: severity.is_valid(i).then(|| severity.value(i)),
            device_time_ms: time_at(device_time, i),
            text: text_at(raw, i),
        };
        Ok((0..batch.num_rows()).map(one).collect())
    }
}
