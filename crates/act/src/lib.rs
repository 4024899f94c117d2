//! From an incident to a verified repair: playbooks, plans, gates, approvals, leases, the state
//! machine and its audit on `actions`. What changes the world is a driver, known here only as a
//! trait; finding out what broke is correlate's.

pub mod config;
pub mod driver;
pub mod engine;
pub mod metrics;
pub mod playbook;
pub mod service;

#[cfg(test)]
mod tests;

pub use config::ActConfig;
pub use driver::{Call, Driver, DriverError, Drivers, Target};
pub use engine::Act;
pub use playbook::{Library, Paths, check, check_texts};
pub use service::{ActStage, Followed, Time};
