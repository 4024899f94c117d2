//! The service on the embedded log in memory: what was sent stands on the topics, once, with its
//! watermarks; the spool keeps what the log does not take.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bus::{
    Admin, BusConfig, Delivery, EmbeddedLog, Log, LogError, Meta, OutRecord, Producer, ReadEvent,
    Reader, Record, Tasks, frame, topics,
};
use model::rows::Metric;
use runtime::shutdown::Shutdown;

use super::encode::{Message, plain_fields, plain_records};
use crate::config::{IngestConfig, SpoolConfig};
use crate::listeners::Listeners;
use crate::service::{IngestFeed, Report, print, run};

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
const START: i64 = 1_700_000_000_000;
const LIMIT: Duration = Duration::from_secs(20);

/// A log with all topics.
pub fn log() -> (Arc<dyn Log>, BusConfig) {
    let config = BusConfig::default();
    let log = EmbeddedLog::open(&config).expect("a log in memory");
    topics::apply(log.admin(), &topics::catalogue(&config)).expect("topics");
    (Arc::new(log), config)
}

fn feed(log: &dyn Log, bus: &BusConfig, config: &IngestConfig, epoch: u64) -> IngestFeed {
    IngestFeed::new(config, log, bus, "one", epoch, START).expect("a feed")
}

/// All records of a topic, in the order of partitions and offsets.
pub fn records(log: &dyn Log, topic: &str) -> Vec<Record> {
    let partitions = log.admin().describe(topic).expect("a topic").expect("a topic").partitions;
    let mut reader = log.reader().expect("a reader");
    let from: Vec<_> = (0..partitions)
        .map(|p| (topic.to_owned(), p, reader.range(topic, p).expect("a range").0))
        .collect();
    reader.assign(&from).expect("partitions");
    let (mut found, mut ends) = (Vec::new(), 0);
    while ends < partitions {
        match reader.poll(LIMIT).expect("a record") {
            ReadEvent::Record(record) => found.push(record),
            ReadEvent::End { .. } => ends += 1,
            ReadEvent::Idle => panic!("no end of {topic}"),
        }
    }
    found.sort_by_key(|record| (record.partition, record.offset));
    found
}

pub fn batches(log: &dyn Log, bus: &BusConfig, topic: &str) -> Vec<(Record, Meta, RecordBatch)> {
    let all = records(log, &bus.topic(topic)).into_iter();
    let read = all.map(|record| {
        let (meta, batch) = frame::read(&record, &bus.limits).expect("a message");
        (record, meta, batch)
    });
    read.collect()
}

fn rows(log: &dyn Log, bus: &BusConfig, topic: &str) -> usize {
    batches(log, bus, topic).iter().map(|(.., batch)| batch.num_rows()).sum()
}

fn template() -> Vec<u8> {
    Message::new(9, 1, 0).template(256, &plain_fields()).bytes()
}

fn data(sequence: u32, n: u32) -> Vec<u8> {
    Message::new(9, 1, sequence).set(256, &plain_records(sequence * 100, n)).bytes()
}

/// Names rise in every partition, and no row is older than a watermark sent before it.
pub fn check_order(log: &dyn Log, bus: &BusConfig) {
    for topic in ["flows.v1", "metrics.v1", "events.v1"] {
        let mut last: BTreeMap<u32, (i64, u32, i64)> = BTreeMap::new();
        for (record, meta, _) in batches(log, bus, topic) {
            let name = (meta.name.offset, meta.name.index);
            let wm = meta.wm_ms.expect("a watermark");
            let before = last.entry(record.partition).or_insert((-1, 0, i64::MIN));
            assert!((before.0, before.1) < name, "{topic} {name:?} after {before:?}");
            assert!(meta.rows == 0 || meta.min_ts_ms >= before.2, "{topic}: older than a promise");
            assert!(meta.rows == 0 || wm <= meta.min_ts_ms);
            *before = (name.0, name.1, wm.max(before.2));
        }
    }
}

#[test]
fn what_is_fed_stands_on_the_topics() {
    let (log, bus) = log();
    let mut feed = feed(log.as_ref(), &bus, &IngestConfig::default(), 1);
    feed.datagram(START, EXPORTER, &template()).expect("fed");
    for i in 1..=1_000u32 {
        let at = START + i64::from(i) * 37;
        feed.datagram(at, EXPORTER, &data(i, 24)).expect("fed");
    }
    feed.datagram(START + 38_000, EXPORTER, &[0, 9, 1]).expect("fed");
    feed.advance(START + 50_000).expect("time");
    let report = feed.finish(LIMIT).expect("a report");
    assert_eq!((report.stored.flows, report.stored.lost), (24_000, 0));
    assert_eq!(rows(log.as_ref(), &bus, "flows.v1"), 24_000);
    assert_eq!(rows(log.as_ref(), &bus, "events.v1"), 1);
    assert_eq!(rows(log.as_ref(), &bus, "templates.v1"), 1);
    let metrics = batches(log.as_ref(), &bus, "metrics.v1");
    let all = metrics.iter().filter(|(_, meta, _)| !meta.is_heartbeat());
    let all = all.flat_map(|(.., batch)| Metric::from_batch(batch).expect("rows of metrics"));
    let decoded: f64 = all
        .filter(|row| row.metric == "exporter_records" && row.entity.is_none())
        .map(|row| row.value)
        .sum();
    assert_eq!(decoded, 24_000.0);
    let dead = records(log.as_ref(), &bus.topic("flows.v1.dlq"));
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].payload.as_deref(), Some(&[0, 9, 1][..]));
    assert_eq!(dead[0].header("dlq-reason"), Some("short header"));
    check_order(log.as_ref(), &bus);
}

#[test]
fn every_partition_has_heartbeats_that_come_to_the_end() {
    let (log, bus) = log();
    let mut feed = feed(log.as_ref(), &bus, &IngestConfig::default(), 1);
    for second in 0..5 {
        feed.advance(START + second * 1_000).expect("time");
    }
    feed.finish(LIMIT).expect("a report");
    for topic in ["flows.v1", "metrics.v1", "events.v1"] {
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        for (record, meta, _) in batches(log.as_ref(), &bus, topic) {
            assert!(meta.is_heartbeat());
            last.insert(record.partition, meta.wm_ms.expect("a watermark"));
        }
        assert_eq!(last, BTreeMap::from([(0, START + 4_000), (1, START + 4_000)]), "{topic}");
    }
}

#[test]
fn templates_and_samplers_outlive_a_restart() {
    use super::encode::field;
    let (log, bus) = log();
    let config = IngestConfig::default();
    let mut first = feed(log.as_ref(), &bus, &config, 1);
    let scope = field(1, 4);
    let sampler = Message::new(9, 1, 1)
        .options_template(257, 1, &[scope, field(34, 4)])
        .set(257, &[0, 0, 0, 1, 0, 0, 0, 10])
        .bytes();
    let gone = Message::new(10, 1, 0).template(300, &plain_fields()).template(300, &[]).bytes();
    for datagram in [template(), sampler, gone] {
        first.datagram(START, EXPORTER, &datagram).expect("fed");
    }
    first.finish(LIMIT).expect("a report");
    let mut second = feed(log.as_ref(), &bus, &config, 2);
    second.datagram(START + 1_000, EXPORTER, &data(5, 3)).expect("fed");
    let withdrawn = Message::new(10, 1, 0).set(300, &plain_records(0, 1)).bytes();
    second.datagram(START + 1_000, EXPORTER, &withdrawn).expect("fed");
    let report = second.finish(LIMIT).expect("a report");
    assert_eq!(report.counts.records, 3);
    let flows = batches(log.as_ref(), &bus, "flows.v1");
    let (.., rows) = flows.iter().find(|(_, meta, _)| meta.rows > 0).expect("flows");
    assert!(rows.column_by_name("sampling_rate").is_some());
    let waiting: usize = report.domains.iter().map(|domain| domain.waiting_sets).sum();
    assert_eq!(waiting, 1, "the withdrawn template must not come back");
}

/// A log whose producer can be switched off: what is sent then waits, or fails.
struct Moody {
    log: Arc<dyn Log>,
    away: Arc<AtomicBool>,
    sent: Arc<Mutex<Vec<OutRecord>>>,
}

struct MoodyProducer {
    inner: Box<dyn Producer>,
    away: Arc<AtomicBool>,
    held: Vec<(u64, OutRecord)>,
    tickets: BTreeMap<u64, u64>,
    next: u64,
    sent: Arc<Mutex<Vec<OutRecord>>>,
}

impl Log for Moody {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn join(&self, s: &str, i: &str, inputs: &[String]) -> Result<Box<dyn Tasks>, LogError> {
        self.log.join(s, i, inputs)
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(MoodyProducer {
            inner: self.log.producer(stage, instance)?,
            away: Arc::clone(&self.away),
            held: Vec::new(),
            tickets: BTreeMap::new(),
            next: 0,
            sent: Arc::clone(&self.sent),
        }))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

impl Producer for MoodyProducer {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        self.next += 1;
        if self.away.load(Ordering::Relaxed) {
            self.held.push((self.next, record.clone()));
            return Ok(Some(self.next));
        }
        let Some(ticket) = self.inner.send(record)? else {
            return Ok(None);
        };
        self.sent.lock().expect("a lock").push(record.clone());
        self.tickets.insert(ticket, self.next);
        Ok(Some(self.next))
    }

    fn poll(&mut self, timeout: Duration) -> Vec<Delivery> {
        let mut deliveries = self.inner.poll(timeout);
        for delivery in &mut deliveries {
            delivery.ticket = self.tickets.remove(&delivery.ticket).expect("a ticket of ours");
        }
        if !self.away.load(Ordering::Relaxed) {
            // What was held timed out.
            deliveries.extend(self.held.drain(..).map(|(ticket, record)| Delivery {
                ticket,
                result: Err("timed out".to_owned()),
                record,
            }));
        }
        deliveries
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight() + self.held.len()
    }
}

fn moody() -> (Moody, BusConfig) {
    let (log, bus) = log();
    let (away, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    (Moody { log, away, sent }, bus)
}

fn spooling(path: Option<std::path::PathBuf>) -> IngestConfig {
    let spool = SpoolConfig { path, ..SpoolConfig::default() };
    IngestConfig { away_ms: 1, spool, ..IngestConfig::default() }
}

fn away_and_back(config: &IngestConfig) -> Report {
    let (log, bus) = moody();
    let mut feed = feed(&log, &bus, config, 1);
    let mut now = START;
    let mut sequence = 0;
    let mut some = |feed: &mut IngestFeed, n: u32| {
        for _ in 0..n {
            sequence += 1;
            now += 100;
            feed.datagram(now, EXPORTER, &data(sequence, 20)).expect("fed");
        }
    };
    feed.datagram(START, EXPORTER, &template()).expect("fed");
    some(&mut feed, 100);
    log.away.store(true, Ordering::Relaxed);
    some(&mut feed, 300);
    let deadline = Instant::now() + Duration::from_millis(5);
    while Instant::now() < deadline {
        std::hint::spin_loop();
    }
    some(&mut feed, 300);
    log.away.store(false, Ordering::Relaxed);
    some(&mut feed, 100);
    let report = feed.finish(LIMIT).expect("a report");
    assert_eq!(rows(&log, &bus, "flows.v1"), 16_000);
    check_order(&log, &bus);
    report
}

#[test]
fn while_the_log_is_away_the_spool_keeps_everything_in_order() {
    let folder = tempfile::tempdir().expect("a directory");
    for config in [spooling(None), spooling(Some(folder.path().to_owned()))] {
        let report = away_and_back(&config);
        assert_eq!((report.stored.flows, report.stored.lost), (16_000, 0));
        assert!(report.stored.spooled > 0);
    }
    let left = std::fs::read_dir(folder.path().join("one")).expect("the directory").count();
    assert_eq!(left, 0, "segments are deleted when they are delivered");
}

#[test]
fn what_the_spool_keeps_outlives_the_process() {
    // Ended when the log is known to be away, and before that is noticed.
    for away_ms in [1, 60_000] {
        outlives(away_ms);
    }
}

fn outlives(away_ms: u64) {
    let folder = tempfile::tempdir().expect("a directory");
    let config = IngestConfig { away_ms, ..spooling(Some(folder.path().to_owned())) };
    let (log, bus) = moody();
    let mut first = feed(&log, &bus, &config, 1);
    first.datagram(START, EXPORTER, &template()).expect("fed");
    log.away.store(true, Ordering::Relaxed);
    for i in 1..=500u32 {
        first.datagram(START + i64::from(i) * 50, EXPORTER, &data(i, 10)).expect("fed");
    }
    let report = first.finish(Duration::from_millis(50)).expect("a report");
    assert_eq!(report.stored.lost, 0);
    assert_eq!(rows(&log, &bus, "flows.v1"), 0);
    log.away.store(false, Ordering::Relaxed);
    let mut second = feed(&log, &bus, &config, 2);
    // The template was in the spool when the second began: the exporter repeats it.
    second.datagram(START + 60_000, EXPORTER, &data(501, 10)).expect("fed");
    second.datagram(START + 60_000, EXPORTER, &template()).expect("fed");
    second.finish(LIMIT).expect("a report");
    assert_eq!(rows(&log, &bus, "flows.v1"), 5_010);
    let names: Vec<u64> = batches(&log, &bus, "flows.v1")
        .iter()
        .filter(|(_, meta, _)| meta.rows > 0)
        .map(|(_, meta, _)| match &meta.name.writer {
            bus::Writer::Instance { epoch, .. } => *epoch,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(names.contains(&1) && names.contains(&2));
}

#[test]
fn a_full_spool_drops_with_a_count() {
    let spool = SpoolConfig { path: None, bytes_max: 1_000_000 };
    let config = IngestConfig {
        spool,
        away_ms: 1,
        in_flight_bytes_max: 1_000_000,
        ..IngestConfig::default()
    };
    let (log, bus) = moody();
    let mut feed = feed(&log, &bus, &config, 1);
    feed.datagram(START, EXPORTER, &template()).expect("fed");
    log.away.store(true, Ordering::Relaxed);
    for i in 1..=2_000u32 {
        feed.datagram(START + i64::from(i), EXPORTER, &data(i, 24)).expect("fed");
    }
    log.away.store(false, Ordering::Relaxed);
    let report = feed.finish(LIMIT).expect("a report");
    let stored = rows(&log, &bus, "flows.v1") as u64;
    assert!(report.stored.lost > 0);
    assert_eq!(stored + report.stored.lost, 48_000, "every row is stored or counted");
}

fn loopback(listeners: &Listeners) -> SocketAddr {
    let address = listeners.addresses()[0];
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
}

#[test]
fn datagrams_on_loopback_are_stored_to_the_last() {
    let (log, bus) = log();
    let config =
        IngestConfig { listen: vec!["udp://127.0.0.1:0".to_owned()], ..IngestConfig::default() };
    let listeners = Listeners::bind(&config).expect("sockets");
    assert_eq!(listeners.addresses().len(), 1);
    let to = loopback(&listeners);
    let shutdown = Shutdown::new();
    let report = std::thread::scope(|scope| {
        let running = scope
            .spawn(|| run(&config, listeners, &log, &bus, "one", &shutdown).expect("a report"));
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        sender.send_to(&template(), to).expect("sent");
        for i in 1..=2_000u32 {
            sender.send_to(&data(i, 24), to).expect("sent");
        }
        let deadline = Instant::now() + LIMIT;
        while rows(log.as_ref(), &bus, "flows.v1") < 48_000 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        shutdown.request();
        running.join().expect("no panic")
    });
    let dropped = report.kernel_drops + report.queue_drops;
    assert_eq!((report.counts.records, dropped), (48_000, 0));
    assert_eq!(report.stored.flows, 48_000);
    assert_eq!(report.domains[0].totals.lost, 0);
    check_order(log.as_ref(), &bus);
}

#[test]
fn print_shows_flows_without_a_log() {
    let config = IngestConfig { listen: vec!["udp://:0".to_owned()], ..IngestConfig::default() };
    let listeners = Listeners::bind(&config).expect("sockets");
    let to = loopback(&listeners);
    let shutdown = Shutdown::new();
    /// Asks for the end when five lines are there.
    struct Out(Vec<u8>, Shutdown);
    impl std::io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            if self.0.iter().filter(|&&byte| byte == b'\n').count() >= 5 {
                self.1.request();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut out = Out(Vec::new(), shutdown.clone());
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sender.send_to(&template(), to).expect("sent");
    sender.send_to(&data(1, 5), to).expect("sent");
    let report = print(&config, &listeners, &shutdown, &mut out).expect("a report");
    assert_eq!(report.counts.records, 5);
    let text = String::from_utf8(out.0).expect("text");
    let line: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["src_addr"], &line["exporter"]), (&"10.1.0.1".into(), &"127.0.0.1".into()));
}
