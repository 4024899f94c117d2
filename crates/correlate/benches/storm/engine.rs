//! The correlator on a scenario, as the task loop would run it: in simulated time, by seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{Meta, Name, Record, Writer};
use correlate::engine::Topics;
use correlate::{CorrelateConfig, Correlator};
use model::rows::{Anomaly, Element, Incident};
use model::schema;
use runtime::task::{Engine, Input, Outputs, Watermarks};

use crate::scenario::Scenario;
use crate::score::Grouped;

const STEP_MS: i64 = 1_000;
/// Past the last fault and what a root is waited for.
const END_MS: i64 = 1_200_000;

pub fn ours(scenario: &Scenario) -> Grouped {
    run(&scenario.elements, &scenario.anomalies)
}

/// The usual guide: windows of five minutes, k-means within, no map.
pub fn window(scenario: &Scenario) -> Grouped {
    let loose = |a: &Anomaly| Anomaly { entity: None, ..a.clone() };
    run(&[], &scenario.anomalies.iter().map(loose).collect::<Vec<_>>())
}

fn run(elements: &[Element], anomalies: &[Anomaly]) -> Grouped {
    let topics =
        Topics { incidents: "incidents".into(), json: "json".into(), topology: "topology".into() };
    let mut engine = Correlator::new(Arc::new(CorrelateConfig::default()), Arc::new(topics));
    let mut last: BTreeMap<String, Incident> = BTreeMap::new();
    let mut hear = |out: Outputs| {
        for data in out.data().filter(|data| data.topic == "incidents") {
            for incident in Incident::from_batch(&data.batch).expect("our own rows") {
                last.insert(incident.id.clone(), incident);
            }
        }
    };
    if !elements.is_empty() {
        let batch = Element::to_batch(elements).expect("rows have their columns");
        let schema = schema::topology_evidence().header();
        hear(message(&mut engine, &schema, &batch, 0));
    }
    let batch = Anomaly::to_batch(anomalies).expect("rows have their columns");
    let schema = schema::anomalies().header();
    hear(message(&mut engine, &schema, &batch, 0));
    let none = batch.slice(0, 0);
    for step in 1..=END_MS / STEP_MS {
        hear(message(&mut engine, &schema, &none, step * STEP_MS));
    }
    Grouped::of(&last.into_values().collect::<Vec<_>>(), anomalies)
}

fn message(
    engine: &mut Correlator,
    schema: &str,
    batch: &arrow::array::RecordBatch,
    watermark_ms: i64,
) -> Outputs {
    let meta = Meta {
        schema: schema.into(),
        schema_fp: String::new(),
        producer: "score".into(),
        rows: batch.num_rows() as u32,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name {
            writer: Writer::Task { stage: "score".into(), topic_id: "t".into(), partition: 0 },
            offset: 0,
            index: 0,
        },
        config_fp: None,
        replay_id: None,
        extra: Vec::new(),
    };
    let record = Record {
        topic: Arc::from("evidence"),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        headers: Vec::new(),
        payload: Some(model::ipc::encode(batch).expect("a batch has a form in bytes")),
    };
    let watermarks = Watermarks::fixed(Some(watermark_ms), &[]);
    let mut out = Outputs::default();
    let input = Input {
        offset: 0,
        timestamp_ms: 0,
        meta: &meta,
        record: &record,
        watermarks: &watermarks,
        limits: model::ipc::Limits::default(),
    };
    engine.message(&input, &mut out).expect("our own messages");
    out
}
