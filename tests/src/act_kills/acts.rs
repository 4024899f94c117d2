//! The processes of act: one that works, and beside it, where it is to be taken over, one that
//! waits for its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bed::{Bed, CONFIG};
use crate::process::Gannet;

/// Who goes on after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    /// The same instance, started again.
    Restart,
    /// Another instance, that was running already.
    Takeover,
}

pub struct Acts<'a> {
    bed: &'a Bed,
    heir: Heir,
    /// Has the domain's task.
    worker: Option<Gannet>,
    spare: Option<Gannet>,
    started: u32,
}

const TAKEN: &str = "gannet_task_messages_total";
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

// === impl Heir ===

impl Heir {
    pub fn name(self) -> &'static str {
        match self {
            Heir::Restart => "restart",
            Heir::Takeover => "takeover",
        }
    }
}

// === impl Acts ===

impl<'a> Acts<'a> {
    pub fn new(bed: &'a Bed, heir: Heir) -> Acts<'a> {
        Acts { bed, heir, worker: None, spare: None, started: 0 }
    }

    /// Until one works and, where there is to be one, another is ready.
    pub fn ready(&mut self) -> Result<()> {
        if self.worker.is_none() {
            self.worker = Some(self.start()?);
        }
        self.wait_for_work()?;
        if self.heir == Heir::Takeover && self.spare.is_none() {
            let mut spare = self.start()?;
            spare.wait_until_ready()?;
            self.spare = Some(spare);
            self.wait_for_work()?;
        }
        Ok(())
    }

    /// kill -9 of the one that works.
    pub fn kill(&mut self) {
        drop(self.worker.take());
    }

    /// The one that goes on.
    pub fn go_on(&mut self) -> Result<()> {
        self.worker = match self.spare.take() {
            Some(spare) => Some(spare),
            None => Some(self.start()?),
        };
        Ok(())
    }

    /// What the one that works said last.
    pub fn output(&self) -> String {
        self.worker.as_ref().map(Gannet::output).unwrap_or_default()
    }

    fn start(&mut self) -> Result<Gannet> {
        let instance = match self.heir {
            Heir::Restart => "a".to_owned(),
            Heir::Takeover => format!("t{}", self.started),
        };
        self.started += 1;
        self.bed.site.start("act", &instance, CONFIG)
    }

    /// The one that takes what correlate says is the worker, whatever the group decided.
    fn wait_for_work(&mut self) -> Result<()> {
        let before = (taken(&mut self.worker)?, taken(&mut self.spare)?);
        self.bed.beats()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if taken(&mut self.worker)? > before.0 {
                return Ok(());
            }
            if taken(&mut self.spare)? > before.1 {
                std::mem::swap(&mut self.worker, &mut self.spare);
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "nobody takes incidents\n{}", self.output());
            std::thread::sleep(LOOK);
        }
    }
}

/// Messages that a process has taken; 0 too where it does not answer yet.
fn taken(process: &mut Option<Gannet>) -> Result<f64> {
    let Some(process) = process else { return Ok(0.0) };
    process.check().context("act ended by itself")?;
    Ok(process.metric(TAKEN, &[]).unwrap_or(0.0))
}
