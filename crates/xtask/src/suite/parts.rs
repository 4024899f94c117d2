//! The parts of the test run, in one table.

use std::process::Command;

use anyhow::{Result, bail};

use super::report::{Outcome, Tally};
use super::{Context, cargo_test};
use crate::kafka::Cluster;
use crate::{compose, kafka, lab, machine, process, python, tidy, workspace};

/// The runs that a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Every run: it needs nothing beyond Rust.
    Fast,
    /// Not with `--fast`.
    Full,
}

use When::{Fast, Full};

type Run = fn(&mut Context) -> Result<Outcome>;

/// One part of the run.
pub struct Part {
    pub name: &'static str,
    pub when: When,
    /// Minutes after which it hangs: far above what it takes cold on a busy machine.
    pub limit_min: u64,
    pub run: Run,
}

const fn part(name: &'static str, when: When, limit_min: u64, run: Run) -> Part {
    Part { name, when, limit_min, run }
}

pub const PARTS: &[Part] = &[
    part("tidy", Fast, 5, tidy),
    part("kafka", Full, 20, kafka),
    part("compose", Full, 10, compose),
    part("build", Fast, 90, |context| build(context).map(|()| built())),
    part("cargo", Fast, 90, cargo_test::run),
    part("cut", Fast, 10, |context| lab(context, "cut")),
    part("crash", Fast, 30, |context| lab(context, "crash")),
    part("act-kills", Full, 20, |context| lab(context, "act-kills")),
    part("e2e", Full, 30, |context| lab(context, "e2e")),
    part("scenarios", Fast, 10, |context| lab(context, "scenarios")),
    part("browser", Full, 10, |context| lab(context, "browser")),
    part("services", Full, 15, services),
    part("python", Full, 10, python),
];

fn tidy(_: &mut Context) -> Result<Outcome> {
    let findings = tidy::run(&workspace::root())?;
    if findings.is_empty() {
        return Ok(Outcome::passed(""));
    }
    let tally = Tally { failed: findings.len(), ..Tally::default() };
    let details = findings.iter().map(ToString::to_string).collect();
    Ok(Outcome { tally, summary: format!("{} findings", findings.len()), details })
}

/// Starts the broker that the other parts use; one of our own must also come back after a kill.
fn kafka(context: &mut Context) -> Result<Outcome> {
    let bootstrap = context.kafka()?;
    let Some(Ok(Cluster::Own(broker))) = &mut context.kafka else {
        return Ok(Outcome::passed(format!("{bootstrap}, as KAFKA_BOOTSTRAP says")));
    };
    broker.kill()?;
    broker.restart()?;
    let version = kafka::VERSION;
    Ok(Outcome::passed(format!("Apache Kafka {version} on {bootstrap}, killed and back")))
}

fn compose(context: &mut Context) -> Result<Outcome> {
    compose::check_file(&context.python()?)?;
    Ok(Outcome::passed("docker-compose.yml is as the compose specification says"))
}

/// The very command and environment of each service of the compose file, as processes, and their
/// topics read by another language.
fn services(context: &mut Context) -> Result<Outcome> {
    build(context)?;
    let python = context.python();
    let mut outcome = Outcome::passed(compose::start_each(python.as_deref().ok())?);
    if let Err(error) = python {
        outcome.skip(format!("the stages' topics read by Python: {error:#}"));
    }
    Ok(outcome)
}

/// Every binary, once: the parts after it start them.
fn build(context: &mut Context) -> Result<()> {
    if !context.is_built {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(workspace::root());
        process::run_quiet(cargo.args(["build", "--release", "--workspace", "--bins"]))?;
        context.is_built = true;
    }
    Ok(())
}

fn built() -> Outcome {
    Outcome::passed("every binary of the workspace")
}

/// The short form of one of the lab's checks, counted by its own last line.
fn lab(context: &mut Context, name: &str) -> Result<Outcome> {
    build(context)?;
    let mut command = Command::new(workspace::binary("lab"));
    command.current_dir(workspace::root()).args([name, "--short"]);
    if lab::check(name)?.needs.contains(&machine::SOFTFLOWD) {
        lab::softflowd()?;
    }
    if lab::check(name)?.needs.contains(&machine::SNMPD) {
        lab::snmpd()?;
    }
    if lab::check(name)?.needs.contains(&machine::BROWSER) {
        lab::browser()?;
    }
    // What can be shown without Kafka is; the lab counts the rest as skipped.
    let _ = context.lend_kafka(&mut command);
    let log = workspace::target().join(format!("xtask-{name}.log"));
    let (text, succeeded) = process::run_watched(&mut command, &log, |_| false)?;
    let outcome = text.lines().rev().find_map(Tally::read).map(|tally| Outcome {
        tally,
        summary: format!("{tally}, the output is in target/xtask-{name}.log"),
        details: text.lines().filter(|line| is_detail(line)).map(str::to_string).collect(),
    });
    match outcome {
        Some(outcome) if succeeded != (outcome.tally.failed > 0) => Ok(outcome),
        _ => bail!("lab {name} ended early:\n{}", process::tail(&text)),
    }
}

/// The lab's checks say how a line ended at its begin or at its end.
fn is_detail(line: &str) -> bool {
    line.ends_with("FAILED") || line.starts_with("FAILED") || line.starts_with("skipped: ")
}

/// The contract in another language: the golden samples always, a real topic where Kafka is.
fn python(context: &mut Context) -> Result<Outcome> {
    let interpreter = context.python()?;
    let script = |args: &[&str]| {
        let mut command = Command::new(&interpreter);
        command.current_dir(python::scripts()).env("PYTHONDONTWRITEBYTECODE", "1").args(args);
        command
    };
    let mut unit_tests = script(&["-m", "unittest", "-q"]);
    let kafka = context.lend_kafka(&mut unit_tests);
    process::run_quiet(&mut unit_tests)?;
    let read = process::output(&mut script(&["read_golden.py", "../../schemas/golden"]))?;
    let mut outcome = Outcome::passed(format!("{} golden samples", read.lines().count()));
    match kafka {
        Ok(_) => outcome.summary += " and a real topic, read as their schemas say",
        Err(error) => outcome.skip(format!("a real topic: {error:#}")),
    }
    Ok(outcome)
}
