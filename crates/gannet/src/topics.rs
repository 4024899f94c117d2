//! `gannet topics plan|apply|check`: the log's topics against the configuration's catalogue, and
//! who may write approvals, where the configuration says so.

use std::io::Write;

use anyhow::{Result, bail};
use bus::acls;
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
    let mut differences = plan(log.admin(), &wanted)?;
    let rights = acls::plan(log.admin(), &config.bus)?;
    let as_wanted = (differences.is_empty(), rights.is_empty());
    differences.extend(rights);
    let left = match what {
        What::Plan | What::Check => differences.clone(),
        What::Apply => {
            let left = apply(log.admin(), &wanted)?;
            [left, acls::apply(log.admin(), &config.bus)?].concat()
        }
    };
    for difference in &differences {
        let mended = what == What::Apply && !left.contains(difference);
        writeln!(out, "{}", line(difference, mended))?;
    }
    if as_wanted.0 {
        writeln!(out, "all {} topics are as the configuration says", wanted.len())?;
    }
    let rights = acls::wanted(&config.bus).len();
    if as_wanted.1 && rights > 0 {
        writeln!(out, "all {rights} rights to approvals are as the configuration says")?;
    }
    match what {
        What::Plan => Ok(()),
        What::Apply | What::Check if left.is_empty() => Ok(()),
        What::Apply => bail!("{} differences cannot be mended in place", left.len()),
        What::Check => bail!("{} differences between the topics and the configuration", left.len()),
    }
}

fn line(difference: &Difference, mended: bool) -> String {
    match mended {
        true => format!("{difference}: done"),
        false => format!("{difference}: {}", difference.mend()),
    }
}
