//! `cargo test` of the whole workspace, its lines read and counted.

use std::process::Command;

use anyhow::{Result, bail};

use super::Context;
use super::report::{Outcome, Tally};
use crate::{lab, process, workspace};

/// How a test that finds at run time that it cannot run says so, followed by the reason.
const SKIPPED: &str = "skipped: ";

/// Builds and runs all unit and integration tests.
pub fn run(context: &mut Context) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    cargo.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    // Shown, so that what a passing test says about a skip can be read.
    cargo.args(["--", "--show-output"]);
    if !context.fast {
        // One test compares with a real exporter; without one it says that it is skipped.
        let _ = lab::softflowd();
    }
    // Without Kafka the part `kafka` has said so, and the tests that need it say so again.
    let _ = context.lend_kafka(&mut cargo);
    let _ = context.lend_asking(&mut cargo);
    let log = workspace::target().join("xtask-cargo-test.log");
    let (text, succeeded) = process::run_watched(&mut cargo, &log, |line| {
        line.trim_start().starts_with("Running ") || line.ends_with("... FAILED")
    })?;
    let outcome = read(&text);
    if !succeeded && outcome.tally.failed == 0 {
        bail!("cargo test failed:\n{}", process::tail(&text));
    }
    Ok(outcome)
}

/// Counts the tests in cargo's output.
pub(super) fn read(text: &str) -> Outcome {
    let mut tally = Tally::default();
    let mut details = Vec::new();
    for line in text.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally += counted(counts);
        } else if let Some(reason) = line.strip_prefix(SKIPPED) {
            tally.passed = tally.passed.saturating_sub(1);
            tally.skipped += 1;
            details.push(format!("skipped: {reason}"));
        } else if line.starts_with("test ") && line.ends_with("... FAILED") {
            details.push(line.to_string());
        }
    }
    let binaries = text.lines().filter(|line| line.starts_with("test result: ")).count();
    if tally.failed > 0 {
        details.push("the output is in target/xtask-cargo-test.log".to_string());
    }
    Outcome { tally, summary: format!("{tally} in {binaries} test binaries"), details }
}

/// Of `ok. 13 passed; 0 failed; 1 ignored; 0 measured; …`.
fn counted(counts: &str) -> Tally {
    let number = |word: &str| {
        let before = counts.split(word).next().unwrap_or_default();
        before.trim_end().rsplit([' ', ';']).next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    Tally { passed: number("passed"), failed: number("failed"), skipped: number("ignored") }
}
