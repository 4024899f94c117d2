//! A process of stages, in order: telemetry, signals, ports and rules, the log, its topics, the
//! active configuration, the stages, the drain (DESIGN §3). Nothing is received before all of what
//! comes before has passed.

use std::sync::Arc;

use anyhow::{Context, Result};
use bus::Log;
use bus::config::Engine;
use bus::topics;
use runtime::active_config::{self, Publisher};
use runtime::admin::{Bound, Readiness};
use runtime::config::Loaded;
use runtime::process::{self, StageThread};
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use runtime::telemetry::Telemetry;

use crate::check;
use crate::config::{Config, Stage};
use crate::stages::{Addresses, Prepared};

pub fn run(loaded: Loaded<Config>, stages: &[Stage]) -> Result<()> {
    run_with(loaded, stages, &Shutdown::new(), |_, _| Ok(Vec::new()))
}

/// `more` gives further threads (the demo's network and story), once the log is there and the
/// addresses are known.
pub fn run_with(
    loaded: Loaded<Config>,
    stages: &[Stage],
    shutdown: &Shutdown,
    more: impl FnOnce(&Arc<dyn Log>, &Addresses) -> Result<Vec<StageThread>>,
) -> Result<()> {
    let names = stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(",");
    let telemetry = Telemetry::start(&loaded.value.telemetry, &names)?;
    process::handle_signals(shutdown.clone())?;
    if stages.contains(&Stage::Detect) {
        check::rules(&loaded)?;
    }
    let config = Arc::new(loaded.value);
    let admin = Bound::bind(&config.admin)?;
    let prepared = Prepared::new(&config, stages)?;
    let addresses = prepared.addresses();
    let readiness = Readiness::default();
    let log_ready = readiness.condition("log", "connecting");
    let topics_ready = readiness.condition("topics", "not checked yet");
    let config_ready = readiness.condition("configuration", "not known to be the active one yet");
    let (page, instance) = (format!("http://{}", admin.address), config.instance());
    admin.serve(readiness.clone(), telemetry, shutdown.clone())?;

    let log = bus::open(&config.bus).context("cannot open the log")?;
    log_ready.met();
    ready_topics(&config, &*log)?;
    topics_ready.met();
    enter(&config, &*log, stages)?;

    let mut threads = prepared.threads(&config, &log, stages, &readiness)?;
    // Only with the stages' own conditions known: a process between two would look ready.
    config_ready.met();
    threads.extend(more(&log, &addresses)?);
    let (listeners, engine) = (addresses.listeners.join(" "), config.bus.engine);
    let console = addresses.pages.unwrap_or_default();
    tracing::info!(stages = names, instance, admin = page, listeners, console, ?engine, "running");
    process::run(threads, &config.process, shutdown)?;
    tracing::info!("ended");
    Ok(())
}

/// One process alone makes its topics; on a cluster they are the operator's.
fn ready_topics(config: &Config, log: &dyn Log) -> Result<()> {
    let wanted = topics::catalogue(&config.bus);
    if config.bus.engine == Engine::Embedded {
        topics::apply(log.admin(), &wanted).context("cannot make the topics")?;
    }
    Ok(topics::check(log.admin(), &wanted)?)
}

fn enter(config: &Config, log: &dyn Log, stages: &[Stage]) -> Result<()> {
    let (instance, now_ms) = (config.instance(), SystemClock::default().wall_ms());
    let publisher = Publisher { instance: &instance, now_ms };
    for stage in stages {
        let Some(decisive) = config.decisive(*stage)? else { continue };
        let serial = active_config::enter(log, &config.bus, &decisive, publisher)?;
        let (stage, fingerprint) = (stage.name(), decisive.fingerprint);
        tracing::info!(stage, fingerprint, serial, "the configuration is the active one");
    }
    Ok(())
}
