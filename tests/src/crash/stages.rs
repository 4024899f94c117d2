//! The stages under test: rollup, score and correlate as they ship, over rules that find something
//! within seconds, each with one message in a while on which its engine panics.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use bus::topics::{TopicSpec, some};
use bus::{BusConfig, Log};
use correlate::{CorrelateConfig, CorrelateStage};
use detect::{DetectConfig, RollupStage, RuleSet, ScoreStage, Topics, check_rules};
use runtime::shutdown::Shutdown;
use runtime::task::{LoopError, LoopOptions, LoopReport, run};

use super::fragile::Fragile;
use super::input;

/// The stages in the order of the data's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Rollup,
    Score,
    Correlate,
}

/// What all of them share.
#[derive(Clone)]
pub struct Stages {
    pub bus: BusConfig,
    /// Blocks that correlate leaves out of a restore, as a mutation.
    forgets: Option<&'static str>,
    rules: Arc<RuleSet>,
    detect: DetectConfig,
    correlate: CorrelateConfig,
}

const RULES: &str = include_str!("rules.yaml");
const CONFIG_FP: &str = "crash";

/// What the stages write, but for heartbeats to nobody: compared between two runs.
pub const OUTPUTS: &[&str] = &[
    "evidence.v1.dlq",
    "partials.v1",
    "signals.v1",
    "evidence.v1",
    "incidents.v1",
    "incidents.json.v1",
    "topology.v1",
    "flows.v1.dlq",
    "flows.v1.late",
    "partials.v1.dlq",
];
/// What a run must have had in it, to show anything: each of these gets rows.
pub const EXERCISED: &[&str] = OUTPUTS.split_at(1).1;
const OTHERS: &[&str] = &[
    "flows.v1",
    "metrics.v1",
    "metrics.v1.dlq",
    "metrics.v1.late",
    "events.v1",
    "events.v1.dlq",
    "events.v1.late",
    "snapshots.score.v1",
    "snapshots.correlate.v1",
];

// === impl Kind ===

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Rollup, Kind::Score, Kind::Correlate];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Rollup => "rollup",
            Kind::Score => "score",
            Kind::Correlate => "correlate",
        }
    }
}

// === impl Stages ===

impl Stages {
    pub fn new(bus: BusConfig) -> Result<Stages> {
        let rules = Arc::new(check_rules(RULES).context("the check's rules")?);
        // A dead instance, an incident's end: what takes minutes as shipped takes seconds here.
        let detect = DetectConfig { left_out_after: 4, ..DetectConfig::default() };
        let correlate = CorrelateConfig {
            resolve_after_s: 2,
            reopen_within_s: 3,
            cluster_window_s: 5,
            explain_within_s: 60,
            change_settles_s: 2,
            ..CorrelateConfig::default()
        };
        Ok(Stages { bus, forgets: None, rules, detect, correlate })
    }

    /// The same with such a mutation.
    pub fn forgetting(&self, forgets: Option<&'static str>) -> Stages {
        Stages { forgets, ..self.clone() }
    }

    /// Options of a stage's loop, with snapshots as often as they can be.
    pub fn options(&self, kind: Kind, instance: &str) -> LoopOptions {
        let snapshots = self.bus.topic(&format!("snapshots.{}.v1", kind.name()));
        let mut options = LoopOptions::new(instance, &snapshots);
        options.snapshots.input_share = 0;
        options
    }

    /// One instance of a stage, until it is told to stop or cannot go on.
    pub fn run(
        &self,
        kind: Kind,
        log: Arc<dyn Log>,
        options: LoopOptions,
        shutdown: &Shutdown,
    ) -> Result<LoopReport, LoopError> {
        let rules = || Arc::clone(&self.rules);
        let topics = || Topics::new(&self.bus.prefix, wide(&self.bus));
        match kind {
            Kind::Rollup => {
                let stage = RollupStage::new(rules(), topics(), &self.detect, CONFIG_FP);
                run(log, Fragile::new(stage, input::is_poison_to_rollup), options, shutdown)
            }
            Kind::Score => {
                let stage = ScoreStage::new(rules(), topics(), CONFIG_FP);
                run(log, Fragile::new(stage, input::is_poison_to_score), options, shutdown)
            }
            Kind::Correlate => {
                let stage = CorrelateStage::new(self.correlate.clone(), &self.bus, CONFIG_FP);
                run(log, Fragile::forgetting(stage, self.forgets), options, shutdown)
            }
        }
    }

    pub fn outputs(&self) -> Vec<String> {
        OUTPUTS.iter().map(|name| self.bus.topic(name)).collect()
    }

    /// Every topic of the run. Metrics and events are few here.
    pub fn topics(&self) -> Vec<TopicSpec> {
        let names: Vec<&str> = OUTPUTS.iter().chain(OTHERS).copied().collect();
        let mut specs = some(&self.bus, &names);
        for spec in &mut specs {
            let name = &spec.name[self.bus.prefix.len()..];
            if name.starts_with("metrics") || name.starts_with("events") {
                spec.partitions = self.bus.topics.partitions_other;
            }
            // The input's time is long past, and a broker deletes by it.
            spec.settings = match self.bus.engine {
                bus::config::Engine::Kafka => {
                    BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())])
                }
                bus::config::Engine::Embedded => BTreeMap::new(),
            };
        }
        specs
    }
}

/// Partitions of flows and of what follows from them.
pub fn wide(bus: &BusConfig) -> u32 {
    bus.topics.partitions
}
