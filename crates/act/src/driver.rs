//! What changes the world, as act knows it: a call with its parameters, and a driver that carries
//! it out. The drivers themselves are in the crate `drivers`; a fake one that counts is here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod fake;

/// One call of a driver. It holds names of secrets at most, so it may stand in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub driver: String,
    pub device: Option<Target>,
    pub parameters: BTreeMap<String, String>,
    pub timeout_ms: u64,
    /// The same for every attempt at one step: a receiver can tell a repetition by it.
    pub key: String,
}

/// The device that a call is for, as the inventory has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub name: String,
    pub address: String,
    pub class: Option<String>,
    pub snmp_port: Option<u16>,
    /// The name of what is in the configuration, never a secret.
    pub credential: Option<String>,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The device said no, or the call is none: nothing was done.
    #[error("refused: {0}")]
    Refused(String),
    /// It could not be reached: nothing was done.
    #[error("not reached: {0}")]
    Unreached(String),
    /// It was asked, and what became of it is not known.
    #[error("no answer: {0}")]
    Unclear(String),
}

/// Carries calls out, on a thread that may block. A write is made at most once by each call of
/// `write`, but for what its protocol repeats without effect (a set of the same value).
pub trait Driver: Send + Sync {
    /// Whether `read` tells what a write has changed.
    fn can_read(&self) -> bool;

    fn read(&self, call: &Call) -> Result<String, DriverError>;

    fn write(&self, call: &Call) -> Result<String, DriverError>;
}

/// The drivers of a process by name.
#[derive(Clone, Default)]
pub struct Drivers {
    by_name: BTreeMap<String, Arc<dyn Driver>>,
}

// === impl Call ===

impl Call {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// What is sent, in one line for a person.
    pub fn text(&self) -> String {
        let mut text = self.driver.clone();
        if let Some(device) = &self.device {
            text.push_str(&format!(" {} ({})", device.name, device.address));
        }
        for (name, value) in &self.parameters {
            let value = value.replace(['\n', '\r'], " ");
            text.push_str(&format!(" {name}={value}"));
        }
        text
    }

    /// A parameter that must be there.
    pub fn parameter(&self, name: &str) -> Result<&str, DriverError> {
        let missing =
            || DriverError::Refused(format!("{} needs the parameter {name}", self.driver));
        self.parameters.get(name).map(String::as_str).ok_or_else(missing)
    }

    pub fn target(&self) -> Result<&Target, DriverError> {
        let missing = || DriverError::Refused(format!("{} needs a device", self.driver));
        self.device.as_ref().ok_or_else(missing)
    }
}

// === impl Drivers ===

impl Drivers {
    pub fn with(mut self, name: &str, driver: Arc<dyn Driver>) -> Drivers {
        self.by_name.insert(name.to_owned(), driver);
        self
    }

    pub fn get(&self, name: &str) -> Result<&Arc<dyn Driver>, DriverError> {
        let missing = || DriverError::Refused(format!("the driver {name} is not set up here"));
        self.by_name.get(name).ok_or_else(missing)
    }

    /// Names of those whose `read` tells what was written.
    pub fn readable(&self) -> std::collections::BTreeSet<String> {
        let can = self.by_name.iter().filter(|(_, driver)| driver.can_read());
        can.map(|(name, _)| name.clone()).collect()
    }
}

impl std::fmt::Debug for Drivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
