//! Reading partitions of Kafka from given offsets, committed records only, in no group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::dispose::dispose;
use super::membership::client_error;
use super::native::{self, Polled};
use super::tasks::{call_error, out_of_range, partition};
use super::{convert, options};
use crate::config::BusConfig;
use crate::log::{LogError, ReadEvent, Reader, TaskId};
use crate::metrics as names;

pub struct KafkaReader {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<Errors>>,
    limit: Duration,
    /// Names of the topics that are read, shared with the records.
    topics: BTreeSet<Arc<str>>,
}

/// The client's own errors. An end that nobody waits for any more is none.
struct Errors;

impl ConsumerContext for Errors {}

impl ClientContext for Errors {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            client_error(&error, reason);
        }
    }
}

// === impl KafkaReader ===

impl KafkaReader {
    pub fn new(config: &BusConfig) -> Result<KafkaReader, LogError> {
        let group = format!("{}reader", config.prefix);
        let consumer = options::reader(&config.kafka, &group).create_with_context(Errors);
        let consumer = Some(consumer.map_err(|e| LogError::call("reader", e))?);
        let limit = config.kafka.timeouts.request();
        Ok(KafkaReader { consumer, limit, topics: BTreeSet::new() })
    }

    fn consumer(&self) -> &BaseConsumer<Errors> {
        self.consumer.as_ref().expect("it is taken only by drop")
    }

    fn watermarks(&self, task: &TaskId) -> Result<(i64, i64), LogError> {
        let found = self.consumer().fetch_watermarks(&task.topic, partition(task)?, self.limit);
        found.map_err(|error| call_error("range", self.limit, &task.topic, &error))
    }

    fn failed(
        &self,
        code: RDKafkaErrorCode,
        place: Option<(String, u32, i64)>,
        reason: &str,
    ) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        match (code, place) {
            (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some((topic, partition, wanted))) => {
                let task = TaskId { topic: Arc::from(topic), partition };
                let (start, end) = self.watermarks(&task)?;
                Err(out_of_range(&task, wanted, start, end))
            }
            (Code::UnknownTopicOrPartition | Code::UnknownTopic, Some((topic, ..))) => {
                Err(LogError::NoTopic(topic))
            }
            // Nothing would ever come.
            (Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed, _) => {
                Err(LogError::call("read", reason))
            }
            _ => {
                metrics::counter!(names::CLIENT_ERRORS, "kind" => "read").increment(1);
                tracing::warn!(?code, reason, "kafka reader");
                Ok(())
            }
        }
    }
}

impl Reader for KafkaReader {
    fn assign(&mut self, from: &[(String, u32, i64)]) -> Result<(), LogError> {
        let failed = |e: &dyn std::fmt::Display| LogError::call("assign", e);
        let mut list = TopicPartitionList::with_capacity(from.len());
        let mut topics = BTreeSet::new();
        for (topic, number, offset) in from {
            let task = TaskId { topic: Arc::from(topic.as_str()), partition: *number };
            let (start, end) = self.watermarks(&task)?;
            if !(start..=end).contains(offset) {
                return Err(out_of_range(&task, *offset, start, end));
            }
            list.add_partition_offset(topic, partition(&task)?, Offset::Offset(*offset))
                .map_err(|e| failed(&e))?;
            topics.insert(task.topic);
        }
        // What was read before is dropped with its positions, also where it is read on.
        self.consumer().unassign().map_err(|e| failed(&e))?;
        self.consumer().assign(&list).map_err(|e| failed(&e))?;
        self.topics = topics;
        Ok(())
    }

    fn poll(&mut self, timeout: Duration) -> Result<ReadEvent, LogError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match native::poll(self.consumer().client().native_ptr(), left) {
                // The client waits in whole milliseconds.
                None if left.as_millis() == 0 => return Ok(ReadEvent::Idle),
                None => {}
                Some(Polled::Record(mut record)) => {
                    if let Some(known) = self.topics.get(&record.topic) {
                        record.topic = Arc::clone(known);
                    }
                    return Ok(ReadEvent::Record(record));
                }
                Some(Polled::End { topic, partition, next }) => {
                    return Ok(ReadEvent::End { topic, partition, next });
                }
                Some(Polled::Failed { code, place, reason }) => {
                    self.failed(code, place, &reason)?;
                }
            }
        }
    }

    fn range(&mut self, topic: &str, partition: u32) -> Result<(i64, i64), LogError> {
        self.watermarks(&TaskId { topic: Arc::from(topic), partition })
    }

    fn offset_at(
        &mut self,
        topic: &str,
        partition: u32,
        timestamp_ms: i64,
    ) -> Result<i64, LogError> {
        let wanted = convert::one(topic, partition, Offset::Offset(timestamp_ms))
            .map_err(|reason| LogError::Call { call: "offset_at", reason })?;
        let found = self.consumer().offsets_for_times(wanted, self.limit);
        let found = found.map_err(|e| call_error("offset_at", self.limit, topic, &e))?;
        match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => Ok(self.range(topic, partition)?.1),
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.consumer.take().map(dispose);
    }
}
