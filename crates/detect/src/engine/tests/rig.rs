//! A rig: source messages through rollup, framed, interleaved, through score.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bus::config::LimitsConfig;
use bus::{Meta, Name, OutRecord, Outgoing, Record, Time, Where, Writer};
use model::rows::{Anomaly, Signal};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use runtime::task::{Dead, Emitted, Engine, Input, Late, Out, Outputs, Place, Watermarks};

use crate::engine::Reading;
use crate::engine::rollup::Rollup;
use crate::engine::score::Score;
use crate::rules::{RuleSet, Source, check_rules};
use crate::stage::Topics;

pub const PARTITIONS: u32 = 3;

pub fn rules(yaml: &str) -> Arc<RuleSet> {
    Arc::new(check_rules(yaml).unwrap_or_else(|error| panic!("{error}")))
}

/// Rows that arrive together, and the watermark after them.
#[derive(Clone)]
pub struct Message {
    pub batch: RecordBatch,
    pub watermark_ms: i64,
}

/// What rollup's tasks sent to one partition of `partials`, in order: data or time.
#[derive(Clone)]
pub enum Sent {
    Data(Box<(Meta, Record)>),
    Watermark(i64),
}

#[derive(Default)]
pub struct Rolled {
    /// By source partition, then by partition of `partials`.
    pub sent: Vec<Vec<Vec<Sent>>>,
    pub late: Vec<Late>,
    pub dead: Vec<Dead>,
    pub evidence: Vec<Anomaly>,
    pub counts: Vec<runtime::task::Count>,
}

pub fn record(source: Source, batch: &RecordBatch, offset: i64, topics: &Topics) -> (Meta, Record) {
    let writer = Writer::Instance { stage: "ingest".into(), instance: "a".into(), epoch: 1 };
    let outgoing = Outgoing {
        topic: Arc::from(topics.of(source)),
        to: Where::Fixed(0),
        batch: model::schema::prune(batch),
        key: None,
        time: Time::At(0),
        meta: meta("flows/1", Name { writer, offset, index: 0 }, Vec::new()),
    };
    let mut framed = bus::frame(outgoing, 1, &limits()).expect("a frame").records;
    assert_eq!(framed.len(), 1, "one message a batch");
    as_read(framed.remove(0), offset)
}

fn limits() -> LimitsConfig {
    LimitsConfig { rows_max: 100_000, bytes_aim: 8 << 20, bytes_max: 9 << 20, ..Default::default() }
}

fn meta(schema: &str, name: Name, extra: Vec<(String, String)>) -> Meta {
    Meta {
        schema: schema.to_owned(),
        schema_fp: String::new(),
        producer: "test".to_owned(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name,
        config_fp: None,
        replay_id: None,
        extra,
    }
}

fn as_read(out: OutRecord, offset: i64) -> (Meta, Record) {
    let record = Record {
        topic: out.topic,
        partition: out.partition,
        offset,
        timestamp_ms: out.timestamp_ms,
        key: out.key,
        headers: out.headers,
        payload: out.payload,
    };
    (Meta::parse(&record).expect("headers of ours"), record)
}

/// One rollup task over its messages.
pub struct Rollups {
    pub engine: Rollup,
    topics: Arc<Topics>,
    source: Source,
    partition: u32,
    offset: i64,
    pub rolled: Rolled,
}

impl Rollups {
    pub fn new(rules: &Arc<RuleSet>, source: Source, partition: u32) -> Rollups {
        let topics = Arc::new(Topics::new("gannet.", PARTITIONS));
        let reading = Arc::new(Reading::new(rules, source));
        let engine = Rollup::new(Arc::clone(rules), Arc::clone(&topics), source, reading);
        let sent = vec![vec![Vec::new(); PARTITIONS as usize]];
        let rolled = Rolled { sent, ..Rolled::default() };
        Rollups { engine, topics, source, partition, offset: 0, rolled }
    }

    pub fn push(&mut self, message: &Message) {
        let (meta, record) = record(self.source, &message.batch, self.offset, &self.topics);
        let watermarks = Watermarks::fixed(Some(message.watermark_ms), &[]);
        let mut out = Outputs::default();
        let input = Input {
            offset: self.offset,
            timestamp_ms: record.timestamp_ms,
            meta: &meta,
            record: &record,
            watermarks: &watermarks,
            limits: model::ipc::Limits::default(),
        };
        self.engine.message(&input, &mut out).unwrap_or_else(|bad| panic!("{bad}"));
        self.take(&out);
        self.offset += 1;
    }

    fn take(&mut self, out: &Outputs) {
        for emitted in out.emitted() {
            match emitted {
                Emitted::Late(late) => self.rolled.late.push(late.clone()),
                Emitted::Dead(dead) => self.rolled.dead.push(dead.clone()),
                Emitted::Data(data) if data.topic == self.topics.evidence => {
                    let rows = Anomaly::from_batch(&data.batch).expect("anomalies");
                    self.rolled.evidence.extend(rows);
                }
                Emitted::Data(data) => self.frame(data),
                Emitted::Raw(raw) => panic!("raw for {}", raw.topic),
            }
        }
        if let Some(watermark_ms) = out.watermark_ms() {
            for to in &mut self.rolled.sent[0] {
                // As the loop's heartbeats: whole seconds.
                to.push(Sent::Watermark(watermark_ms.div_euclid(1000) * 1000));
            }
        }
        self.rolled.counts.extend(out.counts().iter().cloned());
    }

    fn frame(&mut self, data: &Out) {
        let writer = Writer::Task {
            stage: "rollup".into(),
            topic_id: self.source.as_str().into(),
            partition: self.partition,
        };
        let name = Name { writer, offset: self.offset, index: 0 };
        let to = match &data.place {
            Place::Fixed(to) => Where::Fixed(*to),
            Place::ByColumn(column) => Where::ByColumn(column.clone()),
            other => panic!("place {other:?}"),
        };
        let outgoing = Outgoing {
            topic: Arc::from(data.topic.as_str()),
            to,
            batch: data.batch.clone(),
            key: None,
            time: Time::At(data.max_ts_ms),
            meta: meta(&data.schema, name, data.headers.clone()),
        };
        for record in bus::frame(outgoing, PARTITIONS, &limits()).expect("a frame").records {
            let partition = record.partition as usize;
            let read = as_read(record, self.offset);
            self.rolled.sent[0][partition].push(Sent::Data(Box::new(read)));
        }
    }
}

/// Every source partition through a rollup of its own.
pub fn roll(rules: &Arc<RuleSet>, source: Source, partitions: &[Vec<Message>]) -> Rolled {
    let mut all = Rolled::default();
    for (partition, messages) in partitions.iter().enumerate() {
        let mut task = Rollups::new(rules, source, partition as u32);
        for message in messages {
            task.push(message);
        }
        all.sent.extend(task.rolled.sent);
        all.late.extend(task.rolled.late);
        all.dead.extend(task.rolled.dead);
        all.evidence.extend(task.rolled.evidence);
        all.counts.extend(task.rolled.counts);
    }
    all
}

/// A score task, with what it said.
pub struct Scored {
    pub engine: Score,
    source: Source,
    topics: Topics,
    watermarks: Vec<Option<i64>>,
    offset: i64,
    pub signals: Vec<Signal>,
    pub anomalies: Vec<Anomaly>,
    pub dead: Vec<&'static str>,
}

impl Scored {
    pub fn new(rules: &Arc<RuleSet>, source: Source, sources: usize) -> Scored {
        let topics = Topics::new("gannet.", PARTITIONS);
        Scored {
            engine: Score::new(Arc::clone(rules), Arc::new(topics.clone())),
            source,
            topics,
            watermarks: vec![None; sources],
            offset: 0,
            signals: Vec::new(),
            anomalies: Vec::new(),
            dead: Vec::new(),
        }
    }

    pub fn push(&mut self, from: usize, sent: &Sent) {
        let (meta, record) = match sent {
            Sent::Data(read) => (**read).clone(),
            Sent::Watermark(ms) => {
                self.watermarks[from] = self.watermarks[from].max(Some(*ms));
                let writer = Writer::Task {
                    stage: "rollup".into(),
                    topic_id: "t".into(),
                    partition: from as u32,
                };
                let name = Name { writer, offset: self.offset, index: 0 };
                let topic = Arc::from(self.topics.partials.as_str());
                as_read(bus::heartbeat(&topic, 0, *ms, name, "test", Vec::new()), self.offset)
            }
        };
        let least = self.watermarks.iter().copied().min().flatten();
        let topic = self.topics.of(self.source);
        let of_source: Vec<(&str, i64)> = least.map(|ms| (topic, ms)).into_iter().collect();
        let watermarks = Watermarks::fixed(least, &of_source);
        let input = Input {
            offset: self.offset,
            timestamp_ms: record.timestamp_ms,
            meta: &meta,
            record: &record,
            watermarks: &watermarks,
            limits: model::ipc::Limits::default(),
        };
        let mut out = Outputs::default();
        if let Err(bad) = self.engine.message(&input, &mut out) {
            self.dead.push(bad.reason);
        }
        for data in out.data() {
            match data.topic == self.topics.signals {
                true => self.signals.extend(Signal::from_batch(&data.batch).expect("signals")),
                false => self.anomalies.extend(Anomaly::from_batch(&data.batch).expect("rows")),
            }
        }
        self.offset += 1;
    }
}

/// One partition of `partials`: what all rollup tasks sent there, interleaved at random.
pub fn interleaved(sent: &[Vec<Vec<Sent>>], partition: usize, seed: u64) -> Vec<(usize, Sent)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut turns: Vec<usize> = sent
        .iter()
        .enumerate()
        .flat_map(|(from, of)| std::iter::repeat_n(from, of[partition].len()))
        .collect();
    turns.shuffle(&mut rng);
    let mut next: Vec<_> = sent.iter().map(|of| of[partition].iter()).collect();
    turns
        .into_iter()
        .map(|from| (from, next[from].next().expect("as many turns").clone()))
        .collect()
}

/// All of it: signals and anomalies in an order that does not depend on partitions.
pub fn detect(
    rules: &Arc<RuleSet>,
    source: Source,
    partitions: &[Vec<Message>],
    seed: u64,
) -> (Vec<Signal>, Vec<Anomaly>) {
    let rolled = roll(rules, source, partitions);
    assert_eq!(rolled.late, [], "nothing is late");
    let (mut signals, mut anomalies) = (Vec::new(), Vec::new());
    for partition in 0..PARTITIONS as usize {
        let mut task = Scored::new(rules, source, partitions.len());
        for (from, sent) in interleaved(&rolled.sent, partition, seed) {
            task.push(from, &sent);
        }
        assert_eq!(task.dead, [] as [&str; 0]);
        signals.extend(task.signals);
        anomalies.extend(task.anomalies);
    }
    signals.sort_by(|a, b| {
        (&a.rule, a.window_start_ms, &a.key, &a.value_name).cmp(&(
            &b.rule,
            b.window_start_ms,
            &b.key,
            &b.value_name,
        ))
    });
    anomalies.sort_by(|a, b| (&a.rule, a.time_ms, &a.key).cmp(&(&b.rule, b.time_ms, &b.key)));
    (signals, anomalies)
}
