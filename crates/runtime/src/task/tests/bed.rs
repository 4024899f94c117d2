//! A log in memory, a clock that idling moves, and a writer of messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::topics::TopicSpec;
use bus::{
    Admin, CommitError, EmbeddedLog, Event, Layer, Layered, Log, LogError, Meta, Name, OutRecord,
    Producer, ReadEvent, Record, Tasks, Transaction, Writer, heartbeat,
};

use super::toy::batch;
use crate::shutdown::Shutdown;
use crate::task::{Clock, LoopError, LoopOptions, LoopReport, Stage, run};

/// A clock that only idling moves.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    fn step(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall_ms(&self) -> i64 {
        1_700_000_000_000 + self.0.load(Ordering::SeqCst) as i64
    }

    fn wait(&self, time: Duration, _: &Shutdown) {
        self.step(time);
    }
}

pub struct Bed {
    pub log: Arc<EmbeddedLog>,
    pub options: LoopOptions,
    clock: Arc<TestClock>,
    producer: Mutex<Box<dyn Producer>>,
    sequences: Mutex<BTreeMap<Writer, i64>>,
    /// Errors that the next commits are answered with instead of being made.
    pub commit_errors: Arc<Mutex<Vec<CommitError>>>,
    /// When commits were made, by the clock that only idling moves.
    pub commits_at: Arc<Mutex<Vec<Duration>>>,
    /// Time of that clock without a message that a run must see before it ends.
    pub idle_min: Duration,
}

pub fn ingest(instance: &str, epoch: u64) -> Writer {
    Writer::Instance { stage: "ingest".to_owned(), instance: instance.to_owned(), epoch }
}

// === impl Bed ===

impl Bed {
    pub fn new() -> Bed {
        Bed::with_partitions(1)
    }

    pub fn with_partitions(partitions: u32) -> Bed {
        let log = Arc::new(EmbeddedLog::in_memory().expect("memory opens"));
        for name in ["in", "in.dlq", "in.late", "out", "out.dlq", "events", "snapshots.toy.v1"] {
            let settings = BTreeMap::new();
            let partitions = if name.starts_with("in") { partitions } else { 2 };
            let spec = TopicSpec { name: name.to_owned(), partitions, replication: 1, settings };
            log.create(&spec).expect("the topic is new");
        }
        let clock = Arc::new(TestClock::default());
        let mut options = LoopOptions::new("a", "snapshots.toy.v1");
        options.clock = clock.clone();
        options.snapshots.interval = Duration::from_secs(1);
        options.snapshots.input_share = 0;
        options.events_topic = Some("events".to_owned());
        let producer = Mutex::new(log.producer("test", "t").expect("a producer"));
        let (sequences, commit_errors) = (Mutex::default(), Arc::default());
        let commits_at = Arc::default();
        let idle_min = Duration::ZERO;
        Bed { log, options, clock, producer, sequences, commit_errors, commits_at, idle_min }
    }

    /// Writes rows of one writer, with its watermark.
    pub fn rows(&self, writer: &Writer, wm: i64, rows: &[(&str, i64, i64)]) {
        self.put(self.message(writer, wm, rows));
    }

    pub fn message(&self, writer: &Writer, wm: i64, rows: &[(&str, i64, i64)]) -> OutRecord {
        let at = rows.iter().map(|row| row.2).max().unwrap_or(wm);
        let meta = Meta {
            schema: "in/1".to_owned(),
            schema_fp: "00".to_owned(),
            producer: "test".to_owned(),
            rows: rows.len() as u32,
            min_ts_ms: at,
            max_ts_ms: at,
            wm_ms: Some(wm),
            name: self.name(writer),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        };
        OutRecord {
            topic: Arc::from("in"),
            partition: 0,
            timestamp_ms: at,
            key: None,
            headers: meta.headers(),
            payload: Some(model::ipc::encode(&batch(rows)).expect("it encodes")),
        }
    }

    pub fn beat(&self, writer: &Writer, wm: i64) {
        let topic = Arc::from("in");
        let name = self.name(writer);
        self.put(heartbeat(&topic, 0, wm, name, "test", Vec::new()));
    }

    fn name(&self, writer: &Writer) -> Name {
        let mut sequences = self.sequences.lock().expect("no panic holds it");
        let next = sequences.entry(writer.clone()).or_insert(0);
        *next += 1;
        Name { writer: writer.clone(), offset: *next, index: 0 }
    }

    pub fn put(&self, record: OutRecord) {
        let mut producer = self.producer.lock().expect("no panic holds it");
        producer.send(&record).expect("the log takes it").expect("the queue has room");
        while producer.in_flight() > 0 {
            producer.poll(Duration::from_secs(1));
        }
    }

    /// Runs a stage until it has nothing more to do.
    pub fn run<S: Stage>(&self, stage: S) -> Result<LoopReport, LoopError> {
        self.run_on(self.log.clone(), stage)
    }

    pub fn run_on<S: Stage>(&self, log: Arc<dyn Log>, stage: S) -> Result<LoopReport, LoopError> {
        let shutdown = Shutdown::new();
        let errors = self.commit_errors.clone();
        let (clock, commits_at) = (self.clock.clone(), self.commits_at.clone());
        let idle = UntilIdle {
            shutdown: shutdown.clone(),
            clock,
            errors,
            commits_at,
            idles: 0,
            idle_for: Duration::ZERO,
            idle_min: self.idle_min,
        };
        let log = Layered::new(log, move |_, _| Ok(idle.clone()));
        run(Arc::new(log), stage, self.options.clone(), &shutdown)
    }

    /// All records of a topic, partition by partition.
    pub fn all(&self, topic: &str) -> Vec<Record> {
        let info = self.log.describe(topic).expect("the log answers").expect("it is there");
        let mut reader = self.log.reader().expect("a reader");
        let mut records = Vec::new();
        for partition in 0..info.partitions {
            reader.assign(&[(topic.to_owned(), partition, 0)]).expect("it is there");
            loop {
                match reader.poll(Duration::from_secs(5)).expect("the log answers") {
                    ReadEvent::Record(record) => records.push(record),
                    ReadEvent::End { .. } => break,
                    ReadEvent::Idle => panic!("the end of {topic} did not come"),
                }
            }
        }
        records
    }

    /// The sums on the output topic: key, window, sum.
    pub fn sums(&self) -> Vec<(String, i64, i64)> {
        let data = self.all("out").into_iter();
        let data = data.filter(|record| record.header("schema") == Some("toy/1"));
        let rows = |record: Record| {
            let payload = record.payload.expect("data has a payload");
            let limits = model::ipc::Limits::default();
            super::toy::rows(&model::ipc::decode(&payload, limits).expect("it decodes"))
        };
        let mut sums: Vec<(String, i64, i64)> = data.flat_map(rows).collect();
        sums.sort();
        sums
    }

    pub fn names(&self, topic: &str) -> Vec<String> {
        let records = self.all(topic);
        let names = records.iter().filter_map(|record| record.header("name"));
        names.map(str::to_owned).collect()
    }
}

/// A stage is told to stop when there is nothing more; waiting takes no time.
#[derive(Clone)]
struct UntilIdle {
    shutdown: Shutdown,
    clock: Arc<TestClock>,
    errors: Arc<Mutex<Vec<CommitError>>>,
    commits_at: Arc<Mutex<Vec<Duration>>>,
    idles: u32,
    /// Of the test's clock, since the last message; and how much of it there must be.
    idle_for: Duration,
    idle_min: Duration,
}

/// Enough for a commit and a snapshot after the last message.
const IDLES: u32 = 40;

impl Layer for UntilIdle {
    fn next(&mut self, tasks: &mut dyn Tasks, timeout: Duration) -> Result<Event, LogError> {
        let event = tasks.next(Duration::ZERO)?;
        match &event {
            Event::Idle => {
                let step = timeout.max(Duration::from_millis(50));
                self.clock.step(step);
                self.idle_for += step;
                // Lets the log's own thread write what was sent.
                std::thread::yield_now();
                self.idles += 1;
                if self.idles > IDLES && self.idle_for >= self.idle_min {
                    self.shutdown.request();
                }
            }
            Event::Record(_) => {
                (self.idles, self.idle_for) = (0, Duration::ZERO);
                self.clock.step(Duration::from_millis(20));
            }
            _ => (self.idles, self.idle_for) = (0, Duration::ZERO),
        }
        Ok(event)
    }

    fn commit(
        &mut self,
        tasks: &mut dyn Tasks,
        transaction: Transaction,
    ) -> Result<(), CommitError> {
        let error = self.errors.lock().expect("no panic holds it").pop();
        self.commits_at.lock().expect("no panic holds it").push(self.clock.now());
        match error {
            // Not known whether it stood: this one did.
            Some(error @ CommitError::Indeterminate(_)) => {
                tasks.commit(transaction)?;
                Err(error)
            }
            Some(error) => Err(error),
            None => tasks.commit(transaction),
        }
    }
}
