//! The event that says: retention took input of a task before it was read.

use bus::TaskId;
use model::rows::Event;

use super::outputs::{Out, Place};

/// One row for the events topic; `None` where it cannot be built (then the counter alone says it).
pub fn event(topic: &str, task: &TaskId, lost: (i64, i64), wall_ms: i64) -> Option<Out> {
    let schema = model::schema::events();
    let (from, to) = lost;
    let text = format!("offsets {from} to {to} of {}/{} are gone", task.topic, task.partition);
    let event = Event {
        domain: model::DEFAULT_DOMAIN.to_owned(),
        received_ms: wall_ms,
        device: "gannet".to_owned(),
        entity: Some(format!("{}/{}", task.topic, task.partition)),
        kind: "input".to_owned(),
        state: Some("lost".to_owned()),
        severity: Some(3),
        device_time_ms: None,
        text: Some(text),
    };
    let batch = Event::to_batch(&[event]).ok()?;
    Some(Out {
        topic: topic.to_owned(),
        schema: schema.header(),
        schema_fp: schema.fingerprint.clone(),
        batch,
        place: Place::ByColumn("device".to_owned()),
        key: None,
        min_ts_ms: wall_ms,
        max_ts_ms: wall_ms,
        headers: Vec::new(),
        urgent: true,
    })
}
