//! Names of correlate's metrics.

/// Anomalies taken in their order.
pub const EVIDENCE: &str = "gannet_correlate_evidence_rows_total";
/// Anomalies that came after their time had been passed.
pub const LATE: &str = "gannet_correlate_late_evidence_rows_total";
/// What a limit refused; `limit` is `pending`, `incidents`, `members`, `elements`, `changes` or
/// `feedback`.
pub const REFUSED: &str = "gannet_correlate_refused_anomalies_total";
/// Clearings of anomalies that are in no incident.
pub const UNMATCHED: &str = "gannet_correlate_unmatched_clearings_total";
/// Changes of incidents; `state` is the state after the change.
pub const CHANGES: &str = "gannet_correlate_incident_changes_total";

/// Elements of topologies that were taken and republished.
pub const ELEMENTS: &str = "gannet_correlate_topology_elements_total";
/// Changes of our own that were taken.
pub const OWN_CHANGES: &str = "gannet_correlate_own_changes_total";
/// Words of people on incidents; `verdict` is theirs.
pub const FEEDBACK: &str = "gannet_correlate_feedback_words_total";
/// Words on, or changes for, an incident that is not there any more.
pub const UNKNOWN: &str = "gannet_correlate_unknown_incidents_total";
/// Incidents that turned out to be part of another.
pub const MERGED: &str = "gannet_correlate_merged_incidents_total";

pub const LABEL_LIMIT: &str = "limit";
pub const LABEL_STATE: &str = "state";
pub const LABEL_VERDICT: &str = "verdict";
