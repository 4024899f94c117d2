//! What a network says about itself, received, decoded into columns and put on the log: NetFlow v5,
//! v9 and IPFIX, and syslog. Judging what is normal is left to `detect`.

mod clock;
pub mod config;
pub mod decode;
pub mod devices;
pub mod engine;
pub mod interfaces;
mod ledger;
mod listeners;
pub mod metrics;
mod polled;
mod publish;
mod receive;
mod resume;
pub mod service;
pub mod snmp;
mod store;
pub mod syslog;
mod watch;

#[cfg(test)]
mod tests;

pub use config::IngestConfig;
pub use decode::{Summary, decode_files};
pub use devices::Devices;
pub use listeners::Listeners;
pub use publish::Stored;
pub use service::{IngestError, IngestFeed, Report, print, run};
