//! From evidence to incidents: what detect found is taken in the order of its time, put together by
//! the entity that it names (or, where it names none, by k-means over a window), and told as one
//! incident with a life of its own. Judging what is an anomaly is detect's; topology and root cause
//! are not here yet.

pub mod config;
pub mod engine;
pub mod metrics;
pub mod service;

#[cfg(test)]
mod tests;

pub use config::CorrelateConfig;
pub use engine::Correlator;
pub use service::CorrelateStage;
