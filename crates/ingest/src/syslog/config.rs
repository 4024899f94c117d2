//! The section `ingest.syslog:` of the configuration.

use garde::Validate;
use serde::{Deserialize, Serialize};

/// What messages may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// Events wait for others at most so long, ms.
    #[garde(range(min = 1, max = 60_000))]
    pub flush_ms: i64,
    /// Bytes of a message that are kept; a longer one is cut and counted.
    #[garde(range(min = 1_024, max = 262_144))]
    pub message_bytes_max: usize,
    /// Senders connected over TCP to one address.
    #[garde(range(min = 1, max = 100_000))]
    pub connections_max: usize,
    /// A sender that is silent for so long is disconnected, s.
    #[garde(range(min = 1))]
    pub idle_s: u64,
}

// === impl SyslogConfig ===

impl Default for SyslogConfig {
    fn default() -> SyslogConfig {
        SyslogConfig {
            flush_ms: 50,
            // The largest UDP payload is smaller.
            message_bytes_max: 65_536,
            connections_max: 1_000,
            // Routers say something within an hour: their clocks are set that often.
            idle_s: 3_600,
        }
    }
}
