//! What correlate is to the task loop: its input, whose word on time counts there, its outputs.

use std::sync::Arc;

use bus::{BusConfig, TaskId};
use runtime::task::{InputSpec, SourceTasks, Stage, WriterPolicy};

use crate::config::CorrelateConfig;
use crate::engine::{Correlator, Topics};

pub struct CorrelateStage {
    config: Arc<CorrelateConfig>,
    topics: Arc<Topics>,
    evidence: String,
    writers: Vec<SourceTasks>,
    config_fp: String,
}

// === impl CorrelateStage ===

impl CorrelateStage {
    pub fn new(config: CorrelateConfig, bus: &BusConfig, config_fp: &str) -> CorrelateStage {
        let tasks = |stage: &str, topic: &str| SourceTasks {
            stage: stage.to_owned(),
            topic: bus.topic(topic),
        };
        CorrelateStage {
            config: Arc::new(config),
            topics: Arc::new(Topics {
                incidents: bus.topic("incidents.v1"),
                json: bus.topic("incidents.json.v1"),
                topology: bus.topic("topology.v1"),
            }),
            evidence: bus.topic("evidence.v1"),
            // Rules with a window speak through score, those without through rollup (DESIGN §5).
            writers: vec![
                tasks("score", "partials.v1"),
                tasks("rollup", "flows.v1"),
                tasks("rollup", "metrics.v1"),
                tasks("rollup", "events.v1"),
            ],
            config_fp: config_fp.to_owned(),
        }
    }
}

impl Stage for CorrelateStage {
    type Engine = Correlator;

    fn name(&self) -> &str {
        "correlate"
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let writers = WriterPolicy::Tasks { expected: self.writers.clone() };
        vec![InputSpec { topic: self.evidence.clone(), writers }]
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.topics.incidents.clone(), self.topics.topology.clone()]
    }

    fn mirrors(&self) -> Vec<String> {
        vec![self.topics.json.clone()]
    }

    fn engine(&self, _task: &TaskId) -> Correlator {
        Correlator::new(Arc::clone(&self.config), Arc::clone(&self.topics))
    }

    fn snapshots(&self) -> bool {
        true
    }

    fn config_fp(&self) -> &str {
        &self.config_fp
    }
}
