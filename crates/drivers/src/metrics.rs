//! Names of the drivers' metrics. They speak for act, whose calls they are.

/// Notifications, by `result`: sent, logged (the channel has no address), failed.
pub const NOTIFICATIONS: &str = "gannet_act_notifications_total";

pub const LABEL_RESULT: &str = "result";
