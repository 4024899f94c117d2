//! `gannet config activate`: makes this configuration the active one of each stage where it
//! differs.

use std::io::Write;

use anyhow::Result;
use runtime::active_config::{Publisher, WhileLive, activate};
use runtime::task::{Clock, SystemClock};

use crate::config::{Config, Stage};

pub fn run(config: &Config, while_live: WhileLive, out: &mut dyn Write) -> Result<()> {
    let log = bus::open(&config.bus)?;
    let instance = config.instance();
    let publisher = Publisher { instance: &instance, now_ms: SystemClock::default().wall_ms() };
    for stage in Stage::ALL {
        let Some(decisive) = config.decisive(stage)? else { continue };
        let groups = stage.groups();
        let serial = activate(&*log, &config.bus, &decisive, groups, publisher, while_live)?;
        let (name, fingerprint) = (stage.name(), &decisive.fingerprint);
        match serial {
            Some(serial) => writeln!(out, "{name}: {fingerprint} is active, serial {serial}")?,
            None => writeln!(out, "{name}: {fingerprint} was active already")?,
        }
    }
    Ok(())
}
