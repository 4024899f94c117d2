//! Names of act's metrics.

/// Steps of executions told, by `state`.
pub const STEPS: &str = "gannet_act_steps_total";
/// Calls of drivers that ended, by `driver` and `result`: done, refused, unreached, unclear,
/// lease-over.
pub const CALLS: &str = "gannet_act_driver_calls_total";
pub const CALL_SECONDS: &str = "gannet_act_driver_call_duration_seconds";
/// What a limit refused; `limit` is `executions`, `network` or `approvals`.
pub const REFUSED: &str = "gannet_act_refused_items_total";
/// Messages of followed topics that could not be read.
pub const UNREADABLE: &str = "gannet_act_unreadable_messages_total";

pub const LABEL_STATE: &str = "state";
pub const LABEL_DRIVER: &str = "driver";
pub const LABEL_RESULT: &str = "result";
pub const LABEL_LIMIT: &str = "limit";
