//! Real Apache Kafka on this machine, without containers: its jars come from Maven under
//! `target/`, and a broker is an ordinary process, so that it can be killed like one.
//! Talking to it is left to the product and its tests.

mod broker;
mod jars;
mod properties;
mod standing;
#[cfg(test)]
mod tests;

use anyhow::Result;

pub use broker::{Broker, Options};
pub use jars::{VERSION, fetch};
pub use properties::{Access, Ports};
pub use standing::{start, status, stop};

/// The variable by which tests and the lab find the broker; set from outside, it names one that
/// runs already and xtask starts none.
pub const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";
/// The same for a broker that asks who somebody is, with the users of `properties`.
pub const SASL_BOOTSTRAP: &str = "KAFKA_SASL_BOOTSTRAP";

/// A Kafka to test against: one that somebody else runs, or one of our own.
pub enum Cluster {
    Named(String),
    Own(Box<Broker>),
}

impl Cluster {
    /// The one that the environment names, or else a broker started for this run.
    pub fn get(options: &Options) -> Result<Cluster> {
        let variable = match options.access {
            Access::Open => BOOTSTRAP,
            Access::Asked => SASL_BOOTSTRAP,
        };
        match std::env::var(variable) {
            Ok(named) if !named.is_empty() => Ok(Cluster::Named(named)),
            _ => Ok(Cluster::Own(Box::new(Broker::start(options)?))),
        }
    }

    pub fn bootstrap(&self) -> String {
        match self {
            Cluster::Named(bootstrap) => bootstrap.clone(),
            Cluster::Own(broker) => broker.bootstrap(),
        }
    }
}
