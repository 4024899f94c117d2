//! State rows that no message can carry, and states of another plan: what is left of their windows
//! is marked, and no model takes it for whole.

use model::rows::{AnomalyKind, Signal};
use runtime::task::ROW_TOO_LARGE;

use super::rig::{Message, Rolled, Scored, Sent, detect, roll, rules};
use super::rows::{Flow, flows, text};
use crate::rules::Source;

const START: i64 = 1_700_000_000_000;
const BIG: u32 = 0x0a00_0001;
const SMALL: u32 = 0x0a00_0002;
/// Addresses of 16 bytes: a million bytes of state.
const TOO_MANY: u32 = 65_000;

/// An exact count: its state is the set of what it has seen.
const RULES: &str = "
- name: sources
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, count(distinct src_addr) AS sources FROM flows GROUP BY dst_addr
  watch: [{ value: sources, models: [level: { warmup: 20 }, threshold: { above: 1000 }] }]
";

fn flow(received: i64, dst: u32, src: u32) -> Flow {
    let received = START + received;
    Flow { received, last: None, src, dst, protocol: 6, flags: 16, packets: 1, bytes: 100 }
}

/// A window of ten seconds each: about a hundred sources of both groups.
fn window(number: i64, groups: &[u32]) -> Vec<Flow> {
    let sources = |dst: u32| {
        let count = 100 + (number * 7 % 5) as u32;
        (0..count).map(move |src| flow(number * 10_000 + 1_000, dst, src))
    };
    groups.iter().flat_map(|dst| sources(*dst)).collect()
}

/// Each list of rows is a chunk of its own.
fn messages(chunks: &[Vec<Flow>]) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for rows in chunks {
        let watermark_ms = rows.iter().map(|row| row.received).max().unwrap() + 2_000;
        all.push(Message { batch: flows(rows), watermark_ms });
    }
    let end = all.last().unwrap().watermark_ms + 60_000;
    all.push(Message { batch: flows(&[]), watermark_ms: end });
    all
}

fn of_group(signals: &[Signal], dst: u32) -> Vec<Signal> {
    let key = format!("dst_addr={}", text(dst));
    signals.iter().filter(|signal| signal.key == key).cloned().collect()
}

#[test]
fn a_row_over_the_message_limit_marks_its_point_and_no_other() {
    let flood = |at: i64| (0..TOO_MANY).map(|src| flow(at, BIG, src)).collect::<Vec<Flow>>();
    let mut chunks: Vec<Vec<Flow>> = (0..30).map(|n| window(n, &[BIG, SMALL])).collect();
    // One window loses all of the group's state, the next one chunk of two.
    chunks.push([flood(301_000), window(30, &[SMALL])].concat());
    chunks.push(flood(311_000));
    let rest: Vec<Flow> = window(31, &[BIG, SMALL])
        .into_iter()
        .map(|row| Flow { received: row.received + 4_000, ..row })
        .collect();
    chunks.push(rest);
    chunks.extend((32..34).map(|n| window(n, &[BIG, SMALL])));

    let set = rules(RULES);
    let rolled = roll(&set, Source::Flows, &[messages(&chunks)]);
    assert_eq!(rolled.dead.len(), 2);
    for dead in &rolled.dead {
        assert_eq!(dead.kind, ROW_TOO_LARGE);
        assert!(dead.reason.contains("rule sources"), "{}", dead.reason);
        assert!(dead.reason.contains(&format!("dst_addr={}", text(BIG))), "{}", dead.reason);
        assert_eq!((dead.out.topic.as_str(), dead.out.batch.num_rows()), ("gannet.partials.v1", 1));
    }
    let (signals, anomalies) = detect(&set, Source::Flows, &[messages(&chunks)], 1);
    assert_eq!(anomalies, [], "what is left of a count is no evidence");
    let (big, small) = (of_group(&signals, BIG), of_group(&signals, SMALL));
    assert!(small.iter().all(|signal| signal.complete) && small.len() >= 34);
    let incomplete: Vec<(i64, Option<f64>)> = big
        .iter()
        .filter(|signal| !signal.complete)
        .map(|signal| ((signal.window_start_ms - START) / 10_000, signal.value))
        .collect();
    assert_eq!(incomplete, [(30, None), (31, Some(102.0))]);
    assert!(big[30].expected.is_none() && big[31].score.is_none(), "not judged");

    // Nor learned: the next points are judged as if these two had not been there at all.
    let mut without: Vec<Vec<Flow>> = (0..30).map(|n| window(n, &[BIG, SMALL])).collect();
    without.extend([30, 31].map(|n| window(n, &[SMALL])));
    without.extend((32..34).map(|n| window(n, &[BIG, SMALL])));
    let (expected, _) = detect(&set, Source::Flows, &[messages(&without)], 1);
    let after = |signals: &[Signal]| signals[32..34].to_vec();
    assert_eq!(after(&big), after(&of_group(&expected, BIG)));
    assert!(after(&big).iter().all(|signal| signal.score.is_some()));
}

/// A group of which nothing else was ever seen has a point, too.
#[test]
fn a_group_that_is_always_too_large_is_said() {
    let chunks: Vec<Vec<Flow>> = (0..2)
        .map(|n| (0..TOO_MANY).map(|src| flow(n * 10_000 + 1_000, BIG, src)).collect())
        .collect();
    let (signals, _) = detect(&rules(RULES), Source::Flows, &[messages(&chunks)], 1);
    let points: Vec<(Option<f64>, bool)> =
        of_group(&signals, BIG).iter().take(2).map(|s| (s.value, s.complete)).collect();
    assert_eq!(points, [(None, false), (None, false)]);
}

/// States under another plan of the rule are not read: their window is not whole, the next one is.
#[test]
fn a_window_with_states_of_another_plan_is_not_whole() {
    let rule = |more: &str| {
        rules(&format!(
            "
- name: rows
  from: flows
  window: {{ size: 10s }}
  sql: SELECT dst_addr, count(*) AS n FROM flows {more} GROUP BY dst_addr
  watch: [{{ value: n, models: [threshold: {{ below: 50 }}] }}]
"
        ))
    };
    let (before, now) = (rule(""), rule("WHERE protocol = 6"));
    let half = |number: i64, add: i64| -> Vec<Flow> {
        (0..50).map(|src| flow(number * 10_000 + 1_000 + add, BIG, src)).collect()
    };
    let old = roll(&before, Source::Flows, &[messages(&[half(0, 0)])]);
    let new = roll(&now, Source::Flows, &[messages(&[half(0, 3_000), window(1, &[BIG])])]);
    let mut points = Vec::new();
    let data = |rolled: &Rolled, partition: usize| -> Vec<Sent> {
        let sent = rolled.sent[0][partition].iter();
        sent.filter(|sent| matches!(sent, Sent::Data(_))).cloned().collect()
    };
    for partition in 0..super::rig::PARTITIONS as usize {
        let mut task = Scored::new(&now, Source::Flows, 1);
        for sent in data(&old, partition).iter().chain(&new.sent[0][partition]) {
            task.push(0, sent);
        }
        let opened = task.anomalies.iter().filter(|a| a.kind == AnomalyKind::Open).count();
        assert_eq!(opened, 0, "half a window is no evidence");
        points.extend(task.signals.iter().map(|s| (s.value, s.complete)));
    }
    points.truncate(2);
    assert_eq!(points, [(Some(50.0), false), (Some(102.0), true)]);
}
