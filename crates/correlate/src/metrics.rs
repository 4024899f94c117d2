//! Names of correlate's metrics.

/// Anomalies taken in their order.
pub const EVIDENCE: &str = "gannet_correlate_evidence_rows_total";
/// Anomalies that came after their time had been passed.
pub const LATE: &str = "gannet_correlate_late_evidence_rows_total";
/// What a limit refused; `limit` is `pending`, `incidents` or `members`.
pub const REFUSED: &str = "gannet_correlate_refused_anomalies_total";
/// Clearings of anomalies that are in no incident.
pub const UNMATCHED: &str = "gannet_correlate_unmatched_clearings_total";
/// Changes of incidents; `state` is the state after the change.
pub const CHANGES: &str = "gannet_correlate_incident_changes_total";

pub const LABEL_LIMIT: &str = "limit";
pub const LABEL_STATE: &str = "state";
