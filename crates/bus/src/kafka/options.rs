//! The options of each kind of client: first ours that may be changed, then the configuration's,
//! last those that a guarantee hangs on. Why each: `research` of the design and librdkafka's
//! CONFIGURATION.md (2.12.1).

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::RECORD_BYTES_MAX;
use crate::config::KafkaConfig;

type Options<'a> = &'a [(&'a str, &'a str)];

/// For every client. The retry backoff takes `init_transactions` from 505 ms to 56 ms (measured).
const COMMON: Options<'static> = &[
    ("retry.backoff.ms", "10"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.nagle.disable", "true"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
];

/// One message of ours is a batch already: wait little for more. A full queue is back-pressure.
const PRODUCER: Options<'static> = &[
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.kbytes", "262144"),
    ("compression.type", "lz4"),
];

/// librdkafka waits a second by default before it fetches again after its queue was full.
const CONSUMER: Options<'static> = &[
    ("queued.max.messages.kbytes", "65536"),
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.error.backoff.ms", "50"),
    ("fetch.wait.max.ms", "100"),
];

/// Exactly once hangs on these.
const READ_COMMITTED: Options<'static> = &[
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
];

const IDEMPOTENT: Options<'static> = &[("enable.idempotence", "true"), ("acks", "all")];

/// Administration and metadata.
pub fn admin(config: &KafkaConfig) -> ClientConfig {
    build(config, "gannet", &[], &BTreeMap::new(), &[])
}

/// A member of a stage's group. The name of the instance is its client id: `members` reads it.
pub fn member(config: &KafkaConfig, group: &str, instance: &str) -> ClientConfig {
    let mut client = build(config, instance, CONSUMER, &config.consumer, READ_COMMITTED);
    client.set("group.id", group);
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", config.timeouts.session_ms.to_string());
    client.set("heartbeat.interval.ms", config.timeouts.heartbeat_ms.to_string());
    client
}

/// A reader without a group. librdkafka assigns partitions only where a group has a name; nothing
/// joins or commits to it.
pub fn reader(config: &KafkaConfig, group: &str) -> ClientConfig {
    let mut client = build(config, "gannet-reader", CONSUMER, &config.consumer, READ_COMMITTED);
    client.set("group.id", group);
    client.set("enable.partition.eof", "true");
    client
}

/// The one transactional producer of a process and stage. It never lingers: a commit waits for it.
pub fn transactional(config: &KafkaConfig, id: &str) -> ClientConfig {
    let mut client = build(config, id, PRODUCER, &config.producer, IDEMPOTENT);
    client.set("transactional.id", id);
    client.set("linger.ms", "0");
    client.set("transaction.timeout.ms", config.timeouts.transaction_ms.to_string());
    client.set("message.timeout.ms", config.timeouts.transaction_ms.to_string());
    client
}

/// An ordinary producer.
pub fn producer(config: &KafkaConfig, name: &str) -> ClientConfig {
    let mut client = build(config, name, PRODUCER, &config.producer, IDEMPOTENT);
    client.set("message.timeout.ms", config.timeouts.delivery_ms.to_string());
    client
}

fn build(
    config: &KafkaConfig,
    client_id: &str,
    ours: Options<'_>,
    theirs: &BTreeMap<String, String>,
    fixed: Options<'_>,
) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.bootstrap);
    client.set("client.id", client_id);
    // Room for a record's own frame above its limit.
    client.set("message.max.bytes", (RECORD_BYTES_MAX + (16 << 10)).to_string());
    for (name, value) in COMMON.iter().chain(ours) {
        client.set(*name, *value);
    }
    for (name, value) in config.common.iter().chain(theirs) {
        client.set(name, value);
    }
    for (name, value) in fixed {
        client.set(*name, *value);
    }
    client
}
