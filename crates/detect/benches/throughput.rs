//! Rollup and score in process, in flow rows per CPU second: messages as on the log, decoded, cut,
//! merged and judged. Time is the process's own CPU time, so that a busy machine does not count.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use bus::config::LimitsConfig;
use bus::{Meta, Name, Outgoing, Record, Time, Where, Writer};
use detect::engine::Reading;
use detect::engine::rollup::Rollup;
use detect::engine::score::Score;
use detect::rules::Source;
use detect::{RuleSet, Topics, check_rules};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::task::{Engine, Input, Out, Outputs, Place, Watermarks};

const ROWS: usize = 5_000;
const MESSAGES: i64 = 200;
/// Rows a second of simulated time.
const RATE: i64 = 50_000;
const SEED: u64 = 1;
const START_MS: i64 = 1_700_000_000_000;

const SUM: &str = "
- name: sum
  from: flows
  window: { size: 10s }
  sql: SELECT dst_addr, sum(bytes_scaled) AS bytes, count(*) AS n FROM flows GROUP BY dst_addr
  watch: [{ value: bytes, models: [level] }]
";
const SHIPPED: &str = include_str!("../../../config/rules.yaml");

fn flows(rng: &mut ChaCha8Rng, groups: u32, received_ms: i64) -> RecordBatch {
    let address = |number: u32| {
        let mut bytes = [0u8; 16];
        bytes[10..12].fill(0xff);
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let mut addresses = |n: u32| -> ArrayRef {
        let all = (0..ROWS).map(|_| address(rng.random_range(0..n)));
        Arc::new(FixedSizeBinaryArray::try_from_iter(all).expect("16 bytes each"))
    };
    let (src, dst, exporter) = (addresses(50_000), addresses(groups), addresses(3));
    let mut numbers = |to: u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values((0..ROWS).map(|_| rng.random_range(1..to))))
    };
    let (bytes, packets) = (numbers(100_000), numbers(100));
    let flags = (0..ROWS).map(|_| if rng.random_bool(0.02) { 2 } else { 27 });
    let flags: ArrayRef = Arc::new(UInt16Array::from_iter_values(flags));
    let received = TimestampMillisecondArray::from(vec![received_ms; ROWS]).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(StringArray::from(vec!["default"; ROWS]))),
        ("received", Arc::new(received)),
        ("exporter", exporter),
        ("observation_domain", Arc::new(UInt32Array::from(vec![0; ROWS]))),
        ("export_version", Arc::new(UInt8Array::from(vec![9; ROWS]))),
        ("src_addr", src),
        ("dst_addr", dst),
        ("protocol", Arc::new(UInt8Array::from(vec![6; ROWS]))),
        ("tcp_flags", flags),
        ("bytes", bytes.clone()),
        ("packets", packets.clone()),
        ("bytes_scaled", bytes),
        ("packets_scaled", packets),
        ("notes", Arc::new(UInt32Array::from(vec![0; ROWS]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// A batch as messages on the log, read back.
fn framed(
    topic: &str,
    to: Where,
    batch: RecordBatch,
    writer: Writer,
    at: i64,
    out: Option<&Out>,
) -> Vec<(Meta, Record)> {
    let meta = Meta {
        schema: "flows/1".to_owned(),
        schema_fp: String::new(),
        producer: "bench".to_owned(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name { writer, offset: at, index: 0 },
        config_fp: None,
        replay_id: None,
        extra: out.map(|out| out.headers.clone()).unwrap_or_default(),
    };
    let topic = Arc::from(topic);
    let outgoing = Outgoing { topic, to, batch, key: None, time: Time::At(at), meta };
    let framed = bus::frame(outgoing, 1, &LimitsConfig::default()).expect("a frame");
    let read = framed.records.into_iter().map(|out| {
        let record = Record {
            topic: out.topic,
            partition: out.partition,
            offset: at,
            timestamp_ms: out.timestamp_ms,
            key: out.key,
            headers: out.headers,
            payload: out.payload,
        };
        (Meta::parse(&record).expect("headers of ours"), record)
    });
    read.collect()
}

fn take<E: Engine>(engine: &mut E, read: &(Meta, Record), marks: &Watermarks) -> Outputs {
    let mut out = Outputs::default();
    let (meta, record) = read;
    let input = Input {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        meta,
        record,
        watermarks: marks,
        limits: model::ipc::Limits::default(),
    };
    engine.message(&input, &mut out).unwrap_or_else(|bad| panic!("{bad}"));
    out
}

/// CPU seconds of this process, user and system, in ticks of 10 ms (proc(5), fields 14 and 15).
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn run(name: &str, rules: &Arc<RuleSet>, groups: u32) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let ingest = || Writer::Instance { stage: "ingest".into(), instance: "a".into(), epoch: 1 };
    let at_ms = |message: i64| START_MS + message * ROWS as i64 * 1000 / RATE;
    let topics = Arc::new(Topics::new("gannet.", 1));
    let input: Vec<(Meta, Record)> = (0..MESSAGES)
        .flat_map(|message| {
            let batch = flows(&mut rng, groups, at_ms(message));
            framed(&topics.flows, Where::Fixed(0), batch, ingest(), message, None)
        })
        .collect();
    let reading = Arc::new(Reading::new(rules, Source::Flows));
    let mut rollup = Rollup::new(Arc::clone(rules), Arc::clone(&topics), Source::Flows, reading);
    let mut score = Score::new(Arc::clone(rules), Arc::clone(&topics));
    let (mut states, mut signals) = (0, 0);
    let (mut scoring, mut said_ms) = (0.0, START_MS);
    let started = cpu_s();
    for read in &input {
        let at = read.1.offset;
        let watermark_ms = at_ms(at);
        let out = take(&mut rollup, read, &Watermarks::fixed(Some(watermark_ms), &[]));
        let before = cpu_s();
        let writer = Writer::Task { stage: "rollup".into(), topic_id: "t".into(), partition: 0 };
        // Data carries the watermark that was said before it.
        let marks = Watermarks::fixed(Some(said_ms), &[(&topics.flows, said_ms)]);
        said_ms = out.watermark_ms().unwrap_or(said_ms);
        for data in out.data() {
            states += data.batch.num_rows();
            let to = match &data.place {
                Place::ByColumn(column) => Where::ByColumn(column.clone()),
                _ => Where::Fixed(0),
            };
            let batch = data.batch.clone();
            let all = framed(&topics.partials, to, batch, writer.clone(), at, Some(data));
            for read in all {
                let out = take(&mut score, &read, &marks);
                signals += out.data().map(|data| data.batch.num_rows()).sum::<usize>();
            }
        }
        scoring += cpu_s() - before;
    }
    let rows = input.iter().map(|(meta, _)| u64::from(meta.rows)).sum::<u64>() as f64;
    let all = cpu_s() - started;
    println!(
        "  {name:24} {groups:6} groups  {:.2} M rows per CPU second (rollup alone {:.2} M), \
         {states} state rows, {signals} points and anomalies",
        rows / all / 1e6,
        rows / (all - scoring).max(0.01) / 1e6,
    );
}

fn main() {
    println!(
        "{} rows of {} messages, {RATE} rows/s, seed {SEED}",
        ROWS as i64 * MESSAGES,
        MESSAGES
    );
    let sum = Arc::new(check_rules(SUM).unwrap_or_else(|error| panic!("{error}")));
    let shipped = Arc::new(check_rules(SHIPPED).unwrap_or_else(|error| panic!("{error}")));
    for groups in [100, 10_000] {
        run("one rule, sum and count", &sum, groups);
        run("the shipped rules", &shipped, groups);
    }
}
