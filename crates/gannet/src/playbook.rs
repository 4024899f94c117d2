//! `gannet playbook check`: playbooks against what binds their actions, with a caret at what is
//! wrong; and what each of them would be allowed to do.

use std::io::Write;
use std::path::PathBuf;

use act::playbook::{Mode, Playbook};
use act::{Library, Paths};
use anyhow::{Context, Result};
use clap::Subcommand;

use crate::cli::ConfigArgs;
use crate::config;

#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Check the configuration's playbooks, or the given one against its bindings
    Check {
        /// One playbook, or a folder of them
        playbooks: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

pub fn run(command: &PlaybookCommand, out: &mut dyn Write) -> Result<()> {
    let PlaybookCommand::Check { playbooks, config } = command;
    let config = config::load(&config.config)?.value;
    let library = match playbooks {
        None => Library::clone(&config.library),
        Some(playbooks) => {
            let actions = config.act.actions.clone();
            let actions = actions.context("act.actions is not set: nothing binds an action")?;
            act::check(&Paths { actions, playbooks: playbooks.clone() })?
        }
    };
    for playbook in library.playbooks.values() {
        show(playbook, &library, out)?;
    }
    writeln!(out, "{} playbooks are valid", library.playbooks.len())?;
    Ok(())
}

fn show(playbook: &Playbook, library: &Library, out: &mut dyn Write) -> Result<()> {
    let trigger = match (&playbook.trigger.condition, &playbook.trigger.fault) {
        (Some(condition), _) => condition.clone(),
        (None, Some(fault)) => format!("fault {fault}"),
        (None, None) => "nothing".to_owned(),
    };
    writeln!(out, "{}: on {trigger}, {}", playbook.name, playbook.mode.as_str())?;
    for step in &playbook.steps {
        for binding in library.bindings(&step.action) {
            let class = binding.class.as_deref().unwrap_or("any");
            let effect = binding.effect.as_str();
            let alone =
                match binding.effect.changes() && playbook.mode.min(binding.mode) == Mode::Auto {
                    true => ", without approval",
                    false => "",
                };
            writeln!(
                out,
                "  {:<24} {} {effect} by {} (devices of class {class}){alone}",
                step.name, step.action, binding.driver
            )?;
        }
    }
    Ok(())
}
