//! What can be shown without a broker: ids, options that cannot be overridden, and that nothing
//! hangs while none answers. The rest is in the conformance suite.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::native::uuid_text;
use super::{KafkaLog, options};
use crate::config::{BusConfig, Engine};
use crate::log::{Event, Log, LogError, TaskId, Tasks};
use crate::record::{OutRecord, Record};
use crate::topics::TopicSpec;

/// Nobody listens on port 1 of this machine.
fn unreachable() -> BusConfig {
    let mut config = BusConfig { engine: Engine::Kafka, ..BusConfig::default() };
    config.kafka.bootstrap = "127.0.0.1:1".to_owned();
    config.kafka.timeouts.request_ms = 200;
    config.kafka.timeouts.commit_ms = 200;
    config
}

#[test]
fn topic_ids_are_as_kafka_prints_them() {
    // Uuid.METADATA_TOPIC_ID and Uuid.ZERO_UUID of Kafka, and all bits set.
    assert_eq!(uuid_text(0, 1), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(uuid_text(0, 0), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(uuid_text(-1, -1), "_____________________w");
}

#[test]
fn options_pass_through_but_not_against_a_guarantee() {
    let mut config = unreachable().kafka;
    config.common.insert("security.protocol".to_owned(), "ssl".to_owned());
    config.consumer.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
    config.producer.insert("acks".to_owned(), "1".to_owned());
    config.producer.insert("linger.ms".to_owned(), "20".to_owned());
    let member = options::member(&config, "g", "i");
    assert_eq!(member.get("security.protocol"), Some("ssl"));
    assert_eq!(member.get("isolation.level"), Some("read_committed"));
    let producer = options::producer(&config, "p");
    assert_eq!((producer.get("acks"), producer.get("linger.ms")), (Some("all"), Some("20")));
}

#[test]
fn nothing_hangs_while_no_broker_answers() {
    let log = KafkaLog::open(&unreachable()).unwrap();
    let started = Instant::now();
    assert!(log.admin().describe("t").is_err());
    assert!(log.admin().members("s").is_err());
    assert!(log.join("s", "i", &["t".to_owned()]).is_err());
    let mut reader = log.reader().unwrap();
    assert!(reader.range("t", 0).is_err());
    drop(reader);
    let mut tasks =
        super::tasks::KafkaTasks::join(&unreachable(), "s", "i", &["t".to_owned()]).unwrap();
    let next = crate::Tasks::next(&mut tasks, Duration::from_millis(50));
    assert!(matches!(next, Ok(Event::Idle)));
    let left = crate::Tasks::leave(Box::new(tasks), Duration::from_secs(5));
    drop(log);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    left.unwrap();
}

/// A log on the broker of the test run, with a prefix of its own.
fn broker() -> Option<(BusConfig, KafkaLog)> {
    let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") else {
        println!("skipped: KAFKA_BOOTSTRAP not set");
        return None;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let prefix = format!("k{}-{}.", std::process::id(), now.as_micros() % 1_000_000_000);
    let mut config = BusConfig { engine: Engine::Kafka, prefix, ..BusConfig::default() };
    config.kafka.bootstrap = bootstrap;
    let log = KafkaLog::open(&config).unwrap();
    Some((config, log))
}

fn numbered(topic: &str, numbers: std::ops::Range<u8>) -> Vec<OutRecord> {
    let one = |n: u8| OutRecord {
        topic: Arc::from(topic),
        partition: 0,
        timestamp_ms: rdkafka::util::current_time_millis(),
        key: None,
        headers: Vec::new(),
        payload: Some(vec![n].into()),
    };
    numbers.map(one).collect()
}

fn topic(log: &KafkaLog, name: String) -> String {
    let spec = TopicSpec {
        name,
        partitions: 1,
        replication: 1,
        settings: std::collections::BTreeMap::new(),
    };
    log.admin().create(&spec).unwrap();
    spec.name
}

fn send(log: &KafkaLog, records: &[OutRecord]) {
    let mut producer = log.producer("feeder", "f").unwrap();
    for record in records {
        producer.send(record).unwrap().unwrap();
    }
    while producer.in_flight() > 0 {
        producer.poll(Duration::from_millis(20));
    }
}

/// The next record or error; everything else is waited out.
fn record(tasks: &mut dyn Tasks) -> Result<Record, LogError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Event::Record(record) = tasks.next(Duration::from_millis(50))? {
            return Ok(record);
        }
    }
    panic!("no record");
}

fn only_task(tasks: &mut dyn Tasks) -> TaskId {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Event::Assigned(mut new) = tasks.next(Duration::from_millis(50)).unwrap() {
            return new.remove(0);
        }
    }
    panic!("no task");
}

#[test]
fn a_task_whose_next_records_were_deleted_hears_so_and_goes_on_where_it_is_told() {
    let Some((config, log)) = broker() else {
        return;
    };
    let input = topic(&log, format!("{}in", config.prefix));
    send(&log, &numbered(&input, 0..5));
    let mut tasks = log.join("s", "i", std::slice::from_ref(&input)).unwrap();
    let id = only_task(&mut *tasks);
    tasks.start(&id, 0).unwrap();
    assert_eq!(record(&mut *tasks).unwrap().offset, 0);
    tasks.pause(&id, crate::Paused::Yes).unwrap();
    send(&log, &numbered(&input, 5..20));
    let admin: rdkafka::admin::AdminClient<_> = options::admin(&config.kafka).create().unwrap();
    let upto = super::convert::one(&input, 0, rdkafka::Offset::Offset(12)).unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    super::admin::block_on(admin.delete_records(&upto, &options)).unwrap();
    tasks.pause(&id, crate::Paused::No).unwrap();
    let error = loop {
        match record(&mut *tasks) {
            Ok(found) => assert!(found.offset < 5, "{found:?} after a gap"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Truncated { start: 12, .. }), "{error}");
    let below = tasks.start(&id, 3).unwrap_err();
    assert!(matches!(below, LogError::Truncated { wanted: 3, start: 12, .. }), "{below}");
    tasks.start(&id, 12).unwrap();
    assert_eq!(record(&mut *tasks).unwrap().offset, 12);
    tasks.leave(Duration::from_secs(10)).unwrap();
}
