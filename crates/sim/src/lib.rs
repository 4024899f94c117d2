//! A network that speaks real protocols and breaks on command, with the truth in a file of its own
//! that no stage opens. Flow exporters: NetFlow v9 and IPFIX, seeded traffic, events placed in it.
//! The generator is pure (`Scenario::datagrams`), so that the same stream goes over real sockets in
//! real time (`service::send`) or through ingest's engine in simulated receive time. `net` is a
//! whole network, whose devices also answer SNMP, speak syslog and take commands. It leaves
//! decoding and judging to the product: nothing here shares code with what it tests.

pub mod encode;
pub mod exporter;
pub mod flow;
pub mod impair;
pub mod net;
pub mod options;
pub mod scenario;
pub mod service;
pub mod traffic;
pub mod truth;

#[cfg(test)]
mod tests;

pub use encode::Protocol;
pub use exporter::{Datagram, Exporter, Identity};
pub use flow::Flow;
pub use impair::{Impair, Impaired, Pick};
pub use net::{Fault, Net, Output};
pub use options::{Options, SimError};
pub use scenario::{Curve, Datagrams, Kind, Params, Scenario};
pub use service::{Pace, Sent, send};
pub use truth::{Ledger, Truth};
