//! The product as an operator runs it: one process a stage and two of detect, on a real Kafka, with
//! topics under a prefix of this run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::verdict::{Check, Outcome};
use crate::process::site::{CONFIG, Site};
use crate::process::{Gannet, page};

const STOP_WITHIN: Duration = Duration::from_secs(30);

pub struct Pipeline {
    pub bus: bus::BusConfig,
    /// Where ingest listens.
    pub ingest: SocketAddr,
    processes: Vec<Gannet>,
    site: Site,
}

impl Pipeline {
    pub fn start(bootstrap: &str) -> Result<Pipeline> {
        let site = Site::new(bootstrap, "e2e", 0)?;
        site.apply_topics()?;
        Pipeline::on(site, &["correlate", "detect", "detect", "ingest"])
    }

    /// Stages on a site whose topics are there.
    pub fn on(site: Site, stages: &[&str]) -> Result<Pipeline> {
        let (bus, ingest) = (site.bus.clone(), site.flows);
        let mut pipeline = Pipeline { bus, ingest, processes: Vec::new(), site };
        stages.iter().try_for_each(|name| pipeline.spawn(name))?;
        pipeline.processes.iter_mut().try_for_each(Gannet::wait_until_ready)?;
        Ok(pipeline)
    }

    pub fn dir(&self) -> &Path {
        self.site.dir()
    }

    /// Everything that ingest says it dropped or lost itself, by its metrics.
    pub fn ingest_losses(&self) -> Result<Vec<String>> {
        let process = self.processes.iter().find(|p| p.name == "ingest").context("no ingest")?;
        let text = page(process.admin, "/metrics")?;
        let is_loss = |line: &&str| {
            let of_loss = ["_dropped_total", "_lost_total", "_problems_total"];
            !line.starts_with('#') && of_loss.iter().any(|name| line.contains(name))
        };
        let is_some = |line: &&str| !line.ends_with(" 0");
        Ok(text.lines().filter(is_loss).filter(is_some).map(str::to_owned).collect())
    }

    /// The sum of a metric of one stage's first process.
    pub fn metric(&self, stage: &str, name: &str) -> Result<f64> {
        let process = self.processes.iter().find(|process| process.name == stage);
        process.with_context(|| format!("no {stage}"))?.metric(name, &[])
    }

    /// The last lines of every process's log.
    pub fn tails(&self) -> String {
        let tail = |process: &Gannet| format!("{}:\n{}\n", process.name, process.output());
        self.processes.iter().map(tail).collect()
    }

    /// Fails where a process has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Gannet::check)
    }

    /// SIGTERM, then waits for the drain; the names of those that had to be killed.
    pub fn stop(&mut self) -> Vec<String> {
        for process in &self.processes {
            // It may have ended already, which is no failure here.
            let _ = process.terminate();
        }
        let ended = self.processes.drain(..).filter_map(|mut process| {
            process.end(STOP_WITHIN).is_err().then(|| process.name.clone())
        });
        ended.collect()
    }

    /// The same as a check.
    pub fn drained(&mut self, name: &str) -> Check {
        let outcome = match self.stop().as_slice() {
            [] => Outcome::Passed("every process drained on SIGTERM".to_owned()),
            some => Outcome::Failed(format!("killed: {}", some.join(", "))),
        };
        Check { name: name.to_owned(), outcome }
    }

    fn spawn(&mut self, name: &str) -> Result<()> {
        let instance = format!("{name}-{}", self.processes.len());
        self.processes.push(self.site.start(name, &instance, CONFIG)?);
        Ok(())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop();
    }
}
