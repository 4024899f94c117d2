//! A Python of our own under `target/venv`, with the packages that other teams' consumers use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{self, Missing};
use crate::{process, workspace};

/// The folder of the scripts and of their pinned packages.
pub fn scripts() -> PathBuf {
    workspace::root().join("tests/python")
}

/// The interpreter with all packages of `requirements.txt`; makes it when it is not there.
pub fn interpreter() -> Result<PathBuf> {
    let wanted = fs::read_to_string(scripts().join("requirements.txt"))
        .context("failed to read tests/python/requirements.txt")?;
    let venv = workspace::target().join("venv");
    let python = venv.join("bin/python");
    // Written last, so that a broken install is done again.
    let marker = venv.join(".installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    make(&venv)?;
    eprintln!("xtask: fetching Python packages");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "-r"]).arg(scripts().join("requirements.txt"));
    if let Err(error) = process::run_quiet(&mut pip) {
        let mend = "let pip reach pypi.org, or name an index in its configuration";
        let reason = format!("pip failed: {error:#}");
        return Err(Missing::new(machine::PYTHON, reason, mend).into());
    }
    fs::write(marker, wanted)?;
    Ok(python)
}

/// Debian has `venv` without the part that puts pip into it in a package of its own.
fn make(venv: &Path) -> Result<()> {
    machine::ensure(machine::PYTHON, &["python3"], &["python3", "python3-venv"])?;
    let run = || {
        let mut command = Command::new("python3");
        process::run_quiet(command.args(["-m", "venv", "--clear"]).arg(venv))
    };
    if run().is_err() {
        machine::install(machine::PYTHON, &["python3-venv"], "python3 -m venv failed")?;
        run()?;
    }
    Ok(())
}
