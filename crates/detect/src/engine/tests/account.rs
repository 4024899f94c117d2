//! Invariant 3 over a whole run: every row of a source is in a point, in a dead letter, late or
//! dropped, for each rule.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::task::Count;

use super::rig::{Message, PARTITIONS, Scored, Sent, interleaved, roll, rules};
use super::rows::{Flow, flows};
use crate::metrics;
use crate::rules::Source;

const START: i64 = 1_700_000_000_000;

/// Each counts its rows beside what it is about. One is by the device's time, one fails on some
/// rows, one has states that no message can carry.
const RULES: &str = "
- name: plain
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
- name: by-device
  from: flows
  window: { size: 10s, on: last, lateness: 2s }
  sql: SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
- name: divides
  from: flows
  window: { size: 5s }
  sql: SELECT dst_addr, count(*) AS n, sum(1000 / packets) AS p FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }, { value: p, models: [level] }]
- name: exact
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, count(*) AS n, count(distinct src_addr) AS s FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }, { value: s, models: [level] }]
- name: few
  from: flows
  window: { size: 10s }
  groups_max: 3
  sql: SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: n, models: [level] }]
";
const NAMES: [&str; 5] = ["by-device", "divides", "exact", "few", "plain"];

/// Three source partitions: ordinary rows, rows whose device is behind, rows of no packets, rows
/// that come after their window, and one destination with too many sources.
fn input() -> Vec<Vec<Message>> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut partitions = Vec::new();
    for partition in 0..3_i64 {
        let mut messages = Vec::new();
        for second in 0..60_i64 {
            let now = START + second * 1000;
            let one = |rng: &mut ChaCha8Rng, src: u32, dst: u32| Flow {
                received: now - if rng.random_bool(0.02) { 30_000 } else { 0 },
                last: rng.random_bool(0.5).then(|| now - rng.random_range(0..20_000)),
                src,
                dst,
                protocol: 6,
                flags: 16,
                packets: if rng.random_bool(0.001) { 0 } else { 4 },
                bytes: 100,
            };
            let mut rows: Vec<Flow> =
                (0..50).map(|src| one(&mut rng, src, 0x0a00_0000 + src % 9)).collect();
            if partition == 1 && second == 20 {
                rows.extend((0..65_000).map(|src| one(&mut rng, src, 0x0a00_0063)));
            }
            messages.push(Message { batch: flows(&rows), watermark_ms: now + 900 });
        }
        let end = START + 200_000;
        messages.push(Message { batch: flows(&[]), watermark_ms: end });
        partitions.push(messages);
    }
    partitions
}

fn by_rule(counts: &[Count], metric: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for count in counts.iter().filter(|count| count.metric == metric) {
        let rule = count.labels.iter().find(|(label, _)| *label == "rule").map(|(_, rule)| rule);
        *sums.entry(rule.cloned().unwrap_or_default()).or_default() += count.step;
    }
    sums
}

/// The rows behind state rows: every rule here has `count(*)`.
fn rows_behind(state: &RecordBatch) -> u64 {
    let schema = state.schema();
    let is_count = |name: &str| name.contains("count(") && !name.contains("DISTINCT");
    let at = schema.fields().iter().position(|field| is_count(field.name()));
    let counts = state.column(at.expect("a count")).as_primitive::<Int64Type>();
    counts.values().iter().map(|count| *count as u64).sum()
}

#[test]
fn every_row_of_a_run_is_in_a_point_dead_late_or_dropped() {
    let set = rules(RULES);
    let input = input();
    let rows: usize = input.iter().flatten().map(|message| message.batch.num_rows()).sum();
    let mut rolled = roll(&set, Source::Flows, &input);
    let mut dead: BTreeMap<String, u64> = BTreeMap::new();
    for letter in &rolled.dead {
        let rule = letter.out.headers.iter().find(|(name, _)| name == crate::engine::RULE);
        let rule = rule.map(|(_, rule)| rule.clone()).unwrap_or_default();
        *dead.entry(rule).or_default() += rows_behind(&letter.out.batch);
    }
    // A message of which score cannot make anything: its rows go to the dead letters with it.
    let broken = rolled.sent.iter_mut().flatten().flatten().find_map(|sent| match sent {
        Sent::Data(read) if read.0.extra.iter().any(|(_, value)| value == "plain") => Some(read),
        _ => None,
    });
    let (meta, record) = &mut **broken.expect("a message of the rule");
    for (name, value) in &mut meta.extra {
        if name == crate::engine::PLAN_FP {
            "another".clone_into(value);
        }
    }
    let state = model::ipc::decode(record.payload.as_ref().unwrap(), Default::default()).unwrap();
    *dead.entry("plain".to_owned()).or_default() += rows_behind(&state);

    let (mut points, mut letters): (BTreeMap<String, u64>, usize) = Default::default();
    for partition in 0..PARTITIONS as usize {
        let mut task = Scored::new(&set, Source::Flows, input.len());
        for (from, sent) in interleaved(&rolled.sent, partition, 3) {
            task.push(from, &sent);
        }
        letters += task.dead.len();
        for signal in task.signals.iter().filter(|signal| signal.value_name == "n") {
            *points.entry(signal.rule.clone()).or_default() += signal.value.unwrap_or(0.0) as u64;
        }
    }
    assert_eq!(letters, 1, "only what was broken");
    let of = |metric| by_rule(&rolled.counts, metric);
    let (late, dropped) = (of(metrics::ROLLUP_ROWS_LATE), of(metrics::ROLLUP_ROWS_DROPPED));
    let came = of(metrics::ROLLUP_ROWS_IN);
    for name in NAMES {
        let of = |sums: &BTreeMap<String, u64>| sums.get(name).copied().unwrap_or(0);
        let (out, dead, late, dropped) = (of(&points), of(&dead), of(&late), of(&dropped));
        assert_eq!(of(&came), rows as u64, "{name}");
        assert_eq!(
            rows as u64,
            out + dead + late + dropped,
            "{name}: {out} {dead} {late} {dropped}"
        );
        assert!(out > 0, "{name}");
    }
    // Each way out was taken by some rule.
    assert!(dead["exact"] > 60_000 && dead["plain"] > 0, "{dead:?}");
    assert!(late["by-device"] > late["plain"] && late["plain"] > 0, "{late:?}");
    assert!(dropped["divides"] > 0, "{dropped:?}");
}
