//! The same rows give the same points, however they are dealt to partitions, cut into chunks and
//! interleaved; and those points are what the query gives on the whole window.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use model::rows::Signal;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::task::Engine;

use super::rig::{Message, Scored, detect, interleaved, roll, rules};
use super::rows::{Flow, flows};
use crate::engine::key::value_text;
use crate::rules::Source;

const START: i64 = 1_700_000_000_000;

const RULES: &str = "
- name: sliding
  from: flows
  window: { size: 10s, every: 5s }
  sql: |
    SELECT dst_addr, count(*) AS n, sum(bytes) AS bytes, approx_distinct(src_addr) AS sources
    FROM flows WHERE protocol = 6 GROUP BY dst_addr
  watch:
    - { value: n, models: [level] }
    - { value: bytes, models: [threshold: { above: 20000 }] }
    - { value: sources, models: [threshold: { above: 1000 }] }
- name: two-columns
  from: flows
  window: { size: 7s }
  sql: SELECT dst_addr, protocol, max(bytes) AS most FROM flows GROUP BY dst_addr, protocol
  watch: [{ value: most, models: [level] }]
";

fn random_flows(seed: u64, seconds: i64) -> Vec<Flow> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<Flow> = (0..seconds * 60)
        .map(|_| Flow {
            received: START + rng.random_range(0..seconds * 1000),
            last: None,
            src: rng.random_range(0..400),
            dst: 0x0a000000 + rng.random_range(0..20),
            protocol: if rng.random_bool(0.8) { 6 } else { 17 },
            flags: 16,
            packets: 1,
            bytes: rng.random_range(40..1500),
        })
        .collect();
    rows.sort_by_key(|row| row.received);
    rows
}

/// Deals rows to partitions, cuts them into messages and tells each one's true watermark, at the
/// end one beyond all windows.
fn dealt(rows: &[Flow], partitions: usize, seed: u64, per_message: usize) -> Vec<Vec<Message>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut of: Vec<Vec<Flow>> = vec![Vec::new(); partitions];
    for row in rows {
        of[rng.random_range(0..partitions)].push(row.clone());
    }
    let end = rows.last().expect("rows").received + 60_000;
    let mut messages = Vec::new();
    for rows in of {
        let mut all = Vec::new();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rng.random_range(1..=per_message).min(rest.len()));
            let mut head = head.to_vec();
            head.shuffle(&mut rng);
            let watermark_ms = tail.first().map_or(end, |row| row.received);
            all.push(Message { batch: flows(&head), watermark_ms });
            rest = tail;
        }
        all.push(Message { batch: flows(&[]).slice(0, 0), watermark_ms: end });
        messages.push(all);
    }
    messages
}

fn values(signals: &[Signal]) -> Vec<(String, i64, String, String, Option<f64>)> {
    signals
        .iter()
        .filter(|s| s.value.is_some())
        .map(|s| (s.rule.clone(), s.window_start_ms, s.key.clone(), s.value_name.clone(), s.value))
        .collect()
}

#[test]
fn results_do_not_depend_on_partitions_chunks_or_arrival() {
    let rules = rules(RULES);
    let rows = random_flows(7, 45);
    let (expected, anomalies) = detect(&rules, Source::Flows, &dealt(&rows, 1, 1, 10_000), 1);
    assert!(expected.len() > 500 && !anomalies.is_empty());
    for (partitions, seed, per_message) in [(1, 2, 7), (4, 3, 50), (4, 4, 500), (12, 5, 20)] {
        let messages = dealt(&rows, partitions, seed, per_message);
        let (signals, others) = detect(&rules, Source::Flows, &messages, seed);
        assert_eq!(signals, expected, "{partitions} partitions, {per_message} rows a message");
        assert_eq!(others, anomalies);
    }
}

#[test]
fn points_are_what_the_query_gives_on_the_whole_window() {
    let set = rules(RULES);
    let rows = random_flows(11, 30);
    let (signals, _) = detect(&set, Source::Flows, &dealt(&rows, 4, 3, 40), 9);
    let got: Vec<_> = values(&signals).into_iter().filter(|(rule, ..)| rule == "sliding").collect();
    let sql = "SELECT dst_addr, count(*) AS n, sum(bytes) AS bytes, \
               approx_distinct(src_addr) AS sources, domain \
               FROM flows WHERE protocol = 6 GROUP BY dst_addr, domain";
    let mut expected = Vec::new();
    let first = START.div_euclid(5000) * 5000 - 5000;
    for start in (first..START + 30_000).step_by(5000) {
        let inside = |row: &&Flow| (start..start + 10_000).contains(&row.received);
        let of_window: Vec<Flow> = rows.iter().filter(inside).cloned().collect();
        let result = sql::run_whole(sql, "flows", &[flows(&of_window)]).unwrap();
        expected.extend(points_of(&result, start));
    }
    expected.sort_by(|a, b| (a.1, &a.2, &a.3).cmp(&(b.1, &b.2, &b.3)));
    assert_eq!(got, expected);
}

fn points_of(result: &RecordBatch, start: i64) -> Vec<(String, i64, String, String, Option<f64>)> {
    let mut points = Vec::new();
    for row in 0..result.num_rows() {
        let key = format!("dst_addr={}", value_text(result.column(0).as_ref(), row));
        for name in ["n", "bytes", "sources"] {
            let column = result.column_by_name(name).unwrap();
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64).unwrap();
            let value = column.as_primitive::<Int64Type>().value(row) as f64;
            assert!(column.is_valid(row));
            points.push(("sliding".into(), start, key.clone(), name.into(), Some(value)));
        }
    }
    points
}

/// Floats are summed in the order of source partitions: the same however these interleave.
#[test]
fn float_sums_do_not_depend_on_interleaving() {
    let rules = rules(
        "
- name: floats
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, avg(1.0 / bytes) AS mean, stddev(1.0 / bytes) AS spread FROM flows
       GROUP BY dst_addr
  watch: [{ value: mean, models: [level] }, { value: spread, models: [level] }]
",
    );
    let messages = dealt(&random_flows(3, 40), 4, 3, 11);
    let (expected, _) = detect(&rules, Source::Flows, &messages, 1);
    for seed in 2..6 {
        assert_eq!(detect(&rules, Source::Flows, &messages, seed).0, expected);
    }
}

#[test]
fn a_restored_task_says_the_same_as_one_that_went_on() {
    let rules = rules(RULES);
    let rolled = roll(&rules, Source::Flows, &dealt(&random_flows(5, 45), 3, 3, 30));
    let log = interleaved(&rolled.sent, 1, 1);
    let mut whole = Scored::new(&rules, Source::Flows, 3);
    let mut all: BTreeMap<usize, (usize, Vec<runtime::task::Block>)> = BTreeMap::new();
    for (at, (from, sent)) in log.iter().enumerate() {
        if at % 41 == 17 {
            all.insert(at, (whole.signals.len(), whole.engine.snapshot()));
        }
        whole.push(*from, sent);
    }
    assert!(all.len() > 5);
    for (at, (said, blocks)) in all {
        let mut other = Scored::new(&rules, Source::Flows, 3);
        // The loop keeps the watermarks; here they are told again, to an engine then thrown away.
        log[..at].iter().for_each(|(from, sent)| other.push(*from, sent));
        other.engine = Scored::new(&rules, Source::Flows, 3).engine;
        other.engine.restore(&blocks).unwrap();
        let before = other.signals.len();
        log[at..].iter().for_each(|(from, sent)| other.push(*from, sent));
        assert_eq!(other.signals[before..], whole.signals[said..]);
        assert_eq!(other.engine.snapshot(), whole.engine.snapshot());
        assert_eq!(other.dead, whole.dead);
    }
}

#[test]
fn states_that_are_not_this_rule_s_are_dead_letters() {
    let rules_of_now = rules(RULES);
    let rules_before = rules(&RULES.replace("count(*)", "count(bytes)"));
    let messages = dealt(&random_flows(5, 12), 1, 3, 30);
    let rolled = roll(&rules_before, Source::Flows, &messages);
    let mut task = Scored::new(&rules_of_now, Source::Flows, 1);
    for (from, sent) in interleaved(&rolled.sent, 1, 1) {
        task.push(from, &sent);
    }
    assert!(task.dead.iter().all(|reason| *reason == "plan-fp") && !task.dead.is_empty());
    assert!(task.signals.iter().all(|signal| signal.rule == "two-columns"));
}

#[test]
fn groups_over_the_limit_go_into_other_and_none_is_lost() {
    let yaml = RULES.replace("  sql: |", "  groups_max: 5\n  sql: |");
    let rules = rules(&yaml);
    let rows = random_flows(9, 20);
    let of = |messages| detect(&rules, Source::Flows, messages, 4).0;
    let signals = of(&dealt(&rows, 3, 3, 50));
    let sliding = || signals.iter().filter(|s| s.rule == "sliding" && s.value_name == "n");
    assert!(sliding().any(|s| s.key == "dst_addr=other"));
    let start = START.div_euclid(5000) * 5000;
    let of_window = |start: i64| {
        sliding().filter(|s| s.window_start_ms == start).filter_map(|s| s.value).sum::<f64>()
    };
    let window = start..start + 10_000;
    let tcp = |row: &&Flow| row.protocol == 6 && window.contains(&row.received);
    assert_eq!(of_window(start), rows.iter().filter(tcp).count() as f64);
}
