//! Polling of devices by SNMP: an engine of pure state machines (`poller`, `device`, `walk`), the
//! rates (`rates`), the links that went down or came back (`links`), and what asks real agents
//! (`transport`, `service`). Which devices are ours is said by the consumer group on `inventory`
//! (`plan`). What is normal is left to `detect`.

mod config;
mod device;
pub mod links;
pub mod mib;
mod plan;
pub mod poller;
mod ports;
pub mod rates;
mod service;
mod transport;
mod walk;

pub use config::{Credential, Secret, SnmpConfig};
pub use poller::{Ask, Polled, Poller, Target};
pub use service::{Polling, Process, start};
pub use transport::{Agents, UdpAgents};
