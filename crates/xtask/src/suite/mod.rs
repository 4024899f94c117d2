//! `cargo xtask test`: every part of [`parts::PARTS`] in order, a line for each, and the sum. A
//! part that this machine cannot run is listed with its reason; `--require` makes it a failure.

mod cargo_test;
mod parts;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::kafka::{self, Cluster, Options as Broker};
use crate::machine::{self, Missing};
use crate::python;

use parts::{PARTS, Part, When};
use report::{Outcome, Tally, conclude};
use watch::Watch;

/// The brokers that parts share, and what both their command lines name.
const BROKER: &str = "test";
const ASKING_BROKER: &str = "test-sasl";
const BROKERS: &str = "kafka-data/test";

/// What of the tests to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leave out what needs more than Rust.
    pub fast: bool,
    /// Needs whose absence is a failure.
    pub require: Vec<String>,
    /// Only these parts; all when empty.
    pub only: Vec<String>,
}

/// Runs the tests; `true` when nothing failed.
pub fn run(options: &Options) -> Result<bool> {
    let chosen = choose(options)?;
    let mut context = Context::new(options.fast);
    let began = Instant::now();
    let mut sum = Tally::default();
    for part in chosen {
        let started = Instant::now();
        let ended = within_limit(part, &mut context);
        let (tally, lines) = conclude(part.name, ended, &options.require, started.elapsed());
        lines.iter().for_each(|line| println!("{line}"));
        sum += tally;
    }
    drop(context);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    println!("{:.0} s, load {load}", began.elapsed().as_secs_f64());
    println!("{sum}");
    Ok(sum.failed == 0)
}

/// Runs a part; one over its limit has failed, whatever it says.
fn within_limit(part: &Part, context: &mut Context) -> Result<Outcome> {
    let limit = Duration::from_secs(part.limit_min * 60);
    let watch = Watch::start(std::process::id(), BROKERS, limit);
    let ended = (part.run)(context);
    match (watch.end(), ended) {
        (false, ended) => ended,
        (true, ended) => {
            let said = ended.err().map(|error| format!("\n{error:#}")).unwrap_or_default();
            bail!("still running after {} min, and was ended{said}", part.limit_min)
        }
    }
}

fn choose(options: &Options) -> Result<Vec<&'static Part>> {
    for need in &options.require {
        if !machine::NEEDS.contains(&need.as_str()) {
            bail!("--require knows {}, not {need}", machine::NEEDS.join(", "));
        }
    }
    for name in &options.only {
        if !PARTS.iter().any(|part| part.name == name) {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            bail!("--only knows {}, not {name}", names.join(", "));
        }
    }
    // A need and the part that shows it have the same name: what is required is always shown.
    let is_required = |part: &Part| options.require.iter().any(|need| need == part.name);
    let is_chosen = |part: &&Part| match options.only.as_slice() {
        [] => part.when == When::Fast || !options.fast,
        only => only.iter().any(|name| name == part.name) || is_required(part),
    };
    Ok(PARTS.iter().filter(is_chosen).collect())
}

/// What parts share. Fetched or started at its first use, and once: what could not be had is not
/// tried again.
pub struct Context {
    fast: bool,
    kafka: Option<Result<Cluster, Missing>>,
    /// One that asks who somebody is.
    asking: Option<Result<Cluster, Missing>>,
    python: Option<Result<PathBuf, Missing>>,
    is_built: bool,
}

impl Context {
    fn new(fast: bool) -> Self {
        Context { fast, kafka: None, asking: None, python: None, is_built: false }
    }

    /// The address of a Kafka to test against.
    fn kafka(&mut self) -> Result<String> {
        address(&mut self.kafka, &Broker::named(BROKER).with_fast_timeouts())
    }

    /// The address of one that asks who somebody is.
    fn asking(&mut self) -> Result<String> {
        let options = Broker::named(ASKING_BROKER).with_fast_timeouts().with_access_asked();
        address(&mut self.asking, &options)
    }

    fn python(&mut self) -> Result<PathBuf> {
        if self.python.is_none() {
            self.python = Some(or_missing(python::interpreter())?);
        }
        Ok(self.python.clone().expect("set above")?)
    }

    /// Sets `KAFKA_BOOTSTRAP` for a program that uses Kafka if it is there; or says why it is not.
    fn lend_kafka(&mut self, command: &mut std::process::Command) -> Result<()> {
        command.env_remove(kafka::BOOTSTRAP);
        if !self.fast {
            command.env(kafka::BOOTSTRAP, self.kafka()?);
        }
        Ok(())
    }

    /// Sets `KAFKA_SASL_BOOTSTRAP` likewise.
    fn lend_asking(&mut self, command: &mut std::process::Command) -> Result<()> {
        command.env_remove(kafka::SASL_BOOTSTRAP);
        if !self.fast {
            command.env(kafka::SASL_BOOTSTRAP, self.asking()?);
        }
        Ok(())
    }
}

/// Of a broker that is started at its first use.
fn address(cluster: &mut Option<Result<Cluster, Missing>>, options: &Broker) -> Result<String> {
    if cluster.is_none() {
        *cluster = Some(or_missing(Cluster::get(options))?);
    }
    match cluster.as_ref().expect("set above") {
        Ok(cluster) => Ok(cluster.bootstrap()),
        Err(missing) => Err(missing.clone().into()),
    }
}

/// Parts a lack of the machine from an error.
fn or_missing<T>(result: Result<T>) -> Result<Result<T, Missing>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast::<Missing>().map(Err),
    }
}
