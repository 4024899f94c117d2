//! `cargo xtask fuzz`: builds a target of the fuzz crates with coverage on the stable compiler and
//! runs it over the seeds. The crates stand outside the workspace; its lock and its target folder
//! are lent to them, so that only our own crates are built again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Its crate, a folder of `fuzz/`.
    krate: &'static str,
    /// How many inputs it must take before it is called done.
    runs: u64,
    /// Largest input, bytes.
    len_max: u32,
    /// Seeds beside its own.
    seeds: &'static [&'static str],
}

const WIRE: Target =
    Target { name: "", krate: "wire", runs: 10_000_000, len_max: 1_500, seeds: &[] };
const TEXT: Target =
    Target { name: "", krate: "text", runs: 1_000_000, len_max: 2_048, seeds: &[] };

pub const TARGETS: &[Target] = &[
    Target { name: "v5", ..WIRE },
    Target { name: "v9", ..WIRE },
    Target { name: "ipfix", ..WIRE },
    Target { name: "datagram", ..WIRE },
    Target { name: "datagrams", len_max: 3_000, ..WIRE },
    Target { name: "pcap", ..WIRE },
    Target { name: "syslog", runs: 1_000_000, len_max: 1_024, ..WIRE },
    Target { name: "stream", runs: 1_000_000, len_max: 3_000, ..WIRE },
    Target { name: "arrow", len_max: 4_096, seeds: &["schemas/golden"], ..WIRE },
    Target { name: "meta", ..WIRE },
    Target { name: "config", seeds: &["crates/runtime/src/config/cases"], ..TEXT },
    Target { name: "rules", ..TEXT },
];

/// An input that takes longer, in seconds, counts as a hang.
const HANG_S: u32 = 10;
/// Megabytes of the whole process; the corpus is part of them.
const MEMORY_MB: u32 = 2_048;

/// Runs one target, or all in their order; fails at the first that something broke.
pub fn run(name: Option<&str>, runs: Option<u64>) -> Result<()> {
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|target| name.is_none_or(|name| target.name == name)).collect();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    ensure!(!chosen.is_empty(), "no such target; there are {}", names.join(", "));
    for target in chosen {
        target.build()?;
        target.fuzz(runs.unwrap_or(target.runs))?;
    }
    Ok(())
}

// === impl Target ===

impl Target {
    fn folder(&self) -> PathBuf {
        workspace::root().join("fuzz").join(self.krate)
    }

    fn build(&self) -> Result<()> {
        let lock = workspace::root().join("Cargo.lock");
        fs::copy(&lock, self.folder().join("Cargo.lock")).context("failed to lend Cargo.lock")?;
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(self.folder())
            .env("RUSTC_WRAPPER", workspace::root().join("fuzz/coverage.sh"))
            .env("CARGO_TARGET_DIR", workspace::target())
            .args(["build", "--release", "--bin", self.name]);
        process::run_shown(&mut cargo)
    }

    fn fuzz(&self, runs: u64) -> Result<()> {
        let own = workspace::target().join("fuzz").join(self.name);
        let corpus = own.join("corpus");
        fs::create_dir_all(&corpus)?;
        let log = own.join("log");
        let mut command = Command::new(workspace::binary(self.name));
        command.current_dir(&own).arg(&corpus);
        command.arg(workspace::root().join("fuzz/seeds").join(self.name));
        command.args(self.seeds.iter().map(|folder| workspace::root().join(folder)));
        command.args([
            format!("-runs={runs}"),
            format!("-max_len={}", self.len_max),
            format!("-timeout={HANG_S}"),
            format!("-rss_limit_mb={MEMORY_MB}"),
            format!("-artifact_prefix={}/", own.display()),
            "-print_final_stats=1".to_string(),
            "-reload=0".to_string(),
        ]);
        let shown = |line: &str| line.starts_with("Done ") || line.starts_with("stat::");
        println!("{}: {runs} inputs, the log is {}", self.name, workspace::shown(&log));
        let (text, succeeded) = process::run_watched(&mut command, &log, shown)?;
        ensure!(
            succeeded,
            "{} broke; the input is in {}:\n{}",
            self.name,
            workspace::shown(&own),
            process::tail(&text)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
