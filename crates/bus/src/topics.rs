//! The catalogue of topics (DESIGN §1): partitions, policies, and the check of what a log has
//! against it. The number of partitions is part of the contract with other teams, so it is never
//! changed here, only compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::acls::Acl;
use crate::config::{BusConfig, Engine};
use crate::log::{Admin, LogError};

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSpec {
    /// The full name, prefix and version included: `gannet.flows.v1`.
    pub name: String,
    pub partitions: u32,
    pub replication: u16,
    /// By Kafka's names: `cleanup.policy`, `retention.ms`, `min.compaction.lag.ms`, ...
    pub settings: BTreeMap<String, String>,
}

/// One way in which a log differs from the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub topic: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Missing {
        partitions: u32,
    },
    Partitions {
        found: u32,
        wanted: u32,
    },
    Setting {
        name: String,
        found: String,
        wanted: String,
    },
    /// A principal lacks a right that the configuration gives it.
    Right(Acl),
    /// Somebody may write whom the configuration does not name.
    Writer(Acl),
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{}", list(.0))]
    Differs(Vec<Difference>),
}

/// How a topic is kept.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stream,
    /// A stream that models are rebuilt from.
    Signals,
    /// Last value per key, and dropped by age too.
    CompactedStream,
    Compacted,
}

#[derive(Clone, Copy, PartialEq)]
enum Size {
    Wide,
    Narrow,
}

/// All topics but those of dead letters, late rows and snapshots.
const TOPICS: [(&str, Size, Kind); 15] = [
    ("flows.v1", Size::Wide, Kind::Stream),
    ("metrics.v1", Size::Wide, Kind::Stream),
    ("events.v1", Size::Wide, Kind::Stream),
    ("partials.v1", Size::Wide, Kind::Stream),
    ("signals.v1", Size::Wide, Kind::Signals),
    ("evidence.v1", Size::Narrow, Kind::Stream),
    ("incidents.v1", Size::Narrow, Kind::CompactedStream),
    ("incidents.json.v1", Size::Narrow, Kind::Stream),
    ("actions.v1", Size::Narrow, Kind::Stream),
    ("actions.json.v1", Size::Narrow, Kind::Stream),
    ("approvals.v1", Size::Narrow, Kind::Stream),
    ("topology.v1", Size::Narrow, Kind::Compacted),
    ("inventory.v1", Size::Narrow, Kind::Compacted),
    ("interfaces.v1", Size::Narrow, Kind::Compacted),
    ("templates.v1", Size::Narrow, Kind::Compacted),
];
const CONFIG: (&str, Size, Kind) = ("config.v1", Size::Narrow, Kind::Compacted);
/// Sources of rollup, which judges lateness.
const WITH_LATE: [&str; 3] = ["flows.v1", "metrics.v1", "events.v1"];
/// Stages whose tasks keep a state that is worth a snapshot.
const WITH_SNAPSHOTS: [&str; 3] = ["score", "correlate", "act"];

/// Partitions of the wide topics and of the rest on a cluster, and of all in one process.
const WIDE: u32 = 12;
const NARROW: u32 = 4;
const EMBEDDED: u32 = 2;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Every topic of a deployment, in the order of DESIGN §1.
pub fn catalogue(config: &BusConfig) -> Vec<TopicSpec> {
    let mut all = Vec::new();
    for (name, size, kind) in TOPICS.into_iter().chain([CONFIG]) {
        all.push(spec(config, name, size, kind));
        if kind != Kind::Compacted {
            all.push(spec(config, &format!("{name}.dlq"), size, Kind::Stream));
        }
        if WITH_LATE.contains(&name) {
            all.push(spec(config, &format!("{name}.late"), size, Kind::Stream));
        }
    }
    for stage in WITH_SNAPSHOTS {
        all.push(spec(config, &format!("snapshots.{stage}.v1"), Size::Narrow, Kind::Stream));
    }
    all
}

/// Whether a topic (full name) is compacted, so that a broker takes no record without a key there.
pub fn is_compacted(topic: &str) -> bool {
    let is_kept_by_key = |kind| matches!(kind, Kind::Compacted | Kind::CompactedStream);
    let mut all = TOPICS.into_iter().chain([CONFIG]);
    all.any(|(name, _, kind)| is_kept_by_key(kind) && topic.ends_with(name))
}

fn spec(config: &BusConfig, name: &str, size: Size, kind: Kind) -> TopicSpec {
    TopicSpec {
        name: config.topic(name),
        partitions: partitions(config, size),
        replication: config.topics.replication,
        settings: settings(config, kind),
    }
}

fn partitions(config: &BusConfig, size: Size) -> u32 {
    let (configured, default) = match size {
        Size::Wide => (config.topics.partitions, WIDE),
        Size::Narrow => (config.topics.partitions_other, NARROW),
    };
    match (configured, config.engine) {
        (0, Engine::Embedded) => EMBEDDED,
        (0, Engine::Kafka) => default,
        (configured, _) => configured,
    }
}

fn settings(config: &BusConfig, kind: Kind) -> BTreeMap<String, String> {
    let topics = &config.topics;
    let mut settings = BTreeMap::new();
    let mut put = |name: &str, value: String| settings.insert(name.to_owned(), value);
    let policy = match kind {
        Kind::Stream | Kind::Signals => "delete",
        Kind::CompactedStream => "compact,delete",
        Kind::Compacted => "compact",
    };
    put("cleanup.policy", policy.to_owned());
    let retention_ms = match kind {
        Kind::Stream => Some(topics.retention_hours * HOUR_MS),
        Kind::Signals => Some(topics.signals_retention_days * DAY_MS),
        // An incident must outlive the replays of its time.
        Kind::CompactedStream => Some(topics.signals_retention_days * DAY_MS),
        Kind::Compacted => None,
    };
    if let Some(ms) = retention_ms {
        put("retention.ms", ms.to_string());
    }
    if kind == Kind::Stream && topics.retention_bytes > 0 {
        put("retention.bytes", topics.retention_bytes.to_string());
    }
    if kind == Kind::CompactedStream {
        let lag_ms = topics.replay_horizon_hours * HOUR_MS;
        put("min.compaction.lag.ms", lag_ms.to_string());
    }
    settings
}

/// What differs between a log and the wanted topics.
pub fn plan(admin: &dyn Admin, wanted: &[TopicSpec]) -> Result<Vec<Difference>, LogError> {
    let mut differences = Vec::new();
    for spec in wanted {
        let topic = || spec.name.clone();
        let Some(found) = admin.describe(&spec.name)? else {
            let what = What::Missing { partitions: spec.partitions };
            differences.push(Difference { topic: topic(), what });
            continue;
        };
        if found.partitions != spec.partitions {
            let what = What::Partitions { found: found.partitions, wanted: spec.partitions };
            differences.push(Difference { topic: topic(), what });
        }
        for (name, wanted) in &spec.settings {
            let found = found.settings.get(name).cloned().unwrap_or_default();
            if !same(&found, wanted) {
                let (name, wanted) = (name.clone(), wanted.clone());
                let what = What::Setting { name, found, wanted };
                differences.push(Difference { topic: topic(), what });
            }
        }
    }
    Ok(differences)
}

/// Lists are compared as sets: a broker may answer `delete,compact`.
fn same(found: &str, wanted: &str) -> bool {
    let set = |text: &str| -> BTreeSet<String> {
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    set(found) == set(wanted)
}

/// Makes what is missing and sets what differs; what cannot be changed stays and is returned.
pub fn apply(admin: &dyn Admin, wanted: &[TopicSpec]) -> Result<Vec<Difference>, LogError> {
    let differences = plan(admin, wanted)?;
    let mut altered = BTreeSet::new();
    for difference in &differences {
        let Some(spec) = wanted.iter().find(|spec| spec.name == difference.topic) else {
            continue;
        };
        match difference.what {
            What::Missing { .. } => admin.create(spec)?,
            What::Setting { .. } if altered.insert(&spec.name) => admin.alter(spec)?,
            What::Setting { .. } | What::Partitions { .. } => {}
            // Of `acls`, which has a plan of its own.
            What::Right(_) | What::Writer(_) => {}
        }
    }
    let stays = |difference: &Difference| matches!(difference.what, What::Partitions { .. });
    Ok(differences.into_iter().filter(stays).collect())
}

/// Refuses a log whose topics differ from what a stage needs; the message says how to mend it.
pub fn check(admin: &dyn Admin, wanted: &[TopicSpec]) -> Result<(), CheckError> {
    let differences = plan(admin, wanted)?;
    if differences.is_empty() { Ok(()) } else { Err(CheckError::Differs(differences)) }
}

/// The specs of some topics, by their names without the prefix.
pub fn some(config: &BusConfig, names: &[&str]) -> Vec<TopicSpec> {
    let wanted: BTreeSet<String> = names.iter().map(|name| config.topic(name)).collect();
    catalogue(config).into_iter().filter(|spec| wanted.contains(&spec.name)).collect()
}

// === impl Difference ===

impl Difference {
    /// What an operator does about it.
    pub fn mend(&self) -> String {
        match &self.what {
            What::Missing { .. } => "create it with `gannet topics apply`".to_owned(),
            What::Setting { .. } => {
                "set it with `gannet topics apply`, or change it in the configuration".to_owned()
            }
            What::Right(_) => "grant it with `gannet topics apply`".to_owned(),
            What::Writer(_) => "revoke it with the cluster's own tools, or name this principal in \
                                bus.kafka.acls"
                .to_owned(),
            What::Partitions { found, .. } => format!(
                "set the configuration to {found} partitions, or let every stage run dry, stop \
                 them, delete the topic and create it with `gannet topics apply`; keys move with \
                 the number of partitions"
            ),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match &self.what {
            What::Missing { partitions } => {
                write!(f, "topic {topic} is missing (wanted: {partitions} partitions)")
            }
            What::Partitions { found, wanted } => {
                write!(f, "topic {topic} has {found} partitions, wanted {wanted}")
            }
            What::Setting { name, found, wanted } => {
                write!(f, "topic {topic} has {name}={found:?}, wanted {wanted:?}")
            }
            What::Right(acl) => write!(f, "topic {topic}: a right is missing: {acl}"),
            What::Writer(acl) => write!(f, "topic {topic} may be written by others: {acl}"),
        }
    }
}

fn list(differences: &[Difference]) -> String {
    let lines = differences.iter().map(|d| format!("{d}: {}", d.mend()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
