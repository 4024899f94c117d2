//! The section `ingest.snmp:` of the configuration.

use std::collections::BTreeMap;
use std::fmt;

use garde::Validate;
use serde::{Deserialize, Serialize, Serializer};

/// How devices of the inventory are polled. Without a credential nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SnmpConfig {
    /// By the names that the inventory calls them (`snmp: { credential: lab }`).
    #[garde(dive)]
    pub credentials: BTreeMap<String, Credential>,
    /// Between two polls of a device, ms. Polls of all devices are spread over it.
    #[garde(range(min = 1_000))]
    pub interval_ms: i64,
    /// Between two readings of names, aliases and speeds, ms. They are read at once where the
    /// device says that its interfaces have changed, or where it has started anew.
    #[garde(range(min = 1_000))]
    pub names_ms: i64,
    /// How long an answer may take before it is asked again, ms.
    #[garde(range(min = 10))]
    pub timeout_ms: u64,
    /// How often a request without an answer is repeated.
    #[garde(range(max = 16))]
    pub retries: u32,
    /// How long one poll of one device may take in all, ms; what has come by then counts.
    #[garde(range(min = 100))]
    pub deadline_ms: i64,
    /// Devices asked at the same time; others wait for their turn.
    #[garde(range(min = 1, max = 10_000))]
    pub in_flight_max: usize,
    /// Rows asked for at once: it rises to this and falls with each answer that was too big or did
    /// not come.
    #[garde(range(min = 1, max = 1_000))]
    pub repetitions_max: u32,
    /// Rows of one table of one device; more are left out and counted.
    #[garde(range(min = 1))]
    pub rows_max: u32,
    /// Failures of a device within a minute that end its walks for `breaker_ms`: it is then only
    /// asked whether it lives.
    #[garde(range(min = 1, max = 10_000))]
    pub breaker_failures: usize,
    #[garde(range(min = 1))]
    pub breaker_ms: i64,
    /// Receive buffer asked for, shared by all devices. The kernel gives `net.core.rmem_max` at
    /// most.
    #[garde(range(min = 4096))]
    pub receive_buffer_bytes: usize,
    /// Finished polls that wait for the publisher; more are dropped and counted.
    #[garde(range(min = 1))]
    pub queue_polls_max: usize,
}

/// How an agent is spoken to: SNMP v2c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Never shown: not by `gannet check --dump`, not in the log.
    #[garde(skip)]
    pub community: Secret,
}

/// A text that is read and never written.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// What is shown in its place.
const HIDDEN: &str = "***";

// === impl Secret ===

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

// === impl SnmpConfig ===

impl Default for SnmpConfig {
    fn default() -> SnmpConfig {
        SnmpConfig {
            credentials: BTreeMap::new(),
            interval_ms: 10_000,
            names_ms: 300_000,
            timeout_ms: 2_000,
            retries: 1,
            deadline_ms: 8_000,
            in_flight_max: 200,
            repetitions_max: 25,
            rows_max: 10_000,
            breaker_failures: 20,
            breaker_ms: 60_000,
            receive_buffer_bytes: 8 << 20,
            queue_polls_max: 4_096,
        }
    }
}
