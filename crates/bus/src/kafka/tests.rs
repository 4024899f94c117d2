//! What can be shown without a broker: ids, options that cannot be overridden, and that nothing
//! hangs while none answers. The rest is in the conformance suite.

use std::time::{Duration, Instant};

use super::native::uuid_text;
use super::{KafkaLog, options};
use crate::config::{BusConfig, Engine};
use crate::log::{Event, Log};

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
