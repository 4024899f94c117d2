//! What the group does to a member: assignments and revocations, in the order in which they came.
//! The client library's own callback ignores errors and, while a consumer closes, can hang; this
//! one keeps to the incremental calls, says what fails, and lets nothing be fetched before
//! `start`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rdkafka::Offset;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::convert;
use crate::log::Event;
use crate::metrics as names;

#[derive(Default)]
pub struct Membership {
    events: Mutex<VecDeque<Event>>,
}

// === impl Membership ===

impl Membership {
    /// The next assignment or revocation.
    pub fn next(&self) -> Option<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }

    /// Takes the partitions at their ends and paused: a fetch from the end is never out of range,
    /// and `start` takes them up anew where the task really goes on.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let taken = list
            .set_all_offsets(Offset::End)
            .and_then(|()| consumer.incremental_assign(list))
            .and_then(|()| consumer.pause(list));
        if let Err(error) = taken {
            tracing::error!(%error, "failed to take assigned partitions");
            metrics::counter!(names::CLIENT_ERRORS, "kind" => "assign").increment(1);
        }
        self.put(Event::Assigned(convert::tasks(list)));
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            // While a consumer closes, its protocol is none and the call is refused.
            tracing::debug!(%error, "failed to give up partitions one by one; giving up all");
            if let Err(error) = consumer.unassign() {
                tracing::error!(%error, "failed to give up partitions");
                metrics::counter!(names::CLIENT_ERRORS, "kind" => "unassign").increment(1);
            }
        }
        self.put(Event::Revoked(convert::tasks(list)));
    }
}

impl ClientContext for Membership {
    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => {
                tracing::error!(error = ?other, "failed to rebalance");
                metrics::counter!(names::CLIENT_ERRORS, "kind" => "rebalance").increment(1);
            }
        }
    }
}

/// A client's error that it goes on after: counted, and said where it is news.
pub fn client_error(error: &KafkaError, reason: &str) {
    metrics::counter!(names::CLIENT_ERRORS, "kind" => "client").increment(1);
    tracing::warn!(%error, reason, "kafka client");
}
