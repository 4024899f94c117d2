//! `gannet topics plan|apply|check`: the log's topics against the configuration's catalogue.

use std::io::Write;

use anyhow::{Result, bail};
use bus::topics::{Difference, apply, catalogue, plan};
use clap::ValueEnum;

use crate::config::Config;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    Plan,
    Apply,
    Check,
}

pub fn run(what: What, config: &Config, out: &mut dyn Write) -> Result<()> {
    let log = bus::open(&config.bus)?;
    let wanted = catalogue(&config.bus);
    let differences = plan(log.admin(), &wanted)?;
    let left = match what {
        What::Plan | What::Check => differences.clone(),
        What::Apply => apply(log.admin(), &wanted)?,
    };
    for difference in &differences {
        let mended = what == What::Apply && !left.contains(difference);
        writeln!(out, "{}", line(difference, mended))?;
    }
    if differences.is_empty() {
        writeln!(out, "all {} topics are as the configuration says", wanted.len())?;
    }
    match what {
        What::Plan => Ok(()),
        What::Apply | What::Check if left.is_empty() => Ok(()),
        What::Apply => bail!("{} topics cannot be changed in place", left.len()),
        What::Check => bail!("{} differences between the topics and the configuration", left.len()),
    }
}

fn line(difference: &Difference, mended: bool) -> String {
    match mended {
        true => format!("{difference}: done"),
        false => format!("{difference}: {}", difference.mend()),
    }
}
