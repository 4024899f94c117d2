//! The stages of a process as threads: each with its topics, options and configuration.

use std::sync::Arc;
use std::time::Duration;

use act::{ActStage, Drivers, Time};
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
    drivers: Option<Drivers>,
    console: Option<console::Bound>,
    pace: Pace,
}

/// Where others reach this process.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Of flows and syslog, as `ingest.listen` writes them.
    pub listeners: Vec<String>,
    /// The console's.
    pub pages: Option<String>,
}

/// Whose time a process lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Real,
    /// That of the log alone.
    Simulated,
}

/// What all threads are made of.
struct Threads<'a> {
    config: &'a Arc<Config>,
    log: &'a Arc<dyn Log>,
    readiness: &'a Readiness,
    pace: Pace,
    made: Vec<StageThread>,
}

/// Between two commits of a simulated run, whose time waits for each of them: the 200 ms of life
/// (DESIGN §4) would be most of it.
const SIMULATED_COMMIT: Duration = Duration::from_millis(2);

// === impl Prepared ===

impl Prepared {
    pub fn new(config: &Config, stages: &[Stage]) -> Result<Prepared> {
        let has = |stage| stages.contains(&stage);
        let listeners = has(Stage::Ingest).then(|| Listeners::bind(&config.ingest)).transpose();
        let rules = has(Stage::Detect).then(|| anyhow::Ok(config.detect_with_playbooks()?.load()?));
        let drivers = has(Stage::Act).then(|| drivers::all(&config.drivers)).transpose();
        let console = has(Stage::Console).then(|| console::Bound::bind(&config.console));
        Ok(Prepared {
            listeners: listeners
                .context("cannot receive (change ingest.listen, or GANNET__INGEST__LISTEN)")?,
            rules: rules.transpose()?.map(Arc::new),
            drivers: drivers.context("cannot set up the drivers")?,
            console: console.transpose()?,
            pace: Pace::Real,
        })
    }

    /// For a run in simulated receive time: drivers of its network, and no clock but the log's.
    pub fn simulated(self, drivers: Drivers) -> Prepared {
        Prepared { drivers: self.drivers.and(Some(drivers)), pace: Pace::Simulated, ..self }
    }

    pub fn addresses(&self) -> Addresses {
        Addresses {
            listeners: self.listeners.iter().flat_map(Listeners::names).collect(),
            pages: self.console.as_ref().map(console::Bound::url),
        }
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
        let pace = self.pace;
        let mut threads = Threads { config, log, readiness, pace, made: Vec::new() };
        if let Some(listeners) = self.listeners {
            threads.ingest(listeners);
        }
        if let Some(rules) = self.rules {
            threads.detect(&rules)?;
        }
        if stages.contains(&Stage::Correlate) {
            threads.correlate()?;
        }
        if let Some(drivers) = self.drivers {
            threads.act(drivers)?;
        }
        if let Some(bound) = self.console {
            threads.console(bound);
        }
        Ok(threads.made)
    }
}

// === impl Threads ===

impl Threads<'_> {
    fn ingest(&mut self, listeners: Listeners) {
        let (config, log) = (Arc::clone(self.config), Arc::clone(self.log));
        self.made.push(StageThread::new("ingest", move |shutdown| {
            let (section, instance) = (&config.ingest, config.instance());
            let report = ingest::run(section, listeners, &log, &config.bus, &instance, &shutdown)?;
            let (datagrams, flows) = (report.counts.datagrams, report.stored.flows);
            tracing::info!(datagrams, flows, lost = report.stored.lost, "ingest drained");
            anyhow::Ok(())
        }));
    }

    fn detect(&mut self, rules: &Arc<RuleSet>) -> Result<()> {
        let config = self.config;
        let fingerprint = config.fingerprint(Stage::Detect)?;
        let topics = Topics::new(&config.bus.prefix, self.partitions("partials.v1")?);
        let (rollup, score) = (Arc::clone(rules), Arc::clone(rules));
        let rollup = RollupStage::new(rollup, topics.clone(), &config.detect, &fingerprint);
        self.task(rollup.with_message_bytes_max(config.bus.limits.bytes_max));
        let score = ScoreStage::new(score, topics, &fingerprint);
        self.task(score.with_past(config.detect.past()));
        Ok(())
    }

    fn correlate(&mut self) -> Result<()> {
        let fingerprint = self.config.fingerprint(Stage::Correlate)?;
        let section = self.config.correlate_with_playbooks();
        self.task(CorrelateStage::new(section, &self.config.bus, &fingerprint));
        Ok(())
    }

    fn act(&mut self, drivers: Drivers) -> Result<()> {
        let config = self.config;
        let fingerprint = config.fingerprint(Stage::Act)?;
        let partitions = self.partitions("incidents.v1")?;
        let time = match self.pace {
            Pace::Real => Time::Wall,
            Pace::Simulated => Time::Log,
        };
        let (section, library) = (config.act.clone(), act::Library::clone(&config.library));
        let stage =
            ActStage::new(section, library, drivers, &config.bus, partitions, &fingerprint, time);
        let (helpers, log) = (stage.helpers(&config.bus), Arc::clone(self.log));
        self.made
            .push(StageThread::new("act-helpers", move |shutdown| helpers.run(&log, &shutdown)));
        self.task(stage);
        Ok(())
    }

    fn console(&mut self, bound: console::Bound) {
        let (config, log) = (Arc::clone(self.config), Arc::clone(self.log));
        let ready = self.readiness.condition("console", "reading what is on the log");
        self.made.push(StageThread::new("console", move |shutdown| {
            let (section, instance) = (&config.console, config.instance());
            console::run(section, bound, &log, &config.bus, &instance, Some(ready), &shutdown)
        }));
    }

    fn task<S: task::Stage + 'static>(&mut self, stage: S) {
        let (log, mut options) = (Arc::clone(self.log), options(self.config, stage.name()));
        options.ready = Some(self.readiness.condition(stage.name(), "not in its group yet"));
        if self.pace == Pace::Simulated {
            options.commit_interval = SIMULATED_COMMIT;
            options.poll = SIMULATED_COMMIT;
        }
        let name = stage.name().to_owned();
        self.made.push(StageThread::new(&name.clone(), move |shutdown| {
            let report = task::run(log, stage, options, &shutdown)?;
            let (messages, outputs, commits) = (report.messages, report.outputs, report.commits);
            tracing::info!(stage = name, messages, outputs, commits, "drained");
            anyhow::Ok(())
        }));
    }

    fn partitions(&self, topic: &str) -> Result<u32> {
        let topic = self.config.bus.topic(topic);
        let found = self.log.admin().describe(&topic)?;
        Ok(found.with_context(|| format!("there is no topic {topic}"))?.partitions)
    }
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
