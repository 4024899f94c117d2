//! The catalogue of topics (DESIGN §1): partitions, policies, and the check of what a log has
//! against it.

use std::collections::BTreeMap;

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
