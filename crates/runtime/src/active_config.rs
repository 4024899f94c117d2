//! Which configuration of a stage is the active one: the highest serial on `config.v1`. Instances
//! of one stage must decide alike, or their outputs depend on who has which partition; so one whose
//! file differs in what decides refuses to start. Switching while instances run is left to a later
//! version, what decides is left to the stages.

mod difference;
mod topic;

use bus::config::Engine;
use bus::{BusConfig, Log, LogError};
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use topic::read;

/// The topic's name without the prefix.
pub const TOPIC: &str = "config.v1";

/// The part of a stage's configuration that its outputs depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisive {
    pub stage: String,
    /// 16 hex digits of the SHA-256 of `text`.
    pub fingerprint: String,
    /// As YAML, so that a refusal can say what differs.
    pub text: String,
}

/// One message of `config.v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub stage: String,
    pub fingerprint: String,
    pub serial: u64,
    pub from_ms: i64,
    pub instance: String,
    pub text: String,
}

/// Who publishes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    pub instance: &'a str,
    pub now_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum ActiveConfigError {
    #[error(
        "the configuration of {stage} here ({mine}) is not the active one ({active}, serial \
         {serial}, published by {by}); the active one is -, this one is +\n{difference}\nuse the \
         active configuration, or make this one active with `gannet config activate --config FILE`"
    )]
    Differs {
        stage: String,
        mine: String,
        active: String,
        serial: u64,
        by: String,
        difference: String,
    },
    #[error(
        "{} still run {stage} on the active configuration: stop them first, or add --force (they \
         go on with the old one until they are started again)", .instances.join(", ")
    )]
    StillLive { stage: String, instances: Vec<String> },
    #[error("there is no topic {0}: create it with `gannet topics apply`")]
    NoTopic(String),
    #[error("cannot read {topic} to its end: {reason}")]
    Unreadable { topic: String, reason: String },
    #[error("cannot publish the configuration of {stage}: {reason}")]
    Publish { stage: String, reason: String },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a stage that still runs on the old configuration means for `activate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileLive {
    Refuse,
    Force,
}

// === impl Decisive ===

impl Decisive {
    /// `part` must not hold what may differ between instances: addresses, paths, names.
    pub fn of(stage: &str, part: &impl Serialize) -> Result<Decisive, ActiveConfigError> {
        let text = serde_saphyr::to_string(part).map_err(|e| ActiveConfigError::Publish {
            stage: stage.to_owned(),
            reason: format!("it cannot be written as YAML: {e}"),
        })?;
        let digest = Sha256::digest(text.as_bytes());
        let fingerprint = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Decisive { stage: stage.to_owned(), fingerprint, text })
    }
}

/// Makes sure that this configuration is the active one of its stage: publishes it where there is
/// none yet, or where the log has only this process. Returns its serial.
pub fn enter(
    log: &dyn Log,
    bus: &BusConfig,
    decisive: &Decisive,
    publisher: Publisher<'_>,
) -> Result<u64, ActiveConfigError> {
    match topic::read(log, bus, &decisive.stage)? {
        Some(active) if active.fingerprint == decisive.fingerprint => Ok(active.serial),
        Some(active) if bus.engine == Engine::Kafka => Err(differs(&active, decisive)),
        active => {
            let serial = active.map_or(1, |active| active.serial.saturating_add(1));
            topic::publish(log, bus, decisive, serial, publisher)?;
            agreed(log, bus, decisive)
        }
    }
}

/// Publishes this configuration as the next serial of its stage; `groups` are the names under which
/// the stage's instances join. `None` where it is the active one already.
pub fn activate(
    log: &dyn Log,
    bus: &BusConfig,
    decisive: &Decisive,
    groups: &[&str],
    publisher: Publisher<'_>,
    while_live: WhileLive,
) -> Result<Option<u64>, ActiveConfigError> {
    let active = topic::read(log, bus, &decisive.stage)?;
    let serial = match active {
        Some(active) if active.fingerprint == decisive.fingerprint => return Ok(None),
        Some(active) => active.serial.saturating_add(1),
        None => 1,
    };
    let mut instances = Vec::new();
    for group in groups {
        let members = log.admin().members(group)?;
        instances.extend(members.into_iter().map(|member| format!("{group}/{member}")));
    }
    if while_live == WhileLive::Refuse && !instances.is_empty() {
        let stage = decisive.stage.clone();
        return Err(ActiveConfigError::StillLive { stage, instances });
    }
    topic::publish(log, bus, decisive, serial, publisher)?;
    agreed(log, bus, decisive).map(Some)
}

/// Two instances may publish at once; both read back, and all see the same winner.
fn agreed(log: &dyn Log, bus: &BusConfig, decisive: &Decisive) -> Result<u64, ActiveConfigError> {
    match topic::read(log, bus, &decisive.stage)? {
        Some(active) if active.fingerprint == decisive.fingerprint => Ok(active.serial),
        Some(active) => Err(differs(&active, decisive)),
        None => Err(ActiveConfigError::Publish {
            stage: decisive.stage.clone(),
            reason: "it was written but cannot be read back".to_owned(),
        }),
    }
}

fn differs(active: &Published, mine: &Decisive) -> ActiveConfigError {
    ActiveConfigError::Differs {
        stage: mine.stage.clone(),
        mine: mine.fingerprint.clone(),
        active: active.fingerprint.clone(),
        serial: active.serial,
        by: active.instance.clone(),
        difference: difference::lines(&active.text, &mine.text),
    }
}

#[cfg(test)]
mod tests;
