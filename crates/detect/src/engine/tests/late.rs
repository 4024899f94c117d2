//! Late rows: judged once, sent on once, counted for each rule: in = out + late + dropped.

use std::collections::BTreeMap;

use runtime::task::{Count, Engine};

use super::rig::{Message, Rollups, rules};
use super::rows::{Flow, flows};
use crate::metrics;
use crate::rules::Source;

const START: i64 = 1_700_000_000_000;

const RULES: &str = "
- name: by-device
  from: flows
  window: { size: 10s, on: last, lateness: 5s }
  sql: SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
- name: by-received
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
- name: divides
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, sum(1000 / packets) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
- name: row
  from: flows
  when: bytes > 1000000
";

fn flow(received: i64, last: Option<i64>, packets: u64) -> Flow {
    let (received, last) = (START + received, last.map(|last| START + last));
    Flow { received, last, src: 1, dst: 2, protocol: 6, flags: 16, packets, bytes: 100 }
}

fn by_rule(counts: &[Count], metric: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for count in counts.iter().filter(|count| count.metric == metric) {
        let (_, rule) = count.labels.iter().find(|(label, _)| *label == "rule").unwrap();
        *sums.entry(rule.clone()).or_default() += count.step;
    }
    sums
}

fn push(task: &mut Rollups, rows: &[Flow], watermark_ms: i64) {
    task.push(&Message { batch: flows(rows), watermark_ms: START + watermark_ms });
}

#[test]
fn every_row_is_out_or_late_or_dropped_for_each_rule() {
    let rules = rules(RULES);
    let mut task = Rollups::new(&rules, Source::Flows, 0);
    push(&mut task, &[flow(1_000, Some(500), 1), flow(1_500, None, 1)], 2_000);
    push(&mut task, &[flow(20_000, Some(20_000), 1), flow(20_100, Some(20_000), 0)], 40_000);
    // Late by the device's time only; then a row far ahead, which counts as received; then late by
    // both; then one that no rule but the last can compute.
    push(&mut task, &[flow(41_000, Some(1_000), 1), flow(41_000, Some(9_000_000), 1)], 42_000);
    push(&mut task, &[flow(3_000, Some(3_000), 1), flow(42_500, None, 1)], 60_000);
    assert!(task.engine.at_boundary());
    let of = |metric| by_rule(&task.rolled.counts, metric);
    let (input, out) = (of(metrics::ROLLUP_ROWS_IN), of(metrics::ROLLUP_ROWS_OUT));
    let (late, dropped) = (of(metrics::ROLLUP_ROWS_LATE), of(metrics::ROLLUP_ROWS_DROPPED));
    for rule in ["by-device", "by-received", "divides", "row"] {
        let count = |of: &BTreeMap<String, u64>| of.get(rule).copied().unwrap_or(0);
        assert_eq!(count(&input), 8, "{rule}");
        assert_eq!(count(&input), count(&out) + count(&late) + count(&dropped), "{rule}");
    }
    assert_eq!(
        late,
        BTreeMap::from([
            ("by-device".to_owned(), 2),
            ("by-received".to_owned(), 1),
            ("divides".to_owned(), 1),
        ])
    );
    assert_eq!(dropped, BTreeMap::from([("divides".to_owned(), 2)]));
    let sent: Vec<(usize, Vec<String>, &str)> = task
        .rolled
        .late
        .iter()
        .map(|late| (late.batch.num_rows(), late.rules.clone(), late.reason))
        .collect();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        sent,
        [
            (2, names(&["divides"]), "query"),
            (1, names(&["by-device"]), "late"),
            (1, names(&["by-device", "by-received", "divides"]), "late"),
        ]
    );
    let future: u64 = task
        .rolled
        .counts
        .iter()
        .filter(|count| count.metric == metrics::ROLLUP_ROWS_FUTURE)
        .map(|count| count.step)
        .sum();
    assert_eq!(future, 1);
}

/// The note is the whole state: a task restored from it judges lateness as the one before.
#[test]
fn the_note_keeps_what_was_said() {
    let rules = rules(RULES);
    let mut task = Rollups::new(&rules, Source::Flows, 0);
    push(&mut task, &[flow(1_000, None, 1)], 30_000);
    let note = task.engine.note().unwrap();
    let mut other = Rollups::new(&rules, Source::Flows, 0);
    other.engine.restore_note(&note).unwrap();
    push(&mut other, &[flow(2_000, None, 1)], 31_000);
    assert_eq!(other.rolled.late.len(), 1);
    assert!(other.engine.restore_note("soon").is_err());
    let mut fresh = Rollups::new(&rules, Source::Flows, 0);
    fresh.engine.restore_note(&fresh.engine.note().unwrap()).unwrap();
}

#[test]
fn a_chunk_ends_with_a_new_second() {
    let rules = rules(RULES);
    let mut task = Rollups::new(&rules, Source::Flows, 0);
    push(&mut task, &[flow(1_000, None, 1)], 1_000);
    for ms in [1_100, 1_500, 1_999] {
        push(&mut task, &[flow(ms, None, 1)], ms);
        assert!(!task.engine.at_boundary(), "{ms}");
    }
    push(&mut task, &[flow(2_000, None, 1)], 2_000);
    assert!(task.engine.at_boundary());
}

#[test]
fn a_rule_without_a_window_speaks_at_once() {
    let rules = rules(
        "
- name: link-down
  from: events
  when: kind = 'link' AND state = 'down'
  key: [device, entity]
  entity: { kind: device, column: device }
",
    );
    let event = |state: &str| model::rows::Event {
        domain: "default".into(),
        received_ms: START,
        device: "192.0.2.1".into(),
        entity: Some("ge-0/0/1".into()),
        kind: "link".into(),
        state: Some(state.into()),
        severity: Some(3),
        device_time_ms: None,
        text: None,
    };
    let mut task = Rollups::new(&rules, Source::Events, 0);
    let rows = [event("up"), event("down")];
    let batch = model::rows::Event::to_batch(&rows).unwrap();
    task.push(&Message { batch, watermark_ms: START });
    let [anomaly] = task.rolled.evidence.as_slice() else { panic!("{:?}", task.rolled.evidence) };
    assert_eq!(anomaly.key, "device=192.0.2.1,entity=ge-0/0/1");
    assert_eq!(anomaly.entity.as_ref().map(|e| e.name.as_str()), Some("192.0.2.1"));
    assert_eq!((anomaly.model.as_str(), anomaly.time_ms), ("row", START));
    assert!(task.engine.at_boundary());
}
