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

/// The broker that parts share, and what its command line names.
const BROKER: &str = "test";
const BROKER_FILE: &str = "kafka-data/test/server.properties";

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
    let watch = Watch::start(std::process::id(), BROKER_FILE, limit);
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
    python: Option<Result<PathBuf, Missing>>,
    is_built: bool,
}

impl Context {
    fn new(fast: bool) -> Self {
        Context { fast, kafka: None, python: None, is_built: false }
    }

    /// The address of a Kafka to test against.
    fn kafka(&mut self) -> Result<String> {
        if self.kafka.is_none() {
            let options = Broker::named(BROKER).with_fast_timeouts();
            self.kafka = Some(or_missing(Cluster::get(&options))?);
        }
        match self.kafka.as_ref().expect("set above") {
            Ok(cluster) => Ok(cluster.bootstrap()),
            Err(missing) => Err(missing.clone().into()),
        }
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
}

/// Parts a lack of the machine from an error.
fn or_missing<T>(result: Result<T>) -> Result<Result<T, Missing>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast::<Missing>().map(Err),
    }
}
