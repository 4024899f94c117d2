//! An instance's tasks on Kafka: a member of the stage's group whose partitions wait until
//! `start` says from where they go on; commits through the transactional producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::dispose::{dispose, wait};
use super::membership::Membership;
use super::transactions::Transactions;
use super::{convert, native, options};
use crate::config::{BusConfig, TimeoutsConfig};
use crate::log::{CommitError, Committed, Event, LogError, Paused, TaskId, Tasks, Transaction};
use crate::metrics as names;
use crate::record::Record;

pub struct KafkaTasks {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<Membership>>,
    transactions: Transactions,
    group: String,
    instance: String,
    timeouts: TimeoutsConfig,
    /// The tasks that are ours, and where each stands.
    owned: BTreeMap<TaskId, State>,
    /// A record that was polled together with a change of the assignment, which goes first.
    held: Option<Record>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Assigned and not started: nothing is delivered.
    Waiting,
    /// The next offset that may come.
    Running(i64),
}

// === impl KafkaTasks ===

impl KafkaTasks {
    pub fn join(
        config: &BusConfig,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<KafkaTasks, LogError> {
        let failed = |e: KafkaError| LogError::call("join", e);
        let group = format!("{}{stage}", config.prefix);
        let consumer: BaseConsumer<Membership> = options::member(&config.kafka, &group, instance)
            .create_with_context(Membership::default())
            .map_err(failed)?;
        let topics: Vec<&str> = inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(failed)?;
        let timeouts = config.kafka.timeouts.clone();
        let id = format!("{}{stage}.{instance}", config.prefix);
        let init_limit = timeouts.request().max(Duration::from_millis(timeouts.transaction_ms));
        let options = options::transactional(&config.kafka, &id);
        let transactions = Transactions::new(options, timeouts.commit(), init_limit);
        Ok(KafkaTasks {
            consumer: Some(consumer),
            transactions,
            group,
            instance: instance.to_owned(),
            timeouts,
            owned: BTreeMap::new(),
            held: None,
        })
    }

    fn consumer(&self) -> &BaseConsumer<Membership> {
        self.consumer.as_ref().expect("it is taken only by drop")
    }

    /// Whether another member of the group has our name. It came when we were not heard of for a
    /// session, and a new producer of ours would take the name back from it. A group that does not
    /// answer says nothing of another.
    fn is_replaced(&self) -> bool {
        let consumer = self.consumer();
        let id = native::member_id(consumer.client().native_ptr());
        let found = consumer.fetch_group_list(Some(&self.group), self.timeouts.commit());
        let Ok(found) = found else {
            return false;
        };
        let groups = found.groups().iter().filter(|group| group.name() == self.group);
        let mut members = groups.flat_map(|group| group.members());
        members.any(|member| member.client_id() == self.instance && member.id() != id)
    }

    /// An assignment or revocation that a poll has brought.
    fn membership(&mut self) -> Option<Event> {
        let event = self.consumer().context().next()?;
        match &event {
            Event::Assigned(tasks) => {
                self.owned.extend(tasks.iter().map(|task| (task.clone(), State::Waiting)));
            }
            Event::Revoked(tasks) => self.owned.retain(|task, _| !tasks.contains(task)),
            Event::Record(_) | Event::Idle => {}
        }
        Some(event)
    }

    /// One poll; a record of a task that is ours, where there is one.
    fn poll(&mut self, timeout: Duration) -> Result<Option<Record>, LogError> {
        match self.consumer().poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
                let partition = u32::try_from(message.partition()).unwrap_or(0);
                let is_its =
                    |task: &&TaskId| task.partition == partition && *task.topic == *message.topic();
                let known = self.owned.keys().find(is_its);
                Ok(known.map(|task| convert::record(&message, Arc::clone(&task.topic))))
            }
            Some(Err(error)) => self.failed(&error).map(|()| None),
        }
    }

    /// A record, where it is the next of a task that was started. What was fetched before a start
    /// or a pause may come after it.
    fn in_order(&mut self, record: Record) -> Option<Event> {
        let task = TaskId { topic: Arc::clone(&record.topic), partition: record.partition };
        match self.owned.get_mut(&task) {
            Some(State::Running(next)) if record.offset >= *next => {
                *next = record.offset + 1;
                Some(Event::Record(record))
            }
            _ => None,
        }
    }

    /// Sorts an error of the consumer: what ends the instance, and what it goes on after.
    fn failed(&mut self, error: &KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(LogError::call("next", error));
        }
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => self.truncated(error),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                let topics = self.owned.keys().map(|task| task.topic.to_string());
                Err(LogError::NoTopic(topics.collect::<Vec<_>>().join(", ")))
            }
            _ => {
                metrics::counter!(names::CLIENT_ERRORS, "kind" => "consume").increment(1);
                tracing::warn!(%error, "kafka consumer");
                Ok(())
            }
        }
    }

    /// The client does not say which partition was out of range: look for it.
    fn truncated(&mut self, error: &KafkaError) -> Result<(), LogError> {
        let running: Vec<(TaskId, i64)> = self
            .owned
            .iter()
            .filter_map(|(task, state)| match state {
                State::Running(next) => Some((task.clone(), *next)),
                State::Waiting => None,
            })
            .collect();
        for (task, next) in running {
            let (start, end) = self.watermarks("next", &task)?;
            if next < start || next > end {
                self.owned.insert(task.clone(), State::Waiting);
                return Err(out_of_range(&task, next, start, end));
            }
        }
        tracing::debug!(%error, "an offset that nobody reads any more was out of range");
        Ok(())
    }

    fn watermarks(&self, call: &'static str, task: &TaskId) -> Result<(i64, i64), LogError> {
        let partition = partition(task)?;
        let limit = self.timeouts.commit();
        match self.consumer().fetch_watermarks(&task.topic, partition, limit) {
            Ok(range) => Ok(range),
            Err(error) => Err(call_error(call, limit, &task.topic, &error)),
        }
    }
}

impl Tasks for KafkaTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.membership() {
                return Ok(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let record = match self.held.take() {
                None => self.poll(in_whole_ms(left))?,
                held => held,
            };
            if let Some(event) = self.membership() {
                self.held = record;
                return Ok(event);
            }
            if let Some(event) = record.and_then(|record| self.in_order(record)) {
                return Ok(event);
            }
            if left.is_zero() {
                return Ok(Event::Idle);
            }
        }
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        // Only now is no transaction of our own predecessor open any more.
        self.transactions.ready()?;
        // Of another instance's, the broker's timeout and sweep are waited out.
        let limit = Duration::from_millis(self.timeouts.transaction_ms) + self.timeouts.request();
        let deadline = Instant::now() + limit;
        loop {
            let list = convert::one(&task.topic, task.partition, Offset::Invalid)
                .map_err(|reason| LogError::Call { call: "committed", reason })?;
            match self.consumer().committed_offsets(list, self.timeouts.commit()) {
                Ok(found) => return position(&found),
                Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(call_error("committed", limit, &task.topic, &error)),
            }
        }
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        self.watermarks("range", task)
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        if !self.owned.contains_key(task) {
            let reason = format!("task {}/{} is not ours", task.topic, task.partition);
            return Err(LogError::Call { call: "start", reason });
        }
        let (start, end) = self.watermarks("start", task)?;
        if !(start..=end).contains(&offset) {
            return Err(out_of_range(task, offset, start, end));
        }
        let consumer = self.consumer();
        let taken = consumer.context().take_up(consumer, task, offset);
        taken.map_err(|reason| LogError::Call {
            call: "start",
            reason: format!("{}/{}: {reason}", task.topic, task.partition),
        })?;
        if self.held.as_ref().is_some_and(|held| is_of(held, task)) {
            self.held = None;
        }
        self.owned.insert(task.clone(), State::Running(offset));
        Ok(())
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        let failed = |reason: String| LogError::Call { call: "pause", reason };
        if !matches!(self.owned.get(task), Some(State::Running(_))) {
            return Err(failed(format!("task {}/{} was not started", task.topic, task.partition)));
        }
        let list = convert::one(&task.topic, task.partition, Offset::Invalid).map_err(failed)?;
        let done = match paused {
            Paused::Yes => self.consumer().pause(&list),
            Paused::No => self.consumer().resume(&list),
        };
        done.map_err(|e| failed(e.to_string()))
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let is_gone = |task: &TaskId| {
            !self.owned.contains_key(task) || self.consumer().context().is_revoked(task)
        };
        let gone = transaction.positions.iter().find(|(task, _)| is_gone(task));
        if let Some((task, _)) = gone {
            let (topic, partition) = (&task.topic, task.partition);
            let reason = format!("task {topic}/{partition} is not ours any more");
            return Err(CommitError::Aborted(reason));
        }
        let consumer = self.consumer.as_ref().expect("it is taken only by drop");
        match self.transactions.commit(consumer, &transaction) {
            Err(CommitError::Indeterminate(reason)) if self.is_replaced() => {
                Err(CommitError::Fenced(format!("{reason}; another member has this name now")))
            }
            result => result,
        }
    }

    fn leave(mut self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        let until = Instant::now() + deadline;
        let producer = self.transactions.end();
        let consumer = self.consumer.take().map(dispose);
        for ending in [consumer, producer].into_iter().flatten() {
            wait(&ending, until.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }
}

impl Drop for KafkaTasks {
    fn drop(&mut self) {
        self.transactions.end();
        self.consumer.take().map(dispose);
    }
}

/// Rounded up: rust-rdkafka spins through the last part of a millisecond.
fn in_whole_ms(left: Duration) -> Duration {
    Duration::from_millis(u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))
}

fn is_of(record: &Record, task: &TaskId) -> bool {
    record.partition == task.partition && record.topic == task.topic
}

/// The committed position of the one partition of a list.
fn position(
    found: &rdkafka::topic_partition_list::TopicPartitionList,
) -> Result<Option<Committed>, LogError> {
    let elements = found.elements();
    let Some(element) = elements.first() else {
        return Ok(None);
    };
    element.error().map_err(|e| LogError::call("committed", e))?;
    Ok(match element.offset() {
        Offset::Offset(offset) => {
            Some(Committed { offset, metadata: element.metadata().to_owned() })
        }
        _ => None,
    })
}

pub fn out_of_range(task: &TaskId, wanted: i64, start: i64, end: i64) -> LogError {
    let (topic, partition) = (task.topic.to_string(), task.partition);
    if wanted > end {
        let reason = format!("offset {wanted} of {topic}/{partition} is past its end at {end}");
        return LogError::Call { call: "start", reason };
    }
    LogError::Truncated { topic, partition, wanted, start }
}

pub fn partition(task: &TaskId) -> Result<i32, LogError> {
    i32::try_from(task.partition).map_err(|e| LogError::call("partition", e))
}

fn is_timeout(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::WaitingForCoordinator)
    )
}

/// An error of a call that asks a broker.
pub fn call_error(
    call: &'static str,
    limit: Duration,
    topic: &str,
    error: &KafkaError,
) -> LogError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            LogError::NoTopic(topic.to_owned())
        }
        _ if is_timeout(error) => LogError::Timeout { call, limit },
        _ => LogError::call(call, error),
    }
}
