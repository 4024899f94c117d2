//! The section `correlate` of the configuration.

use garde::Validate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct CorrelateConfig {
    /// An incident whose anomalies have all cleared is resolved after this long.
    #[garde(range(min = 1))]
    pub resolve_after_s: u32,
    /// A new anomaly of the same entity within this time of the resolution reopens the incident,
    /// under the same id; later it is another one.
    #[garde(skip)]
    pub reopen_within_s: u32,
    /// Anomalies that name no entity are grouped over windows of this length.
    #[garde(range(min = 1))]
    pub cluster_window_s: u32,
    /// Most groups of one such window.
    #[garde(range(min = 1, max = 64))]
    pub clusters_max: u32,
    /// Evidence that waits for its time, in rows per partition; over it the latest is refused.
    #[garde(range(min = 1))]
    pub pending_max: u32,
    /// Incidents of a domain that are open, quiet, or may still be reopened; over it anomalies of
    /// further entities go to one incident that names the domain.
    #[garde(range(min = 1))]
    pub incidents_max: u32,
    /// Anomalies that an incident lists; over it the oldest that has cleared goes, or the new one
    /// is only counted. 200 of them with their reasons stay well below a message's hard limit.
    #[garde(range(min = 1, max = 500))]
    pub members_max: u32,
}

// === impl CorrelateConfig ===

impl Default for CorrelateConfig {
    fn default() -> CorrelateConfig {
        CorrelateConfig {
            resolve_after_s: 300,
            reopen_within_s: 900,
            cluster_window_s: 300,
            clusters_max: 8,
            pending_max: 100_000,
            incidents_max: 10_000,
            members_max: 200,
        }
    }
}

impl CorrelateConfig {
    pub(crate) fn resolve_after_ms(&self) -> i64 {
        i64::from(self.resolve_after_s) * 1000
    }

    pub(crate) fn reopen_within_ms(&self) -> i64 {
        // At least an instant: that it was resolved is told before it is forgotten.
        (i64::from(self.reopen_within_s) * 1000).max(1)
    }

    pub(crate) fn cluster_window_ms(&self) -> i64 {
        i64::from(self.cluster_window_s) * 1000
    }
}
