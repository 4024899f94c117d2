//! Names of the metrics that the log itself counts. Stages count their own records.

/// Seconds of one commit, the engine's own part (embedded) or all calls of a transaction (Kafka).
pub const COMMIT_SECONDS: &str = "gannet_bus_commit_duration_seconds";
/// Commits that failed, by `kind` (`aborted`, `indeterminate`, `fenced`) or of the store itself.
pub const COMMITS_FAILED: &str = "gannet_bus_commits_failed_total";
/// Superseded records of the embedded log that were dropped before their time, because it was over
/// its size.
pub const SUPERSEDED_DROPPED: &str = "gannet_bus_dropped_records_total";
/// Chunks of the embedded log that were dropped, by `reason` (`retention`, `log_size`).
pub const CHUNKS_DROPPED: &str = "gannet_bus_chunks_dropped_total";
/// Sends that a full queue put off.
pub const QUEUE_FULL: &str = "gannet_bus_sends_refused_total";
/// Times that a transactional producer was made again after an end that is not known.
pub const PRODUCERS_REMADE: &str = "gannet_bus_producers_remade_total";
/// Errors that a Kafka client reported and goes on after, by `kind`.
pub const CLIENT_ERRORS: &str = "gannet_bus_client_errors_total";
