//! The shipped rule for a silent exporter, over the rows that ingest publishes.

use model::rows::{Anomaly, AnomalyKind, Metric, Quality};

use super::rig::{Message, detect, rules};
use crate::rules::Source;

const SHIPPED: &str = include_str!("../../../../../config/rules.yaml");
const START: i64 = 1_700_000_000_000;

fn metric(received_ms: i64, device: &str, value: f64) -> Metric {
    Metric {
        domain: "default".into(),
        received_ms,
        device: device.into(),
        entity: None,
        metric: "exporter_records".into(),
        value,
        rate: None,
        quality: Quality::Ok,
        device_time_ms: None,
        instance: Some("a".into()),
    }
}

/// What each of two exporters is reported with in each second; `None` is no row.
fn run(seconds: i64, of: impl Fn(i64, &str) -> Option<f64>) -> Vec<Anomaly> {
    let mut messages = Vec::new();
    for second in 0..seconds {
        let at = START + second * 1000;
        let rows: Vec<Metric> = ["192.0.2.1", "192.0.2.2"]
            .into_iter()
            .filter_map(|device| Some(metric(at, device, of(second, device)?)))
            .collect();
        let batch = Metric::to_batch(&rows).unwrap();
        messages.push(Message { batch, watermark_ms: at + 1000 });
    }
    detect(&rules(SHIPPED), Source::Metrics, &[messages], 1).1
}

#[test]
fn an_exporter_that_stops_is_silent_until_it_sends_again() {
    let silent = |second| (600..700).contains(&second);
    let anomalies = run(800, |second, device| {
        Some(if device == "192.0.2.2" && silent(second) { 0.0 } else { 100.0 })
    });
    let kinds: Vec<AnomalyKind> = anomalies.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [AnomalyKind::Open, AnomalyKind::Clear]);
    assert_eq!(anomalies[0].entity.as_ref().unwrap().name, "192.0.2.2");
    assert!(anomalies[0].why.starts_with("silent"), "{}", anomalies[0].why);
    let delay_s = (anomalies[0].time_ms - START) / 1000 - 600;
    assert!(delay_s <= 60, "{delay_s} s");
    assert_eq!(anomalies[0].id, anomalies[1].id);
}

#[test]
fn an_exporter_that_is_not_reported_on_is_not_silent() {
    let anomalies = run(800, |second, device| {
        (device == "192.0.2.1" || !(600..700).contains(&second)).then_some(100.0)
    });
    let kinds: Vec<AnomalyKind> = anomalies.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [AnomalyKind::Open, AnomalyKind::Clear]);
    assert!(anomalies[0].why.starts_with("ingest gone"), "{}", anomalies[0].why);
}

#[test]
fn exporters_that_speak_are_quiet() {
    let anomalies = run(3000, |second, _| Some(((second * 37) % 91) as f64));
    assert_eq!(anomalies, []);
}
