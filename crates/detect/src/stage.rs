//! Rollup and score as the task loop runs them: names, topics, whose time counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::TaskId;
use bus::config::LimitsConfig;
use runtime::task::{InputSpec, SourceTasks, Stage, WriterPolicy};

use crate::engine::Reading;
use crate::engine::rollup::Rollup;
use crate::engine::score::{PastLimits, Score};
use crate::rules::{RuleSet, Source};

const ROLLUP: &str = "rollup";
const SCORE: &str = "score";
const SOURCES: [Source; 3] = [Source::Flows, Source::Metrics, Source::Events];

/// Full names of the topics that detect reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub flows: String,
    pub metrics: String,
    pub events: String,
    pub partials: String,
    pub signals: String,
    pub evidence: String,
    /// Partitions of `partials`, for rules whose shard has several columns.
    pub partitions: u32,
}

pub struct RollupStage {
    rules: Arc<RuleSet>,
    topics: Arc<Topics>,
    reading: BTreeMap<Source, Arc<Reading>>,
    instances: WriterPolicy,
    config_fp: String,
    message_bytes_max: usize,
}

pub struct ScoreStage {
    rules: Arc<RuleSet>,
    topics: Arc<Topics>,
    config_fp: String,
    past: PastLimits,
}

// === impl Topics ===

impl Topics {
    /// `prefix` is `gannet.` unless configured otherwise; `partitions` those of `partials`.
    pub fn new(prefix: &str, partitions: u32) -> Topics {
        let topic = |name: &str| format!("{prefix}{name}.v1");
        Topics {
            flows: topic("flows"),
            metrics: topic("metrics"),
            events: topic("events"),
            partials: topic("partials"),
            signals: topic("signals"),
            evidence: topic("evidence"),
            partitions,
        }
    }

    pub fn of(&self, source: Source) -> &str {
        match source {
            Source::Flows => &self.flows,
            Source::Metrics => &self.metrics,
            Source::Events => &self.events,
        }
    }

    fn source(&self, topic: &str) -> Option<Source> {
        SOURCES.into_iter().find(|source| self.of(*source) == topic)
    }
}

// === impl RollupStage ===

impl RollupStage {
    pub fn new(
        rules: Arc<RuleSet>,
        topics: Topics,
        config: &crate::DetectConfig,
        config_fp: &str,
    ) -> RollupStage {
        let reading = |source| (source, Arc::new(Reading::new(&rules, source)));
        RollupStage {
            reading: SOURCES.into_iter().map(reading).collect(),
            rules,
            topics: Arc::new(topics),
            instances: WriterPolicy::Instances {
                left_out_after: config.left_out_after,
                grace_ms: config.grace_ms,
            },
            config_fp: config_fp.to_owned(),
            message_bytes_max: LimitsConfig::default().bytes_max,
        }
    }

    /// With the log's own limit of a message.
    pub fn with_message_bytes_max(mut self, bytes: usize) -> RollupStage {
        self.message_bytes_max = bytes;
        self
    }
}

impl Stage for RollupStage {
    type Engine = Rollup;

    fn name(&self) -> &str {
        ROLLUP
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let input = |source| InputSpec {
            topic: self.topics.of(source).to_owned(),
            writers: self.instances.clone(),
        };
        SOURCES.into_iter().map(input).collect()
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.topics.partials.clone(), self.topics.evidence.clone()]
    }

    fn engine(&self, task: &TaskId) -> Rollup {
        let source = self.topics.source(&task.topic).expect("tasks are of the stage's inputs");
        let reading = Arc::clone(&self.reading[&source]);
        Rollup::new(Arc::clone(&self.rules), Arc::clone(&self.topics), source, reading)
            .with_message_bytes_max(self.message_bytes_max)
    }

    /// The watermark that was said goes with every commit.
    fn snapshots(&self) -> bool {
        false
    }

    fn config_fp(&self) -> &str {
        &self.config_fp
    }
}

// === impl ScoreStage ===

impl ScoreStage {
    pub fn new(rules: Arc<RuleSet>, topics: Topics, config_fp: &str) -> ScoreStage {
        let (topics, config_fp) = (Arc::new(topics), config_fp.to_owned());
        ScoreStage { rules, topics, config_fp, past: PastLimits::default() }
    }

    /// With limits of what models are rebuilt from.
    pub fn with_past(mut self, past: PastLimits) -> ScoreStage {
        self.past = past;
        self
    }
}

impl Stage for ScoreStage {
    type Engine = Score;

    fn name(&self) -> &str {
        SCORE
    }

    /// Every task of rollup writes to every partition of `partials`.
    fn inputs(&self) -> Vec<InputSpec> {
        let tasks = |source| SourceTasks {
            stage: ROLLUP.to_owned(),
            topic: self.topics.of(source).to_owned(),
        };
        let expected = SOURCES.into_iter().map(tasks).collect();
        let topic = self.topics.partials.clone();
        vec![InputSpec { topic, writers: WriterPolicy::Tasks { expected } }]
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.topics.signals.clone(), self.topics.evidence.clone()]
    }

    fn engine(&self, task: &TaskId) -> Score {
        Score::new(Arc::clone(&self.rules), Arc::clone(&self.topics))
            .of_partition(task.partition, self.past)
    }

    fn snapshots(&self) -> bool {
        true
    }

    fn config_fp(&self) -> &str {
        &self.config_fp
    }
}
