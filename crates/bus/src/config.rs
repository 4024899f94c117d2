//! The section `log:` of the configuration: which engine carries the topics, and its limits. Checks
//! of values against each other are left to `runtime`, which knows the file and the line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The log between the stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `kafka` (a cluster) or `embedded` (one process, on disk or in memory; no cluster).
    pub engine: Engine,
    /// In front of every topic, consumer group and transactional id.
    pub prefix: String,
    pub kafka: KafkaConfig,
    pub embedded: EmbeddedConfig,
    pub topics: TopicsConfig,
    pub limits: LimitsConfig,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Kafka,
    #[default]
    Embedded,
}

/// How to reach a Kafka cluster, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap: String,
    /// Options of librdkafka for every client (`security.protocol`, `sasl.mechanism`, ...). What a
    /// guarantee hangs on (`isolation.level`, `enable.idempotence`, `transactional.id`, ...) cannot
    /// be overridden.
    pub common: BTreeMap<String, String>,
    /// Options of librdkafka for producers only (`linger.ms`, `compression.type`, ...).
    pub producer: BTreeMap<String, String>,
    /// Options of librdkafka for consumers only (`fetch.wait.max.ms`, ...).
    pub consumer: BTreeMap<String, String>,
    pub timeouts: TimeoutsConfig,
    /// Who may write approvals, on a cluster that asks who somebody is. Without it `gannet topics`
    /// looks at no access rights and sets none.
    pub acls: Option<AclsConfig>,
}

/// Principals as the cluster's authorizer names them, such as `User:gannet-console`. `gannet topics
/// apply` gives them their rights to approvals and to the groups in which these are read; `plan`
/// and `check` say what is missing and who else may write. All other rights are the operator's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclsConfig {
    /// The console's: alone in writing approvals.
    pub console: String,
    /// Act's: it reads them.
    pub act: String,
}

/// Milliseconds. The defaults are what DESIGN §4 argues for; tests shorten them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// Each call of a commit; after it the producer is made again.
    pub commit_ms: u64,
    /// A consumer that is silent this long has left its group (`session.timeout.ms`).
    pub session_ms: u64,
    /// Between two signs of life to the group's coordinator (`heartbeat.interval.ms`).
    pub heartbeat_ms: u64,
    /// The broker aborts a transaction that is open this long (`transaction.timeout.ms`).
    pub transaction_ms: u64,
    /// Metadata, offsets and administration.
    pub request_ms: u64,
    /// How long a record of the ordinary producer may wait for its report (`message.timeout.ms`).
    pub delivery_ms: u64,
}

/// The log of one process. A kill of the process leaves it as after the last commit; see
/// `durability` for what a power cut does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// The file of the log; without it the log is in memory and ends with the process.
    pub path: Option<PathBuf>,
    pub durability: DurabilityConfig,
    /// Cache of the store's pages in bytes.
    pub cache_bytes: usize,
    /// All records together; over it the oldest chunk of the largest partition goes. What a stage
    /// has yet to commit stays: then producers' queues are full until it has. 0: no limit on disk,
    /// 128 MB in memory.
    pub bytes_max: u64,
    /// What one producer may have in flight, in bytes; over it its queue is full.
    pub queue_bytes_max: usize,
}

/// When a commit on disk is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityConfig {
    /// When it is answered: every (grouped) commit is synced. A power cut loses nothing answered.
    #[default]
    Commit,
    /// At the latest 200 ms after it is answered. A kill or a power cut may lose those 200 ms,
    /// outputs and positions together, also of records that a producer saw reported.
    Interval,
}

/// What the catalogue of topics leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsConfig {
    /// Partitions of flows, metrics, events, partials and signals. 0: 12 (embedded: 2).
    pub partitions: u32,
    /// Partitions of all other topics. 0: 4 (embedded: 2).
    pub partitions_other: u32,
    /// Copies of each partition on a cluster.
    pub replication: u16,
    /// Hours that streams are kept.
    pub retention_hours: u64,
    /// Days that signals are kept: models are rebuilt from them.
    pub signals_retention_days: u64,
    /// Bytes that each partition of a stream keeps; 0: no limit.
    pub retention_bytes: u64,
    /// How far back a replay can go: incidents are not compacted before.
    pub replay_horizon_hours: u64,
}

/// Limits of one message (DESIGN §2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Rows of a message; a batch with more is split.
    pub rows_max: usize,
    /// Bytes that a message should not exceed; a batch over it is split where it has rows to split.
    pub bytes_aim: usize,
    /// Bytes that a message never exceeds: a single row over it is refused and counted.
    pub bytes_max: usize,
    /// Rows that a message may declare on reading.
    pub read_rows_max: u64,
    /// Bytes that a message may declare uncompressed on reading (a bomb declares more).
    pub read_bytes_max: u64,
}

// === impl BusConfig ===

impl Default for BusConfig {
    fn default() -> BusConfig {
        BusConfig {
            engine: Engine::default(),
            prefix: "gannet.".to_owned(),
            kafka: KafkaConfig::default(),
            embedded: EmbeddedConfig::default(),
            topics: TopicsConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl BusConfig {
    /// The full name of a topic: `flows.v1` becomes `gannet.flows.v1`.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

// === impl KafkaConfig ===

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            bootstrap: "127.0.0.1:9092".to_owned(),
            common: BTreeMap::new(),
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
            timeouts: TimeoutsConfig::default(),
            acls: None,
        }
    }
}

// === impl TimeoutsConfig ===

impl Default for TimeoutsConfig {
    fn default() -> TimeoutsConfig {
        TimeoutsConfig {
            commit_ms: 3_000,
            session_ms: 12_000,
            heartbeat_ms: 500,
            transaction_ms: 8_000,
            request_ms: 10_000,
            delivery_ms: 120_000,
        }
    }
}

impl TimeoutsConfig {
    pub fn commit(&self) -> Duration {
        Duration::from_millis(self.commit_ms)
    }

    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }
}

// === impl EmbeddedConfig ===

impl Default for EmbeddedConfig {
    fn default() -> EmbeddedConfig {
        EmbeddedConfig {
            path: None,
            durability: DurabilityConfig::default(),
            cache_bytes: 32 << 20,
            bytes_max: 0,
            queue_bytes_max: 32 << 20,
        }
    }
}

// === impl TopicsConfig ===

impl Default for TopicsConfig {
    fn default() -> TopicsConfig {
        TopicsConfig {
            partitions: 0,
            partitions_other: 0,
            replication: 1,
            retention_hours: 7 * 24,
            signals_retention_days: 35,
            retention_bytes: 0,
            replay_horizon_hours: 7 * 24,
        }
    }
}

// === impl LimitsConfig ===

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            rows_max: 5_000,
            // With its headers just within a page of the embedded store, which are powers of two.
            bytes_aim: 250 << 10,
            bytes_max: 900_000,
            read_rows_max: 1_000_000,
            read_bytes_max: 64 << 20,
        }
    }
}
