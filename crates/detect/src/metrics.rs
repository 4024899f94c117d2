//! Names of detect's metrics. Engines count through `Outputs::count`, so that what is done again
//! after a crash is counted once; labels are rule names and fixed words.

/// Rows that a rule's source had, by rule: in = out + late + dropped.
pub const ROLLUP_ROWS_IN: &str = "gannet_rollup_input_rows_total";
/// Rows that went into a rule's partial half (or were asked, without a window), by rule.
pub const ROLLUP_ROWS_OUT: &str = "gannet_rollup_aggregated_rows_total";
/// Rows whose window had closed, by rule.
pub const ROLLUP_ROWS_LATE: &str = "gannet_rollup_late_rows_total";
/// Rows on which a rule's query failed; they are on `<topic>.late` with that reason, by rule.
pub const ROLLUP_ROWS_DROPPED: &str = "gannet_rollup_dropped_rows_total";
/// Rows whose device time was more than a minute after they were received, by topic.
pub const ROLLUP_ROWS_FUTURE: &str = "gannet_rollup_future_rows_total";
/// State rows sent, by rule.
pub const ROLLUP_STATES: &str = "gannet_rollup_state_rows_total";
/// State rows that no message could carry; they are on `partials.v1.dlq`, by rule.
pub const ROLLUP_STATES_REFUSED: &str = "gannet_rollup_refused_state_rows_total";
/// State rows taken in, by rule.
pub const SCORE_STATES: &str = "gannet_score_state_rows_total";
/// Windows closed, by rule.
pub const SCORE_WINDOWS: &str = "gannet_score_windows_total";
/// Windows whose final half failed, by rule: their points are missing.
pub const SCORE_WINDOWS_FAILED: &str = "gannet_score_failed_windows_total";
/// Points of which some rows were lost (`complete` is false), by rule.
pub const SCORE_POINTS_INCOMPLETE: &str = "gannet_score_incomplete_points_total";
/// Points of `signals` that a rule's models were not rebuilt from, for the limit, by rule.
pub const SCORE_PAST_REFUSED: &str = "gannet_score_refused_past_points_total";
/// Groups that went into `other` because their rule had too many, by rule.
pub const SCORE_GROUPS_OTHER: &str = "gannet_score_other_groups_total";
/// Series forgotten, by rule and reason (`absent`, `limit`).
pub const SCORE_SERIES_FORGOTTEN: &str = "gannet_score_forgotten_series_total";
/// Points judged, by rule.
pub const SCORE_POINTS: &str = "gannet_score_judged_points_total";
/// Anomalies said, by rule and kind (`open`, `worse`, `clear`).
pub const SCORE_ANOMALIES: &str = "gannet_score_said_anomalies_total";
/// The same for rules without a window, said by rollup.
pub const ROLLUP_ANOMALIES: &str = "gannet_rollup_said_anomalies_total";
