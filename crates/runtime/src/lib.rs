//! The frame of a stage's process (configuration, telemetry, admin HTTP, signals, drain) and the
//! task loop. What a stage computes is left to the stages; what the log is, to `bus`.

pub mod active_config;
pub mod admin;
pub mod config;
pub mod metrics;
pub mod process;
pub mod shutdown;
pub mod task;
pub mod telemetry;
