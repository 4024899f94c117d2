//! How long an anomaly takes: from the moment the heartbeat that ends its chunk is handed to the
//! producer (the chunk is whole on `flows` a little later, and its report later still) to the
//! moment a reader of committed records has the evidence. Rollup and score run in this process with
//! the shipped options, so both moments are of one clock. Their commits are timed beside it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use bus::topics::TopicSpec;
use bus::{KafkaLog, Log, ReadEvent};
use detect::{DetectConfig, RollupStage, ScoreStage, Topics, check_rules};
use model::rows::{Anomaly, AnomalyKind};
use runtime::shutdown::Shutdown;

use super::feed::Feed;
use super::input::mapped;
use super::machine;
use super::process::{config, start, whole};
use super::timed::timed;

/// Anomalies of each rule.
const ANOMALIES: usize = 60;
const ROWS: usize = 500;
const PORT: u16 = 4_444;
/// Simulated time between two anomalies, and from a window's end to the heartbeat that closes it:
/// rollup waits a second for newcomers.
const STEP_MS: i64 = 3_000;
const CLOSING_MS: i64 = 2_000;
/// An anomaly that takes longer has failed.
const WAIT_MAX: Duration = Duration::from_secs(20);

const WINDOWED: &str = "windowed";
const ROW: &str = "row";
const RULES: &str = "
- name: windowed
  from: flows
  window: { size: 1s }
  key: [dst_addr]
  sql: SELECT dst_addr, sum(bytes_scaled) AS bytes FROM flows GROUP BY dst_addr
  watch: [{ value: bytes, models: [threshold: { above: 1000000 }] }]
- name: row
  from: flows
  when: dst_port = 4444
  key: [dst_addr]
";

/// Open anomalies as they are read: rule, and the second that they are about.
type Seen = (String, i64, Instant);

/// Prints the medians; an error where an anomaly does not come.
pub fn run(bootstrap: &str, now_ms: i64) -> Result<()> {
    let prefix = format!("latency{}.", std::process::id());
    let commits = Arc::new(Mutex::new(Vec::new()));
    let log = KafkaLog::open(&config(bootstrap, &prefix))?;
    let log: Arc<dyn Log> = Arc::new(timed(Arc::new(log), Arc::clone(&commits)));
    make_topics(&*log, &prefix)?;
    let shutdown = Shutdown::new();
    let rules = Arc::new(check_rules(RULES).map_err(|e| anyhow::anyhow!("{e}"))?);
    let (topics, detect) = (Topics::new(&prefix, 1), DetectConfig::default());
    let rollup = RollupStage::new(Arc::clone(&rules), topics.clone(), &detect, "bench");
    let score = ScoreStage::new(rules, topics.clone(), "bench");
    let stages = [start(&log, &prefix, rollup, &shutdown), start(&log, &prefix, score, &shutdown)];
    let measured = measure(&log, &prefix, &topics.evidence, now_ms);
    shutdown.request();
    for stage in stages {
        stage.join().map_err(|_| anyhow::anyhow!("a stage panicked"))??;
    }
    let (mut row, mut windowed) = measured?;
    let mut commits = std::mem::take(&mut *commits.lock().unwrap_or_else(PoisonError::into_inner));
    print("evidence of a row after its chunk", &mut row);
    print("evidence of a window after the chunk that ends it", &mut windowed);
    print("a commit of rollup or score", &mut commits);
    Ok(())
}

fn make_topics(log: &dyn Log, prefix: &str) -> Result<()> {
    let sources = ["flows.v1", "metrics.v1", "events.v1", "partials.v1"];
    let dead = sources.map(|source| format!("{source}.dlq"));
    let made = ["signals.v1", "evidence.v1", "snapshots.score.v1"];
    let all = sources.into_iter().chain(made).map(str::to_owned).chain(dead);
    for name in all {
        let settings = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let name = format!("{prefix}{name}");
        log.admin().create(&TopicSpec { name, partitions: 1, replication: 1, settings })?;
    }
    Ok(())
}

type Times = Vec<Duration>;

fn measure(
    log: &Arc<dyn Log>,
    prefix: &str,
    evidence: &str,
    now_ms: i64,
) -> Result<(Times, Times)> {
    let seen = watch(log, evidence)?;
    let mut feed = Feed::new(&**log, prefix, 1)?;
    let steps = ANOMALIES as i64 + 2;
    let start_ms = (now_ms - (steps + 20) * STEP_MS).div_euclid(1_000) * 1_000;
    let (mut row, mut windowed) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let at_ms = start_ms + step * STEP_MS;
        feed.flows(0, flows(at_ms, step as u32), at_ms)?;
        feed.finish()?;
        let whole = Instant::now();
        feed.heartbeats(at_ms + CLOSING_MS)?;
        feed.finish()?;
        let mut took = BTreeMap::new();
        while took.len() < 2 {
            let (rule, time_ms, at) = next(&seen)?;
            if time_ms.div_euclid(1_000) == at_ms.div_euclid(1_000) {
                took.insert(rule, at.saturating_duration_since(whole));
            }
        }
        // The first ones pay for groups, producers and connections.
        if step >= steps - ANOMALIES as i64 {
            row.extend(took.get(ROW));
            windowed.extend(took.get(WINDOWED));
        }
    }
    anyhow::ensure!((row.len(), windowed.len()) == (ANOMALIES, ANOMALIES), "one was missed");
    Ok((row, windowed))
}

fn next(seen: &Receiver<Seen>) -> Result<Seen> {
    seen.recv_timeout(WAIT_MAX).map_err(|error| match error {
        RecvTimeoutError::Timeout => anyhow::anyhow!("no evidence came within {WAIT_MAX:?}"),
        RecvTimeoutError::Disconnected => anyhow::anyhow!("the reader of evidence ended"),
    })
}

/// Reads evidence on a thread of its own; it ends when nobody listens any more.
fn watch(log: &Arc<dyn Log>, evidence: &str) -> Result<Receiver<Seen>> {
    let mut reader = whole(&**log, evidence, 1)?;
    let (sender, seen) = channel();
    std::thread::spawn(move || -> Result<()> {
        loop {
            let event = reader.poll(Duration::from_millis(100))?;
            let now = Instant::now();
            let ReadEvent::Record(record) = event else { continue };
            if record.header("rows") == Some("0") {
                continue;
            }
            let payload = record.payload.as_ref().context("a tombstone")?;
            let batch = model::ipc::decode(payload, model::ipc::Limits::default())?;
            let opened = |anomaly: &Anomaly| anomaly.kind == AnomalyKind::Open;
            for anomaly in Anomaly::from_batch(&batch)?.into_iter().filter(opened) {
                sender.send((anomaly.rule, anomaly.window_start_ms, now))?;
            }
        }
    });
    Ok(seen)
}

/// Ordinary flows, and one host that is an anomaly to both rules.
fn flows(at_ms: i64, step: u32) -> RecordBatch {
    let is_hot = |row: usize| row == ROWS / 2;
    let host = |row: usize| if is_hot(row) { 0x0aff_0000 + step } else { 0x0a00_0000 + row as u32 };
    let addresses: ArrayRef = Arc::new(
        FixedSizeBinaryArray::try_from_iter((0..ROWS).map(|row| mapped(host(row))))
            .expect("16 bytes each"),
    );
    let bytes = (0..ROWS).map(|row| if is_hot(row) { 2_000_000 } else { 1_000 });
    let ports = (0..ROWS).map(|row| if is_hot(row) { PORT } else { 443 });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(StringArray::from(vec!["default"; ROWS]))),
        (
            "received",
            Arc::new(TimestampMillisecondArray::from(vec![at_ms; ROWS]).with_timezone("UTC")),
        ),
        ("exporter", Arc::clone(&addresses)),
        ("observation_domain", Arc::new(UInt32Array::from(vec![0; ROWS]))),
        ("export_version", Arc::new(UInt8Array::from(vec![9; ROWS]))),
        ("dst_addr", addresses),
        ("dst_port", Arc::new(UInt16Array::from_iter_values(ports))),
        ("bytes_scaled", Arc::new(UInt64Array::from_iter_values(bytes))),
        ("notes", Arc::new(UInt32Array::from(vec![0; ROWS]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!(
        "  {what}: median {:.1} ms, 95 % {:.1} ms of {}, load {}",
        at(50).as_secs_f64() * 1e3,
        at(95).as_secs_f64() * 1e3,
        times.len(),
        machine::load(),
    );
}
