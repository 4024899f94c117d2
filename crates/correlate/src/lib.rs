//! From evidence to incidents: what detect found is taken in the order of its time, put together by
//! the root that explains it where the topology is known, else by the entity that it names (or,
//! where it names none, by k-means over a window), and told as one incident with a life of its own.
//! Judging what is an anomaly is detect's.

pub mod config;
pub mod engine;
pub mod metrics;
pub mod service;

#[cfg(test)]
mod root_tests;
#[cfg(test)]
mod tests;

pub use config::CorrelateConfig;
pub use engine::Correlator;
pub use service::CorrelateStage;
