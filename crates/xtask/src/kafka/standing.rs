//! `cargo xtask kafka start|stop|status`: a broker that stays when xtask ends, for a person's
//! own tries. Its address is in `target/kafka/bootstrap`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::broker::{self, Broker, Options, STANDING};
use super::jars;
use super::properties::Access;
use crate::{process, workspace};

/// Starts the standing broker, empty, and leaves it running. Returns its address.
pub fn start(port: Option<u16>, fast_timeouts: bool, access: Access) -> Result<String> {
    let name = STANDING.to_string();
    let broker = Broker::start(&Options { name, port, fast_timeouts, access })?;
    let bootstrap = broker.bootstrap();
    fs::write(bootstrap_file(), &bootstrap).context("failed to write the broker's address")?;
    broker.leave_running();
    Ok(bootstrap)
}

/// Stops the standing broker; `false` if none ran.
pub fn stop() -> Result<bool> {
    let _ = fs::remove_file(bootstrap_file());
    let Some(pid) = broker::running_in(&dir()) else {
        return Ok(false);
    };
    process::signal(pid, "TERM")?;
    let ended = || Ok(broker::running_in(&dir()).is_none());
    if process::wait_until("the broker's end", Duration::from_secs(20), ended).is_err() {
        process::signal(pid, "KILL")?;
        process::wait_until("the broker's end", Duration::from_secs(20), ended)?;
    }
    Ok(true)
}

/// The standing broker's address and process id, if it runs.
pub fn status() -> Option<(String, u32)> {
    let pid = broker::running_in(&dir())?;
    Some((fs::read_to_string(bootstrap_file()).ok()?, pid))
}

fn dir() -> PathBuf {
    workspace::target().join("kafka-data").join(STANDING)
}

fn bootstrap_file() -> PathBuf {
    jars::dir().join("bootstrap")
}
