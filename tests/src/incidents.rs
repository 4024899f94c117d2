//! Correlate in its real loop on the embedded log: evidence of many tasks in, incidents and their
//! JSON mirror out, once each, over a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::config::TopicsConfig;
use bus::{
    BusConfig, EmbeddedLog, Log, Meta, Name, Outgoing, Producer, ReadEvent, Record, Time, Where,
    Writer, frame, heartbeat,
};
use correlate::{CorrelateConfig, CorrelateStage};
use model::rows::{Anomaly, AnomalyKind, Entity, Incident, IncidentState};
use model::schema;
use runtime::shutdown::Shutdown;
use runtime::task::{LoopOptions, run};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// A hundred years.
const YEARS_DAYS: u64 = 36_500;

/// All tasks of detect, as they write to evidence.
struct Detect {
    bus: BusConfig,
    log: Arc<dyn Log>,
    producer: Box<dyn Producer>,
    writers: Vec<Writer>,
    offsets: BTreeMap<Writer, i64>,
}

impl Detect {
    fn new(bus: &BusConfig, log: &Arc<dyn Log>) -> Detect {
        let mut writers = Vec::new();
        let tasks = [
            ("score", "partials.v1"),
            ("rollup", "flows.v1"),
            ("rollup", "metrics.v1"),
            ("rollup", "events.v1"),
        ];
        for (stage, topic) in tasks {
            let info = log.admin().describe(&bus.topic(topic)).unwrap().unwrap();
            writers.extend((0..info.partitions).map(|partition| Writer::Task {
                stage: stage.to_owned(),
                topic_id: info.id.clone(),
                partition,
            }));
        }
        let producer = log.producer("detect", "test").unwrap();
        let offsets = BTreeMap::new();
        Detect { bus: bus.clone(), log: Arc::clone(log), producer, writers, offsets }
    }

    fn name(&mut self, writer: &Writer) -> Name {
        let offset = self.offsets.entry(writer.clone()).or_insert(0);
        *offset += 1;
        Name { writer: writer.clone(), offset: *offset, index: 0 }
    }

    fn say(&mut self, anomaly: &Anomaly) {
        let writer = self.writers[0].clone();
        let meta = Meta {
            schema: schema::anomalies().header(),
            schema_fp: schema::anomalies().fingerprint.clone(),
            producer: "test".to_owned(),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: None,
            name: self.name(&writer),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        };
        let outgoing = Outgoing {
            topic: Arc::from(self.bus.topic("evidence.v1")),
            to: Where::ByColumn("domain".to_owned()),
            batch: Anomaly::to_batch(std::slice::from_ref(anomaly)).unwrap(),
            key: None,
            time: Time::At(anomaly.time_ms),
            meta,
        };
        let framed = frame(outgoing, self.partitions(), &self.bus.limits).unwrap();
        for record in framed.records {
            self.producer.send(&record).unwrap().unwrap();
        }
    }

    /// Every task tells every partition how far it is.
    fn pass(&mut self, time_ms: i64) {
        let topic = Arc::from(self.bus.topic("evidence.v1"));
        for writer in self.writers.clone() {
            for partition in 0..self.partitions() {
                let name = self.name(&writer);
                let beat = heartbeat(&topic, partition, time_ms, name, "test", Vec::new());
                self.producer.send(&beat).unwrap().unwrap();
            }
        }
        while self.producer.in_flight() > 0 {
            self.producer.poll(Duration::from_millis(100));
        }
    }

    fn partitions(&self) -> u32 {
        let topic = self.bus.topic("evidence.v1");
        self.log.admin().describe(&topic).unwrap().unwrap().partitions
    }
}

fn anomaly(kind: AnomalyKind, second: i64) -> Anomaly {
    Anomaly {
        domain: "default".into(),
        id: "a".into(),
        time_ms: second * 1000,
        rule: "syn-flood".into(),
        key: "dst_addr=203.0.113.7".into(),
        kind,
        model: "syn-flood".into(),
        entity: Some(Entity { kind: "host".into(), name: "203.0.113.7".into() }),
        value_name: "syn".into(),
        value: Some(4_210.0),
        expected: Some(3.0),
        lower: Some(0.0),
        upper: Some(35.0),
        score: Some(9.0),
        why: "SYN flood: 4210 SYN/s".into(),
        window_start_ms: second * 1000,
        contributors: Vec::new(),
    }
}

/// Two partitions each, kept whatever the time: a test's times may be long past, and a broker
/// deletes by them.
pub fn kept() -> TopicsConfig {
    TopicsConfig {
        partitions: 2,
        partitions_other: 2,
        retention_hours: 24 * YEARS_DAYS,
        signals_retention_days: YEARS_DAYS,
        ..TopicsConfig::default()
    }
}

/// Records with rows (the mirror has no such header: all of its).
pub fn records(log: &dyn Log, topic: &str) -> Vec<Record> {
    let mut reader = log.reader().unwrap();
    let from = bus::from_start(log, &mut *reader, topic).unwrap();
    reader.assign(&from).unwrap();
    let (mut found, mut left) = (Vec::new(), from.len());
    while left > 0 {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            ReadEvent::Record(record) if record.header("rows") != Some("0") => found.push(record),
            ReadEvent::Record(_) | ReadEvent::Idle => {}
            ReadEvent::End { .. } => left -= 1,
        }
    }
    found
}

fn incidents(log: &dyn Log, bus: &BusConfig) -> Vec<Incident> {
    let of = |record: Record| {
        let payload = record.payload.unwrap();
        let batch = model::ipc::decode(&payload, model::ipc::Limits::default()).unwrap();
        let rows = Incident::from_batch(&batch).unwrap();
        assert_eq!(record.key.as_deref(), Some(rows[0].id.as_bytes()));
        rows
    };
    records(log, &bus.topic("incidents.v1")).into_iter().flat_map(of).collect()
}

/// Runs an instance of correlate until there are so many changes.
fn until(log: &Arc<dyn Log>, bus: &BusConfig, instance: &str, changes: usize) -> Vec<Incident> {
    let stage = CorrelateStage::new(CorrelateConfig::default(), bus, "fp");
    let options = LoopOptions::new(instance, &bus.topic("snapshots.correlate.v1"));
    let shutdown = Shutdown::new();
    std::thread::scope(|scope| {
        let asked = shutdown.clone();
        let running = scope.spawn(move || run(Arc::clone(log), stage, options, &asked));
        let deadline = Instant::now() + DEADLINE;
        let mut found = incidents(&**log, bus);
        while found.len() < changes && Instant::now() < deadline && !running.is_finished() {
            std::thread::sleep(POLL);
            found = incidents(&**log, bus);
        }
        shutdown.request();
        running.join().unwrap().unwrap();
        found
    })
}

#[test]
fn evidence_becomes_an_incident_once_over_a_restart() {
    check(Arc::new(EmbeddedLog::in_memory().unwrap()), &BusConfig::default());
}

/// Listed as skipped by `cargo xtask test` where there is no broker.
#[test]
fn so_it_does_on_kafka() {
    let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") else {
        println!("skipped: KAFKA_BOOTSTRAP not set");
        return;
    };
    let bus = BusConfig {
        engine: bus::config::Engine::Kafka,
        prefix: format!("incidents-{}.", std::process::id()),
        kafka: bus::config::KafkaConfig { bootstrap, ..Default::default() },
        topics: kept(),
        ..BusConfig::default()
    };
    let log = bus::open(&bus).unwrap();
    check(Arc::clone(&log), &bus);
    for topic in bus::topics::catalogue(&bus) {
        log.admin().delete(&topic.name).unwrap();
    }
}

fn check(log: Arc<dyn Log>, bus: &BusConfig) {
    bus::topics::apply(log.admin(), &bus::topics::catalogue(bus)).unwrap();
    let mut detect = Detect::new(bus, &log);
    detect.say(&anomaly(AnomalyKind::Open, 100));
    detect.pass(101_000);
    let opened = until(&log, bus, "one", 1);
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].headline, "SYN flood on 203.0.113.7: 4210 SYN/s");
    detect.say(&anomaly(AnomalyKind::Clear, 160));
    detect.pass(170_000);
    detect.pass(161_000 + 300_000);
    let all = until(&log, bus, "two", 3);
    let states: Vec<(u32, IncidentState)> = all.iter().map(|i| (i.revision, i.state)).collect();
    let want = [(1, IncidentState::Open), (2, IncidentState::Quiet), (3, IncidentState::Resolved)];
    assert_eq!(states, want);
    assert!(all.iter().all(|incident| incident.id == opened[0].id));
    let mirror = records(&*log, &bus.topic("incidents.json.v1"));
    let ids: Vec<&str> = mirror.iter().filter_map(|record| record.header("ce_id")).collect();
    let of = |revision: u32| format!("{}/{revision}", opened[0].id);
    assert_eq!(ids, [of(1), of(2), of(3)]);
    for record in &mirror {
        let json: serde_json::Value =
            serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
        assert_eq!(json["entity"], "203.0.113.7");
    }
    assert!(records(&*log, &bus.topic("evidence.v1.dlq")).is_empty());
}
