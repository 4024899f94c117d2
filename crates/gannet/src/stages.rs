//! The stages of a process as threads: each with its topics, options and configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::Log;
use correlate::CorrelateStage;
use detect::{RollupStage, RuleSet, ScoreStage, Topics};
use ingest::Listeners;
use runtime::admin::Readiness;
use runtime::process::StageThread;
use runtime::task::{self, LoopOptions};

use crate::config::{Config, Stage};

/// What is bound and planned before the log is asked for anything.
pub struct Prepared {
    listeners: Option<Listeners>,
    rules: Option<Arc<RuleSet>>,
}

// === impl Prepared ===

impl Prepared {
    pub fn new(config: &Config, stages: &[Stage]) -> Result<Prepared> {
        let listeners = match stages.contains(&Stage::Ingest) {
            true => Some(Listeners::bind(&config.ingest).context(
                "cannot receive flows (change ingest.listen, or GANNET__INGEST__LISTEN)",
            )?),
            false => None,
        };
        let rules = match stages.contains(&Stage::Detect) {
            true => Some(Arc::new(config.detect.load()?)),
            false => None,
        };
        Ok(Prepared { listeners, rules })
    }

    pub fn addresses(&self) -> Vec<String> {
        let listeners = self.listeners.iter().flat_map(Listeners::addresses);
        listeners.map(|address| format!("udp://{address}")).collect()
    }

    /// Threads of all stages that were prepared; each says in `readiness` when its tasks are
    /// restored.
    pub fn threads(
        self,
        config: &Arc<Config>,
        log: &Arc<dyn Log>,
        stages: &[Stage],
        readiness: &Readiness,
    ) -> Result<Vec<StageThread>> {
        let mut threads = Vec::new();
        if let Some(listeners) = self.listeners {
            threads.push(ingest_thread(config, log, listeners));
        }
        if let Some(rules) = self.rules {
            let fingerprint = config.decisive(Stage::Detect)?.fingerprint;
            let topics = topics(config, &**log)?;
            let rollup =
                RollupStage::new(Arc::clone(&rules), topics.clone(), &config.detect, &fingerprint)
                    .with_message_bytes_max(config.bus.limits.bytes_max);
            threads.push(task_thread(config, log, rollup, readiness));
            let score = ScoreStage::new(rules, topics, &fingerprint);
            let score = score.with_past(config.detect.past());
            threads.push(task_thread(config, log, score, readiness));
        }
        if stages.contains(&Stage::Correlate) {
            let fingerprint = config.decisive(Stage::Correlate)?.fingerprint;
            let section = config.correlate.clone();
            let stage = CorrelateStage::new(section, &config.bus, &fingerprint);
            threads.push(task_thread(config, log, stage, readiness));
        }
        Ok(threads)
    }
}

fn topics(config: &Config, log: &dyn Log) -> Result<Topics> {
    let partials = config.bus.topic("partials.v1");
    let found = log.admin().describe(&partials)?;
    let found = found.with_context(|| format!("there is no topic {partials}"))?;
    Ok(Topics::new(&config.bus.prefix, found.partitions))
}

fn ingest_thread(config: &Arc<Config>, log: &Arc<dyn Log>, listeners: Listeners) -> StageThread {
    let (config, log) = (Arc::clone(config), Arc::clone(log));
    StageThread::new("ingest", move |shutdown| {
        let (section, instance) = (&config.ingest, config.instance());
        let report = ingest::run(section, listeners, &log, &config.bus, &instance, &shutdown)?;
        let (datagrams, flows) = (report.counts.datagrams, report.stored.flows);
        tracing::info!(datagrams, flows, lost = report.stored.lost, "ingest drained");
        anyhow::Ok(())
    })
}

fn task_thread<S>(
    config: &Arc<Config>,
    log: &Arc<dyn Log>,
    stage: S,
    readiness: &Readiness,
) -> StageThread
where
    S: task::Stage + 'static,
{
    let (log, mut options) = (Arc::clone(log), options(config, stage.name()));
    options.ready = Some(readiness.condition(stage.name(), "not in its group yet"));
    let name = stage.name().to_owned();
    StageThread::new(&name.clone(), move |shutdown| {
        let report = task::run(log, stage, options, &shutdown)?;
        let (messages, outputs, commits) = (report.messages, report.outputs, report.commits);
        tracing::info!(stage = name, messages, outputs, commits, "drained");
        anyhow::Ok(())
    })
}

fn options(config: &Config, stage: &str) -> LoopOptions {
    let bus = &config.bus;
    let snapshots = bus.topic(&format!("snapshots.{stage}.v1"));
    let mut options = LoopOptions::new(&config.instance(), &snapshots);
    options.limits = bus.limits.clone();
    options.session = Duration::from_millis(bus.kafka.timeouts.session_ms);
    options.events_topic = Some(bus.topic("events.v1"));
    options.snapshots.retention =
        Duration::from_secs(bus.topics.retention_hours.saturating_mul(3_600));
    options
}
