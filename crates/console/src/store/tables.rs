//! The store's tables as a question in SQL finds them. Their columns are those of the topics'
//! schemas.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::rows::{Action, Anomaly, Element, Event, Incident, Interface, RowError, Signal};
use model::schema;
use sql::Asked;

use super::row::{Point, Series, SeriesKey};
use super::state::State;

/// Every table's name, and the topic schema that its columns are those of.
pub const TABLES: [(&str, &str); 7] = [
    ("incidents", "incidents"),
    ("evidence", "evidence.anomaly"),
    ("signals", "signals"),
    ("actions", "actions"),
    ("topology", "topology"),
    ("interfaces", "interfaces"),
    ("events", "events"),
];

/// The columns of a table with their types and what they mean.
pub fn columns(table: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let of = TABLES.iter().find(|(name, _)| *name == table).and_then(|(_, of)| schema::get(of));
    let fields = of.map(|schema| schema.fields.as_slice()).unwrap_or_default();
    fields.iter().map(|f| (f.name.as_str(), f.kind.as_str(), f.doc.as_str())).collect()
}

/// A table as it is now. `None` where there is no such table.
pub fn table(state: &State, name: &str) -> Option<Result<Asked, RowError>> {
    let batch = batch(state, name)?;
    Some(batch.map(|batch| Asked {
        name: name.to_owned(),
        schema: schema_of(&batch),
        batches: vec![batch],
    }))
}

fn schema_of(batch: &RecordBatch) -> SchemaRef {
    batch.schema()
}

fn batch(state: &State, name: &str) -> Option<Result<RecordBatch, RowError>> {
    Some(match name {
        "incidents" => {
            let rows: Vec<Incident> =
                state.incidents.values().map(|doc| doc.incident.clone()).collect();
            Incident::to_batch(&rows)
        }
        "evidence" => {
            let rows: Vec<Anomaly> = state.evidence.rows.iter().cloned().collect();
            Anomaly::to_batch(&rows)
        }
        "signals" => {
            let rows: Vec<Signal> = state
                .series
                .iter()
                .flat_map(|(key, series)| series.points.iter().map(|p| signal(key, series, p)))
                .collect();
            Signal::to_batch(&rows)
        }
        "actions" => {
            let rows: Vec<Action> =
                state.executions.values().flat_map(|e| e.steps.iter().cloned()).collect();
            Action::to_batch(&rows)
        }
        "topology" => {
            let rows: Vec<Element> = state.elements.values().cloned().collect();
            Element::to_topology(&rows)
        }
        "interfaces" => {
            let rows: Vec<Interface> = state.interfaces.values().cloned().collect();
            Interface::to_batch(&rows)
        }
        "events" => {
            let rows: Vec<Event> = state.events.rows.iter().cloned().collect();
            Event::to_batch(&rows)
        }
        _ => return None,
    })
}

fn signal(key: &SeriesKey, series: &Series, point: &Point) -> Signal {
    let given = |value: f64| (!value.is_nan()).then_some(value);
    Signal {
        domain: series.domain.clone(),
        rule: key.rule.clone(),
        rule_fp: series.rule_fp.clone(),
        key: key.key.clone(),
        window_start_ms: point.start_ms,
        window_end_ms: point.end_ms,
        value_name: key.value_name.clone(),
        value: given(point.value),
        complete: point.is_complete,
        expected: given(point.expected),
        lower: given(point.lower),
        upper: given(point.upper),
        score: given(point.score),
        anomalous: point.is_anomalous,
        anomalies: None,
        inputs: Vec::new(),
    }
}
