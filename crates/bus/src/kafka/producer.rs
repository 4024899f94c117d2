//! The ordinary producer on Kafka: idempotent, every record reported once. The client library keeps
//! a copy of each payload until then; ours shares its bytes with the caller.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::dispose::dispose;
use super::membership::client_error;
use super::{convert, options};
use crate::config::BusConfig;
use crate::log::{Delivery, LogError, Producer};
use crate::metrics as names;
use crate::record::OutRecord;

/// Delivery reports come within this once they are there. It is slept and not polled for: see
/// `transactions::serve`.
const STEP: Duration = Duration::from_millis(1);

pub struct KafkaProducer {
    /// `None` only while it is dropped.
    producer: Option<BaseProducer<Reports>>,
    next_ticket: usize,
    /// Sent, not yet reported to the caller.
    waiting: BTreeMap<u64, OutRecord>,
}

type Report = (usize, Result<i64, String>);

#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

// === impl Reports ===

impl Reports {
    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let result = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.to_string()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((ticket, result));
    }
}

// === impl KafkaProducer ===

impl KafkaProducer {
    pub fn new(config: &BusConfig, stage: &str, instance: &str) -> Result<Self, LogError> {
        let name = format!("{}{stage}.{instance}", config.prefix);
        let made = options::producer(&config.kafka, &name).create_with_context(Reports::default());
        let producer = Some(made.map_err(|e| LogError::call("producer", e))?);
        Ok(KafkaProducer { producer, next_ticket: 0, waiting: BTreeMap::new() })
    }

    fn producer(&self) -> &BaseProducer<Reports> {
        self.producer.as_ref().expect("it is taken only by drop")
    }

    /// Takes all reports that are there: a call of the client takes those of one partition, and who
    /// polls less often than that would fall behind for ever.
    fn serve(&self) {
        loop {
            let before = self.producer().context().count();
            self.producer().poll(Duration::ZERO);
            if self.producer().context().count() == before {
                return;
            }
        }
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        let bytes = record.payload.as_ref().map_or(0, bytes::Bytes::len);
        if bytes > crate::RECORD_BYTES_MAX {
            let limit = crate::RECORD_BYTES_MAX;
            let reason = format!("a record of {bytes} bytes is over the limit of {limit}");
            return Err(LogError::Call { call: "send", reason });
        }
        let ticket = self.next_ticket;
        match self.producer().send(convert::outgoing(record, ticket)) {
            Ok(()) => {
                self.next_ticket += 1;
                self.waiting.insert(ticket as u64, record.clone());
                Ok(Some(ticket as u64))
            }
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(Code::QueueFull) => {
                    metrics::counter!(names::QUEUE_FULL).increment(1);
                    Ok(None)
                }
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                    Err(LogError::NoTopic(record.topic.to_string()))
                }
                _ => Err(LogError::call("send", format!("{}: {error}", record.topic))),
            },
        }
    }

    fn poll(&mut self, timeout: Duration) -> Vec<Delivery> {
        let deadline = Instant::now() + timeout;
        let mut reports;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.serve();
            reports = self.producer().context().take();
            if !reports.is_empty() || left.is_zero() || self.waiting.is_empty() {
                break;
            }
            std::thread::sleep(left.min(STEP));
        }
        let waiting = &mut self.waiting;
        let delivery = |(ticket, result): Report| {
            let ticket = ticket as u64;
            Some(Delivery { ticket, result, record: waiting.remove(&ticket)? })
        };
        reports.into_iter().filter_map(delivery).collect()
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // What is in flight has no one to report to any more.
        self.producer.take().map(dispose);
    }
}
