//! The simulated network: 14 routers and switches with hosts and services behind them, that speak
//! NetFlow v9 and IPFIX, SNMP and syslog as real ones do, route around what fails, and break on
//! command. Pure and seeded: `Net::advance` gives what leaves the devices in the order of time,
//! `Net::snmp` and `Net::command` are how one asks and tells them. `serve` puts it on sockets.
//!
//! - `layout` what there is, `state` what changes, `routes` and `load` where traffic goes and how
//!   much, `flows` its records, `syslog` what devices say, `mib` what they answer, `command` what
//!   they can be told.
//! - `faults` what breaks and where. The place is settled when the network is made, so `Net::truth`
//!   knows it before it happens. Nothing of it is in `Net::inventory`.
//!
//! Time only goes on: a caller advances to a moment and then asks about it. The same seed,
//! parameters and requests at the same times make the same bytes.

pub mod ber;
mod change;
mod command;
mod faults;
mod flows;
mod inventory;
mod layout;
mod load;
mod mib;
mod params;
mod routes;
pub mod serve;
mod start;
mod state;
mod syslog;
mod view;
mod world;

#[cfg(test)]
mod tests;

pub use faults::{Fault, Placed, Root, Truth};
pub use params::{Exporters, Params};
pub use serve::{Bound, ServeOptions, Served, Sockets, serve};
pub use world::{Net, Output};
