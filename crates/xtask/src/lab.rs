//! `cargo xtask cut|crash|act-kills|e2e|bench|history|scenarios|browser`: what the machine must
//! have, then the `lab` binary of the integration crate, which does the work.

use std::process::Command;

use anyhow::{Context, Result};

use crate::kafka::{self, Cluster, Options};
use crate::{machine, process, workspace};

/// A subcommand of `lab` and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    pub name: &'static str,
    pub needs: &'static [&'static str],
}

pub const CHECKS: &[Check] = &[
    Check { name: "cut", needs: &[] },
    Check { name: "crash", needs: &[machine::KAFKA] },
    Check { name: "act-kills", needs: &[machine::KAFKA] },
    Check { name: "e2e", needs: &[machine::KAFKA, machine::SOFTFLOWD, machine::SNMPD] },
    Check { name: "bench", needs: &[machine::KAFKA] },
    Check { name: "history", needs: &[] },
    Check { name: "scenarios", needs: &[] },
    Check { name: "browser", needs: &[machine::BROWSER] },
];

pub fn check(name: &str) -> Result<&'static Check> {
    CHECKS.iter().find(|check| check.name == name).with_context(|| format!("no check {name}"))
}

/// Builds `lab` and runs one of its checks on this terminal.
pub fn run(name: &str, args: &[String]) -> Result<()> {
    let check = check(name)?;
    if ["act-kills", "e2e", "history", "browser", "scenarios"].contains(&name) {
        // They start the product, which is beside `lab` in the target folder.
        build("gannet")?;
    }
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    cargo.args(["run", "--release", "-p", "tests", "--bin", "lab", "--", name]).args(args);
    if check.needs.contains(&machine::SOFTFLOWD) {
        softflowd()?;
    }
    if check.needs.contains(&machine::SNMPD) {
        snmpd()?;
    }
    if check.needs.contains(&machine::BROWSER) {
        browser()?;
    }
    // Held until the check has ended.
    let cluster = match check.needs.contains(&machine::KAFKA) {
        true => Some(Cluster::get(&Options::named(name).with_fast_timeouts())?),
        false => None,
    };
    if let Some(cluster) = &cluster {
        cargo.env(kafka::BOOTSTRAP, cluster.bootstrap());
    }
    process::run_shown(&mut cargo)
}

/// Builds one package's binaries, with cargo's own lines on the terminal.
pub fn build(package: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root());
    process::run_shown(cargo.args(["build", "--release", "-p", package, "--bins"]))
}

pub fn browser() -> Result<()> {
    let (programs, packages) = (["chromium", "chromedriver"], ["chromium", "chromium-driver"]);
    machine::ensure(machine::BROWSER, &programs, &packages)
}

pub fn softflowd() -> Result<()> {
    machine::ensure(machine::SOFTFLOWD, &["softflowd"], &["softflowd"])
}

pub fn snmpd() -> Result<()> {
    machine::ensure(machine::SNMPD, &["snmpd", "ip"], &["snmpd", "iproute2"])
}
