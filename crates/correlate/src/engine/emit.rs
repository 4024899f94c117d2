//! Incidents as messages: one row each, its id the record key; and the same as a JSON CloudEvent
//! for readers without Arrow (CloudEvents 1.0, Kafka binding in binary mode).

use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use model::rows::{Element, Incident};
use model::schema::{self, hex16};
use model::time::rfc3339;
use runtime::task::{BadMessage, Out, Outputs, Place, Raw};

use crate::metrics;

/// Where incidents go (full names).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub incidents: String,
    pub json: String,
    /// Elements of the network as they now are.
    pub topology: String,
}

/// Behind `ce_type`, with the state in the middle: a change of meaning is a new version.
const EVENT: (&str, &str) = ("gannet.incident.", ".v1");

pub(super) fn incident(
    topics: &Topics,
    incident: &Incident,
    out: &mut Outputs,
) -> Result<(), BadMessage> {
    // The state has changed already: the loop restores it.
    let batch = Incident::to_batch(std::slice::from_ref(incident)).map_err(BadMessage::chunk)?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&batch).map_err(BadMessage::chunk)?;
    writer.finish().map_err(BadMessage::chunk)?;
    let mut json = writer.into_inner();
    json.truncate(json.trim_ascii_end().len());
    let key = Bytes::from(incident.id.clone());
    let domain = Bytes::from(incident.domain.clone());
    let headers = cloud_event(incident);
    out.count(metrics::CHANGES, &[(metrics::LABEL_STATE, incident.state.as_str())], 1);
    out.send(Out {
        topic: topics.incidents.clone(),
        schema: schema::incidents().header(),
        schema_fp: schema::incidents().fingerprint.clone(),
        batch,
        place: Place::ByKey(domain.clone()),
        key: Some(key.clone()),
        min_ts_ms: incident.updated_ms,
        max_ts_ms: incident.updated_ms,
        headers: headers.clone(),
        urgent: true,
    });
    out.raw(Raw {
        topic: topics.json.clone(),
        content_type: "application/json".to_owned(),
        payload: Bytes::from(json),
        place: Place::ByKey(domain),
        key: Some(key),
        timestamp_ms: incident.updated_ms,
        headers,
        urgent: true,
    });
    Ok(())
}

/// One element a message, under its own key. One that is no more says so in its row: an output has
/// rows, so there are no tombstones.
pub(super) fn element(
    topics: &Topics,
    element: &Element,
    at_ms: i64,
    out: &mut Outputs,
) -> Result<(), BadMessage> {
    let batch = Element::to_topology(std::slice::from_ref(element)).map_err(BadMessage::chunk)?;
    out.send(Out {
        topic: topics.topology.clone(),
        schema: schema::topology().header(),
        schema_fp: schema::topology().fingerprint.clone(),
        batch,
        place: Place::ByKey(Bytes::from(element.domain.clone())),
        key: Some(Bytes::from(element.record_key())),
        min_ts_ms: at_ms,
        max_ts_ms: at_ms,
        headers: Vec::new(),
        urgent: false,
    });
    Ok(())
}

/// The context attributes as headers, and a trace context (W3C) that is the same for all changes of
/// an incident, so that they are one trace.
fn cloud_event(incident: &Incident) -> Vec<(String, String)> {
    let id = &incident.id;
    let change = format!("{id}/{}", incident.revision);
    let kind = format!("{}{}{}", EVENT.0, incident.state.as_str(), EVENT.1);
    let trace = format!("{}{}", hex16(id.as_bytes()), hex16(incident.domain.as_bytes()));
    let span = hex16(change.as_bytes());
    let of = |name: &str, value: String| (name.to_owned(), value);
    vec![
        of("ce_specversion", "1.0".to_owned()),
        of("ce_id", change),
        of("ce_source", format!("/gannet/correlate/{}", incident.domain)),
        of("ce_type", kind),
        of("ce_subject", id.clone()),
        of("ce_time", rfc3339(incident.updated_ms)),
        of("traceparent", format!("00-{trace}-{span}-01")),
    ]
}
