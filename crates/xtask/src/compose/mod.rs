//! `docker-compose.yml`: held against the compose specification, and started. Without Docker:
//! each service's own command and environment, as a process on this machine.

mod file;
mod others;
mod services;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use services::start_each;

use crate::{kafka, process, workspace};
use file::File;

const NAME: &str = "docker-compose.yml";

/// Reads the file and says what is wrong with it. The specification's JSON schema is the one that
/// the Python package check-jsonschema carries.
pub fn check_file(python: &Path) -> Result<()> {
    let tool = python.with_file_name("check-jsonschema");
    let mut check = Command::new(tool);
    check.args(["--builtin-schema", "vendor.compose-spec"]).arg(workspace::root().join(NAME));
    process::run_quiet(&mut check)?;
    let breaches = read()?.breaches(kafka::VERSION);
    ensure!(breaches.is_empty(), "{NAME}: {}", breaches.join("; "));
    Ok(())
}

fn read() -> Result<File> {
    let path = workspace::root().join(NAME);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {NAME}"))?;
    File::parse(&text)
}
