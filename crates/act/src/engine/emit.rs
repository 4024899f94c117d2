//! Rows as messages: each step of an execution one, under a name of its own (execution, serial,
//! attempt); the same as a JSON CloudEvent for readers without Arrow; and changes as evidence.

use bus::{Name, Writer};
use bytes::Bytes;
use model::rows::{Action, Change};
use model::schema::{self, TopicSchema, hex16};
use model::time::rfc3339;
use runtime::task::{BadMessage, Out, Outputs, Place, Raw};

use super::Done;
use crate::metrics;

/// Where rows go (full names).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub actions: String,
    pub json: String,
    pub evidence: String,
}

/// Behind `ce_type`, with the state in the middle: a change of meaning is a new version.
const EVENT: (&str, &str) = ("gannet.action.", ".v1");

/// Hands out what a turn made.
pub fn done(topics: &Topics, done: &Done, out: &mut Outputs) -> Result<(), BadMessage> {
    for row in &done.rows {
        action(topics, row, out)?;
    }
    for (serial, row) in &done.changes {
        change(topics, row, *serial, out)?;
    }
    Ok(())
}

fn action(topics: &Topics, row: &Action, out: &mut Outputs) -> Result<(), BadMessage> {
    let batch = Action::to_batch(std::slice::from_ref(row)).map_err(bad)?;
    let json = json(row);
    let domain = Bytes::from(row.domain.clone());
    let headers = cloud_event(row);
    out.count(metrics::STEPS, &[(metrics::LABEL_STATE, row.state.as_str())], 1);
    out.send(message(
        &topics.actions,
        schema::actions(),
        batch,
        &row.domain,
        row.time_ms,
        &headers,
    ));
    out.name_last(name(&row.execution, i64::from(row.serial), 0));
    out.raw(Raw {
        topic: topics.json.clone(),
        content_type: "application/json".to_owned(),
        payload: Bytes::from(json.to_string()),
        place: Place::ByKey(domain),
        key: Some(Bytes::from(row.execution.clone())),
        timestamp_ms: row.time_ms,
        headers,
        urgent: true,
    });
    out.name_last(name(&row.execution, i64::from(row.serial), 1));
    Ok(())
}

/// The row by the names of its columns, times as text; what is null is left out.
fn json(row: &Action) -> serde_json::Value {
    let columns = serde_json::json!({
        "domain": row.domain,
        "time": rfc3339(row.time_ms),
        "execution": row.execution,
        "incident": row.incident,
        "playbook": row.playbook,
        "serial": row.serial,
        "state": row.state.as_str(),
        "step": row.step,
        "attempt": row.attempt,
        "device": row.device,
        "entity": row.entity,
        "action": row.action,
        "driver": row.driver,
        "command": row.command,
        "result": row.result,
        "reason": row.reason,
        "plan_hash": row.plan_hash,
        "plan": row.plan,
        "gates": (!row.gates.is_empty()).then_some(&row.gates),
        "who": row.who,
        "until": row.until_ms.map(rfc3339),
    });
    match columns {
        serde_json::Value::Object(mut map) => {
            map.retain(|_, value| !value.is_null());
            serde_json::Value::Object(map)
        }
        other => other,
    }
}

/// A change has the name of its row, on another topic.
fn change(topics: &Topics, row: &Change, serial: u32, out: &mut Outputs) -> Result<(), BadMessage> {
    let batch = Change::to_batch(std::slice::from_ref(row)).map_err(bad)?;
    let schema = schema::changes();
    out.send(message(&topics.evidence, schema, batch, &row.domain, row.time_ms, &[]));
    out.name_last(name(&row.execution, i64::from(serial), 0));
    Ok(())
}

fn bad(error: impl std::fmt::Display) -> BadMessage {
    BadMessage::new("rows", error)
}

fn message(
    topic: &str,
    schema: &TopicSchema,
    batch: arrow::array::RecordBatch,
    domain: &str,
    time_ms: i64,
    headers: &[(String, String)],
) -> Out {
    Out {
        topic: topic.to_owned(),
        schema: schema.header(),
        schema_fp: schema.fingerprint.clone(),
        batch,
        place: Place::ByKey(Bytes::from(domain.to_owned())),
        key: None,
        min_ts_ms: time_ms,
        max_ts_ms: time_ms,
        headers: headers.to_vec(),
        urgent: true,
    }
}

fn name(execution: &str, offset: i64, index: u32) -> Name {
    let (stage, instance) = ("act".to_owned(), execution.to_owned());
    Name { writer: Writer::Instance { stage, instance, epoch: 0 }, offset, index }
}

/// The context attributes as headers, and the trace context of the incident, so that what is done
/// about it is one trace with it.
fn cloud_event(row: &Action) -> Vec<(String, String)> {
    let id = format!("{}/{}", row.execution, row.serial);
    let kind = format!("{}{}{}", EVENT.0, row.state.as_str(), EVENT.1);
    let trace = format!("{}{}", hex16(row.incident.as_bytes()), hex16(row.domain.as_bytes()));
    let span = hex16(id.as_bytes());
    let of = |name: &str, value: String| (name.to_owned(), value);
    vec![
        of("ce_specversion", "1.0".to_owned()),
        of("ce_id", id),
        of("ce_source", format!("/gannet/act/{}", row.domain)),
        of("ce_type", kind),
        of("ce_subject", row.execution.clone()),
        of("ce_time", rfc3339(row.time_ms)),
        of("traceparent", format!("00-{trace}-{span}-01")),
    ]
}
