//! A person's word on its way to the log: approvals and rejections, feedback. A writer without a
//! source, so each message is named by (stage, instance, epoch) and a sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use bus::frame::FrameError;
use bus::{BusConfig, Log, LogError, Meta, Name, Outgoing, Time, Where, Writer, frame};
use model::rows::{Approval, Feedback, RowError};
use model::schema::{self, TopicSchema};

const STAGE: &str = "console";
/// How long a person waits for the log.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Words {
    log: Arc<dyn Log>,
    bus: BusConfig,
    instance: String,
    epoch: u64,
    sequence: AtomicI64,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot put it into a row: {0}")]
    Row(#[from] RowError),
    #[error("cannot put it into a message: {0}")]
    Frame(#[from] FrameError),
    #[error("it is too long for one message")]
    TooLong,
    #[error("the log did not take it: {0}")]
    Log(#[from] LogError),
}

// === impl Words ===

impl Words {
    /// `epoch` is larger than that of any earlier process of this instance.
    pub fn new(log: Arc<dyn Log>, bus: BusConfig, instance: &str, epoch: u64) -> Words {
        Words { log, bus, instance: instance.to_owned(), epoch, sequence: AtomicI64::new(0) }
    }

    /// Returns when the log has it.
    pub fn approval(&self, approval: &Approval) -> Result<(), WriteError> {
        let batch = Approval::to_batch(std::slice::from_ref(approval))?;
        self.put("approvals.v1", schema::approvals(), batch, approval.time_ms)
    }

    pub fn feedback(&self, feedback: &Feedback) -> Result<(), WriteError> {
        let batch = Feedback::to_batch(std::slice::from_ref(feedback))?;
        self.put("evidence.v1", schema::feedback(), batch, feedback.time_ms)
    }

    fn put(
        &self,
        topic: &str,
        schema: &TopicSchema,
        batch: RecordBatch,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        let topic = self.bus.topic(topic);
        let info = self.log.admin().describe(&topic)?;
        let partitions = info.ok_or_else(|| LogError::NoTopic(topic.clone()))?.partitions;
        let outgoing = Outgoing {
            topic: Arc::from(topic),
            to: Where::ByColumn("domain".to_owned()),
            batch,
            key: None,
            time: Time::At(now_ms),
            meta: self.meta(schema, now_ms),
        };
        let framed = frame(outgoing, partitions, &self.bus.limits)?;
        if !framed.refused.is_empty() {
            return Err(WriteError::TooLong);
        }
        bus::deliver(&*self.log, STAGE, &self.instance, &framed.records, PATIENCE)?;
        metrics::counter!(crate::metrics::WORDS).increment(1);
        Ok(())
    }

    fn meta(&self, schema: &TopicSchema, now_ms: i64) -> Meta {
        let writer = Writer::Instance {
            stage: STAGE.to_owned(),
            instance: self.instance.clone(),
            epoch: self.epoch,
        };
        let offset = self.sequence.fetch_add(1, Ordering::Relaxed);
        Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: format!("{STAGE} {} {}", self.instance, runtime::telemetry::VERSION),
            rows: 0,
            min_ts_ms: now_ms,
            max_ts_ms: now_ms,
            wm_ms: None,
            name: Name { writer, offset, index: 0 },
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        }
    }
}
