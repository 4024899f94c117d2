//! `cargo test` of the whole workspace, its lines read and counted.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::Context;
use super::report::{Outcome, Tally};
use crate::{process, workspace};

/// How a test that finds at run time that it cannot run says so, followed by the reason.
const SKIPPED: &str = "skipped: ";

/// Builds and runs all unit and integration tests.
pub fn run(context: &mut Context) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    cargo.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    // Shown, so that what a passing test says about a skip can be read.
    cargo.args(["--", "--show-output"]);
    // Without Kafka the part `kafka` has said so, and the tests that need it say so again.
    let _ = context.lend_kafka(&mut cargo);
    let log = workspace::target().join("xtask-cargo-test.log");
    let (text, succeeded) = run_watched(&mut cargo, &log)?;
    let outcome = read(&text);
    if !succeeded && outcome.tally.failed == 0 {
        bail!("cargo test failed:\n{}", process::tail(&text));
    }
    Ok(outcome)
}

/// Runs with the whole output in a log file; what tells of progress is shown as it comes.
fn run_watched(command: &mut Command, log: &std::path::Path) -> Result<(String, bool)> {
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("failed to start cargo")?;
    // The command holds the pipe's ends for writing: without them the reader sees the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut file = File::create(log)?;
    let mut text = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        if line.trim_start().starts_with("Running ") || line.ends_with("... FAILED") {
            eprintln!("  {}", line.trim());
        }
        text += &line;
        text.push('\n');
    }
    Ok((text, child.wait()?.success()))
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
    let binaries = text
        .lines()
        .filter(|line| line.starts_with("test result: "))
        .count();
    if tally.failed > 0 {
        details.push("the output is in target/xtask-cargo-test.log".to_string());
    }
    Outcome {
        tally,
        summary: format!("{tally} in {binaries} test binaries"),
        details,
    }
}

/// Of `ok. 13 passed; 0 failed; 1 ignored; 0 measured; …`.
fn counted(counts: &str) -> Tally {
    let number = |word: &str| {
        let before = counts.split(word).next().unwrap_or_default();
        before
            .trim_end()
            .rsplit([' ', ';'])
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    };
    Tally {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
    }
}
