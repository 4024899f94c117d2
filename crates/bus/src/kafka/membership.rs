//! What the group does to a member: assignments and revocations, in the order in which they came.
//! The client library's own callback ignores errors and, while a consumer closes, can hang; this
//! one keeps to the incremental calls, says what fails, and has the client fetch a partition only
//! from `start` on, at the offset given there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::Offset;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::convert;
use crate::log::{Event, TaskId};
use crate::metrics as names;

#[derive(Default)]
pub struct Membership {
    events: Mutex<VecDeque<Event>>,
    /// What the client fetches: the assigned partitions that were started.
    taken: Mutex<BTreeSet<TaskId>>,
}

// === impl Membership ===

impl Membership {
    /// The next assignment or revocation.
    pub fn next(&self) -> Option<Event> {
        self.events().pop_front()
    }

    /// Whether a task was revoked and `next` has not told of it yet.
    pub fn is_revoked(&self, task: &TaskId) -> bool {
        let of = |event: &Event| matches!(event, Event::Revoked(tasks) if tasks.contains(task));
        self.events().iter().any(of)
    }

    /// Has the client fetch an assigned partition from an offset on.
    ///
    /// It is given the offset and nothing else, ever: a look-up of a place such as the end whose
    /// answer is late puts the client there again half a second later, over whatever it was told
    /// in between (librdkafka 2.12.1, `rd_kafka_toppar_offset_retry`), and what lies before is
    /// never delivered. Nor is it paused until then: a pause or resume that meets a start on the
    /// way is dropped without an error.
    pub fn take_up(
        &self,
        consumer: &BaseConsumer<Self>,
        task: &TaskId,
        offset: i64,
    ) -> Result<(), String> {
        let list = convert::one(&task.topic, task.partition, Offset::Offset(offset))?;
        if self.taken().remove(task) {
            consumer.incremental_unassign(&list).map_err(|e| e.to_string())?;
        }
        // A pause outlives the assignment that it was made in.
        consumer.resume(&list).map_err(|e| e.to_string())?;
        consumer.incremental_assign(&list).map_err(|e| e.to_string())?;
        self.taken().insert(task.clone());
        Ok(())
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the group that the assignment is known; `take_up` has its partitions fetched.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            tracing::error!(%error, "failed to take assigned partitions");
            metrics::counter!(names::CLIENT_ERRORS, "kind" => "assign").increment(1);
        }
        self.events().push_back(Event::Assigned(convert::tasks(list)));
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let tasks = convert::tasks(list);
        let mut fetched = TopicPartitionList::new();
        for task in &tasks {
            if self.taken().remove(task) {
                let partition = i32::try_from(task.partition).unwrap_or(i32::MAX);
                fetched.add_partition(&task.topic, partition);
            }
        }
        // The group waits for the call, whether or not there is anything to give up.
        if let Err(error) = consumer.incremental_unassign(&fetched) {
            // While a consumer closes, its protocol is none and the call is refused.
            tracing::debug!(%error, "failed to give up partitions one by one; giving up all");
            if let Err(error) = consumer.unassign() {
                tracing::error!(%error, "failed to give up partitions");
                metrics::counter!(names::CLIENT_ERRORS, "kind" => "unassign").increment(1);
            }
        }
        self.events().push_back(Event::Revoked(tasks));
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
