//! What changes the world: SNMP set, command, webhook, the simulated network's command line, and
//! notifications, each behind act's trait. Only the binary links this crate, so that a replay
//! cannot touch a device.

mod command;
pub mod config;
mod http;
mod metrics;
mod notify;
mod sim;
mod snmp;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;

use act::Drivers;

pub use command::CommandDriver;
pub use config::{DriversConfig, Secret};
pub use notify::NotifyDriver;
pub use sim::SimDriver;
pub use snmp::SnmpDriver;
pub use webhook::WebhookDriver;

/// All drivers, by the names that bindings use.
pub fn all(config: &DriversConfig) -> std::io::Result<Drivers> {
    Ok(Drivers::default()
        .with("snmp", Arc::new(SnmpDriver::new(&config.snmp)?))
        .with("command", Arc::new(CommandDriver::new(&config.command)))
        .with("webhook", Arc::new(WebhookDriver::new(&config.webhook)))
        .with("sim", Arc::new(SimDriver::new(&config.sim)))
        .with("notify", Arc::new(NotifyDriver::new(&config.notify))))
}
