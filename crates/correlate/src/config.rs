//! The section `correlate` of the configuration.

use std::collections::BTreeMap;

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
    /// What an anomaly of a rule is a symptom of; rules that are not named stay outside root cause.
    #[garde(skip)]
    pub symptoms: BTreeMap<String, Sign>,
    /// How long after it opened an anomaly is weighed against new ones. Longer than the slowest
    /// symptom takes (BGP's hold time, 180 s), or what belongs together falls apart.
    #[garde(range(min = 60))]
    pub explain_within_s: u32,
    /// How probable an anomaly is without a root: noise, or what the map does not know. Roots that
    /// are less likely are not named.
    #[garde(range(min = 1e-9, max = 0.5))]
    pub leak: f64,
    /// Elements of a domain's topology; over it new ones are refused.
    #[garde(range(min = 1))]
    pub elements_max: u32,
    /// Changes of our own of a domain that are remembered; over it the oldest goes.
    #[garde(range(min = 1))]
    pub changes_max: u32,
    /// An anomaly at what we changed, so long after it, comes from the change.
    #[garde(skip)]
    pub change_settles_s: u32,
    /// Actions that silence an interface: what it said of itself no longer keeps an incident open.
    #[garde(skip)]
    pub shut_actions: Vec<String>,
}

/// Kinds of symptoms that roots are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// An interface is down, and nobody shut it.
    LinkDown,
    /// An interface was shut.
    AdminDown,
    /// A routing neighbour is gone.
    BgpDown,
    /// A device does not answer.
    Unreachable,
    /// An interface is full.
    Utilization,
    /// An interface receives damaged frames.
    Errors,
    /// An interface comes and goes.
    Flapping,
    /// A device's processor is busy.
    Cpu,
    /// A host is flooded.
    Flood,
    ExporterSilent,
    ExporterLoss,
    /// An exporter's traffic is unusual.
    ExporterTraffic,
}

/// The shipped rules.
const SYMPTOMS: [(&str, Sign); 12] = [
    ("link-down", Sign::LinkDown),
    ("link-admin-down", Sign::AdminDown),
    ("bgp-down", Sign::BgpDown),
    ("device-unreachable", Sign::Unreachable),
    ("interface-utilization", Sign::Utilization),
    ("interface-errors", Sign::Errors),
    ("link-flapping", Sign::Flapping),
    ("cpu-usage", Sign::Cpu),
    ("syn-flood", Sign::Flood),
    ("exporter-silent", Sign::ExporterSilent),
    ("exporter-loss", Sign::ExporterLoss),
    ("exporter-traffic", Sign::ExporterTraffic),
];

// === impl Sign ===

impl Sign {
    /// What a limit on a metric, as a rule's shorthand has it, is a symptom of.
    pub fn of_metric(metric: &str) -> Option<Sign> {
        Some(match metric {
            "cpu_usage" => Sign::Cpu,
            "if_out_utilization" | "if_in_utilization" => Sign::Utilization,
            "snmp_up" => Sign::Unreachable,
            "ifInErrors" => Sign::Errors,
            _ => return None,
        })
    }

    /// How long the shipped rules look on before they speak (`config/rules.yaml`: their `for`, and
    /// three windows of a level).
    pub(crate) fn takes_ms(self) -> i64 {
        match self {
            Sign::ExporterTraffic | Sign::ExporterLoss => 180_000,
            Sign::Utilization => 30_000,
            Sign::Unreachable | Sign::Errors | Sign::Flapping => 20_000,
            _ => 0,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Sign::LinkDown => "link-down",
            Sign::AdminDown => "admin-down",
            Sign::BgpDown => "bgp-down",
            Sign::Unreachable => "unreachable",
            Sign::Utilization => "utilization",
            Sign::Errors => "errors",
            Sign::Flapping => "flapping",
            Sign::Cpu => "cpu",
            Sign::Flood => "flood",
            Sign::ExporterSilent => "exporter-silent",
            Sign::ExporterLoss => "exporter-loss",
            Sign::ExporterTraffic => "exporter-traffic",
        }
    }
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
            symptoms: SYMPTOMS.iter().map(|(rule, sign)| ((*rule).to_owned(), *sign)).collect(),
            explain_within_s: 300,
            leak: 3e-5,
            elements_max: 50_000,
            changes_max: 1_000,
            change_settles_s: 60,
            shut_actions: vec!["interface.down".to_owned()],
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

    pub(crate) fn explain_within_ms(&self) -> i64 {
        i64::from(self.explain_within_s) * 1000
    }

    pub(crate) fn change_settles_ms(&self) -> i64 {
        i64::from(self.change_settles_s) * 1000
    }

    pub(crate) fn cluster_window_ms(&self) -> i64 {
        i64::from(self.cluster_window_s) * 1000
    }
}
