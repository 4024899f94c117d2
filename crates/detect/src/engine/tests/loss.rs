//! The shipped rule for loss, over the rows that ingest publishes: a share in the exporter's unit.

use model::rows::{Metric, Quality};

use super::rig::{Message, detect, rules};
use crate::rules::Source;

const SHIPPED: &str = include_str!("../../../../../config/rules.yaml");
const START: i64 = 1_700_000_040_000;

/// An interval of an exporter that counts packets, 24 records in each.
fn interval(at: i64, lost: f64, received: f64) -> Message {
    let row = |metric: &str, value| Metric {
        domain: "default".into(),
        received_ms: at,
        device: "192.0.2.1".into(),
        entity: None,
        metric: metric.into(),
        value,
        rate: None,
        quality: Quality::Ok,
        device_time_ms: None,
        instance: Some("a".into()),
    };
    let rows = [
        row("exporter_lost", lost),
        row("exporter_received", received),
        row("exporter_records", received * 24.0),
        row("exporter_missed", 1_000.0),
    ];
    Message { batch: Metric::to_batch(&rows).unwrap(), watermark_ms: at + 1000 }
}

#[test]
fn a_share_of_packets_is_a_share_whatever_a_packet_holds() {
    // Of 60 s windows, 6 intervals each: a quarter is lost, then nothing, then nothing is sent.
    let of = |window: i64| match window {
        0..3 => (10.0, 30.0),
        3..6 => (0.0, 40.0),
        _ => (0.0, 0.0),
    };
    let messages = (0..54).map(|nth| {
        let (lost, received) = of(nth / 6);
        interval(START + nth * 10_000, lost, received)
    });
    let signals = detect(&rules(SHIPPED), Source::Metrics, &[messages.collect()], 1).0;
    let shares = signals.iter().filter(|signal| signal.rule == "exporter-loss");
    let shares: Vec<f64> = shares.filter_map(|signal| signal.value).collect();
    assert_eq!(shares[..3], [0.25; 3]);
    assert!(shares[3..].iter().all(|share| *share == 0.0) && shares.len() >= 7, "{shares:?}");
}
