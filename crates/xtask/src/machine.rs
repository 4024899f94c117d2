//! What the machine must have, and how it gets it. What cannot be had is a [`Missing`], which the
//! test run lists as skipped with its reason; it is never silently left out.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// What parts of the test run may need beyond Rust; `--require` takes these names.
pub const NEEDS: &[&str] = &[KAFKA, PYTHON, SOFTFLOWD, SNMPD, BROWSER];
pub const KAFKA: &str = "kafka";
pub const PYTHON: &str = "python";
/// A real flow exporter, for the end-to-end check.
pub const SOFTFLOWD: &str = "softflowd";
/// A real SNMP agent and the network namespace that it runs in, for the same.
pub const SNMPD: &str = "snmpd";
/// Debian's chromium and its driver.
pub const BROWSER: &str = "browser";

/// Something this machine lacks: for what, why, and what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// One of [`NEEDS`].
    pub need: &'static str,
    pub reason: String,
    pub mend: String,
}

impl Missing {
    pub fn new(need: &'static str, reason: impl Into<String>, mend: impl Into<String>) -> Self {
        Missing { need, reason: reason.into(), mend: mend.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to mend: {}", self.reason, self.mend)
    }
}

impl std::error::Error for Missing {}

/// The first `program` on the PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Makes sure that every program is there, by Debian's packages when we are root on Debian.
pub fn ensure(need: &'static str, programs: &[&str], packages: &[&str]) -> Result<()> {
    let lacking = lacking(programs);
    if lacking.is_empty() {
        return Ok(());
    }
    install(need, packages, &format!("{} not found", lacking.join(" and ")))?;
    match self::lacking(programs).as_slice() {
        [] => Ok(()),
        still => {
            let reason = format!("{} not found after the install", still.join(" and "));
            Err(by_hand(need, packages, &reason).into())
        }
    }
}

/// Installs Debian packages, or says why it may not: `reason` is what was found to be missing.
pub fn install(need: &'static str, packages: &[&str], reason: &str) -> Result<()> {
    if !(is_debian() && is_root() && which("apt-get").is_some()) {
        return Err(by_hand(need, packages, reason).into());
    }
    eprintln!("xtask: {reason}: installing {}", packages.join(" "));
    let apt = |args: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        process::run_quiet(&mut command)
    };
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend_from_slice(packages);
    // A fresh image has no package lists; a lived-in one needs no new ones.
    let installed = apt(&args).or_else(|_| apt(&["update"]).and_then(|()| apt(&args)));
    installed.map_err(|error| {
        let why = format!("{reason}, and apt-get failed: {error:#}");
        by_hand(need, packages, &why).into()
    })
}

fn lacking<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| which(program).is_none()).collect()
}

fn by_hand(need: &'static str, packages: &[&str], reason: &str) -> Missing {
    let packages = packages.join(" ");
    Missing::new(
        need,
        reason,
        format!("as root: apt-get install -y --no-install-recommends {packages}"),
    )
}

fn is_debian() -> bool {
    fs::metadata("/etc/debian_version").is_ok()
}

/// The owner of our own entry in /proc is the effective user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
