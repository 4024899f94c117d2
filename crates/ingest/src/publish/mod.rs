//! Batches to the log: framed, named, sent in order, counted as stored when the log says so, and
//! kept in the spool while the log is away. Order matters: a reader drops what is not newer than
//! what it has of a writer, so nothing overtakes a message that has to be sent again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bus::config::LimitsConfig;
use bus::{
    BusConfig, Delivery, Log, LogError, Meta, Name, OutRecord, Outgoing, Producer, Time, Where,
    Writer, frame, heartbeat,
};
use bytes::Bytes;
use metrics::{counter, gauge};
use model::schema::TopicSchema;

use crate::config::IngestConfig;
use crate::metrics as names;

mod spool;

pub use spool::{Pushed, Spool};

/// The stage's name in writers, producers and headers.
pub const STAGE: &str = "ingest";

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("failed to frame a batch")]
    Frame(#[from] bus::frame::FrameError),
    #[error("failed to use the spool")]
    Spool(#[source] std::io::Error),
}

/// A topic that ingest writes to.
#[derive(Clone, Debug)]
struct Topic {
    name: Arc<str>,
    partitions: u32,
}

/// A message that was sent and not yet reported.
#[derive(Debug)]
struct Flight {
    token: Option<u64>,
    min_ms: i64,
    rows: u64,
    bytes: usize,
    record: OutRecord,
}

/// What became of all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub messages: u64,
    pub flows: u64,
    pub rows: u64,
    /// Rows that no room was left for.
    pub lost: u64,
    /// Messages that went by the spool.
    pub spooled: u64,
}

pub struct Publisher {
    producer: Box<dyn Producer>,
    topics: BTreeMap<&'static str, Topic>,
    limits: LimitsConfig,
    writer: Writer,
    label: String,
    sequence: i64,
    in_flight: BTreeMap<u64, Flight>,
    in_flight_bytes: usize,
    in_flight_bytes_max: usize,
    /// Refused by the log after all retries: ticket, message, the spool's token.
    failed: Vec<(u64, Flight)>,
    retry: VecDeque<(Option<u64>, OutRecord)>,
    /// The last ticket delivered, by topic and partition.
    delivered: BTreeMap<(Arc<str>, u32), u64>,
    spool: Spool,
    progress: Instant,
    away: Duration,
    stored: Stored,
}

/// Topics by their names without the prefix.
const TOPICS: [&str; 5] = ["flows.v1", "metrics.v1", "events.v1", "templates.v1", "flows.v1.dlq"];
/// Those that heartbeats go to.
const HEARTBEATS: [&str; 3] = ["flows.v1", "metrics.v1", "events.v1"];

// === impl Publisher ===

impl Publisher {
    pub fn new(
        config: &IngestConfig,
        log: &dyn Log,
        bus: &BusConfig,
        instance: &str,
        epoch: u64,
    ) -> Result<Publisher, PublishError> {
        let mut topics = BTreeMap::new();
        for name in TOPICS {
            let full = bus.topic(name);
            let found = log.admin().describe(&full)?.ok_or(LogError::NoTopic(full.clone()))?;
            topics.insert(name, Topic { name: full.into(), partitions: found.partitions });
        }
        let instance = instance.to_owned();
        let writer =
            Writer::Instance { stage: STAGE.to_owned(), instance: instance.clone(), epoch };
        let spool = Spool::open(config.spool.path.as_deref(), config.spool.bytes_max);
        Ok(Publisher {
            producer: log.producer(STAGE, &instance)?,
            topics,
            limits: bus.limits.clone(),
            writer,
            label: format!("{STAGE}/{instance}/{}", env!("CARGO_PKG_VERSION")),
            sequence: 0,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            in_flight_bytes_max: config.in_flight_bytes_max,
            failed: Vec::new(),
            retry: VecDeque::new(),
            delivered: BTreeMap::new(),
            spool: spool.map_err(PublishError::Spool)?,
            progress: Instant::now(),
            away: Duration::from_millis(config.away_ms),
            stored: Stored::default(),
        })
    }

    pub fn stored(&self) -> Stored {
        self.stored
    }

    /// Nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && !self.is_behind()
    }

    /// Something must be sent before anything new.
    fn is_behind(&self) -> bool {
        !self.failed.is_empty() || !self.retry.is_empty() || !self.spool.is_empty()
    }

    fn is_stalled(&self) -> bool {
        !self.in_flight.is_empty() && self.progress.elapsed() >= self.away
    }

    /// The least receive time sent and not yet reported, if rows are on their way.
    pub fn oldest(&self) -> Option<i64> {
        self.in_flight.values().filter(|f| f.rows > 0).map(|f| f.min_ms).min()
    }

    fn next_name(&mut self) -> Name {
        self.sequence += 1;
        Name { writer: self.writer.clone(), offset: self.sequence, index: 0 }
    }

    fn meta(&mut self, schema: &TopicSchema, wm_ms: i64) -> Meta {
        Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: self.label.clone(),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: Some(wm_ms),
            name: self.next_name(),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        }
    }

    /// Rows of one topic. `wm_ms`: nothing older than it comes after this batch.
    pub fn rows(
        &mut self,
        topic: &'static str,
        schema: &TopicSchema,
        batch: RecordBatch,
        time: Time,
        wm_ms: i64,
    ) -> Result<(), PublishError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let to = match schema.partition_by.as_str() {
            "spread" => Where::Spread(self.sequence as u64),
            column => Where::ByColumn(column.to_owned()),
        };
        self.frame(topic, schema, batch, to, None, time, wm_ms)
    }

    /// One element of a compacted topic.
    pub fn element(
        &mut self,
        topic: &'static str,
        schema: &TopicSchema,
        batch: RecordBatch,
        key: &str,
        time_ms: i64,
    ) -> Result<(), PublishError> {
        let to = Where::ByColumn(schema.partition_by.clone());
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        self.frame(topic, schema, batch, to, key, Time::At(time_ms), time_ms)
    }

    #[expect(clippy::too_many_arguments, reason = "what a message is made of")]
    fn frame(
        &mut self,
        topic: &'static str,
        schema: &TopicSchema,
        batch: RecordBatch,
        to: Where,
        key: Option<Bytes>,
        time: Time,
        wm_ms: i64,
    ) -> Result<(), PublishError> {
        let Some(Topic { name, partitions }) = self.topics.get(topic).cloned() else {
            return Ok(());
        };
        let meta = self.meta(schema, wm_ms);
        let framed =
            frame(Outgoing { topic: name, to, batch, key, time, meta }, partitions, &self.limits)?;
        for refused in framed.refused {
            self.lose("too_large", refused.row.num_rows() as u64);
        }
        framed.records.into_iter().try_for_each(|record| self.send(record))
    }

    /// The end of an element of a compacted topic.
    pub fn tombstone(
        &mut self,
        topic: &'static str,
        schema: &TopicSchema,
        key: &str,
        partition_key: &[u8],
        time_ms: i64,
    ) -> Result<(), PublishError> {
        let Some(Topic { name, partitions }) = self.topics.get(topic).cloned() else {
            return Ok(());
        };
        let mut meta = self.meta(schema, time_ms);
        (meta.min_ts_ms, meta.max_ts_ms) = (time_ms, time_ms);
        self.send(OutRecord {
            topic: name,
            partition: bus::partition::partition(partition_key, partitions),
            timestamp_ms: time_ms,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            headers: meta.headers(),
            payload: None,
        })
    }

    /// A datagram that could not be decoded, whole, with the reason.
    pub fn dead_letter(
        &mut self,
        reason: &str,
        source: &str,
        received: i64,
        datagram: Vec<u8>,
    ) -> Result<(), PublishError> {
        let Some(Topic { name, partitions }) = self.topics.get("flows.v1.dlq").cloned() else {
            return Ok(());
        };
        let sequence = self.next_name().offset;
        let header =
            |name: &str, value: &str| (Arc::from(name), Bytes::copy_from_slice(value.as_bytes()));
        self.send(OutRecord {
            topic: name,
            partition: bus::partition::spread(sequence as u64, partitions),
            timestamp_ms: received,
            key: None,
            headers: vec![
                header("content-type", "application/octet-stream"),
                header("producer", &self.label),
                header("dlq-stage", STAGE),
                header("dlq-kind", "decode"),
                header("dlq-reason", reason),
                header("exporter", source),
            ],
            payload: Some(Bytes::from(datagram)),
        })
    }

    /// Says to every partition that nothing older than `wm_ms` will come. Not while older messages
    /// wait: a heartbeat would overtake them.
    pub fn heartbeats(&mut self, wm_ms: i64) -> Result<(), PublishError> {
        if self.is_behind() || self.is_stalled() {
            return Ok(());
        }
        for topic in HEARTBEATS {
            let Some(Topic { name, partitions }) = self.topics.get(topic).cloned() else {
                continue;
            };
            for partition in 0..partitions {
                let output = self.next_name();
                let label = self.label.clone();
                self.send(heartbeat(&name, partition, wm_ms, output, &label, Vec::new()))?;
            }
        }
        Ok(())
    }

    fn send(&mut self, record: OutRecord) -> Result<(), PublishError> {
        loop {
            if self.is_behind() || self.is_stalled() {
                return self.keep(&record);
            }
            if self.in_flight_bytes < self.in_flight_bytes_max
                && let Some(flown) = self.try_send(record.clone(), None)
            {
                return flown;
            }
            // The log is slow or its queue is full: wait, until it counts as away.
            self.poll(Duration::from_millis(5))?;
        }
    }

    /// `None` where the producer's queue is full.
    fn try_send(
        &mut self,
        record: OutRecord,
        token: Option<u64>,
    ) -> Option<Result<(), PublishError>> {
        let flight = Flight::of(record, token);
        if self.in_flight.is_empty() {
            self.progress = Instant::now();
        }
        match self.producer.send(&flight.record) {
            Ok(Some(ticket)) => {
                self.in_flight_bytes += flight.bytes;
                self.in_flight.insert(ticket, flight);
                Some(Ok(()))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a message was not taken by the log");
                // It is first in line until it is on the log.
                self.retry.push_back((flight.token, flight.record));
                Some(Ok(()))
            }
        }
    }

    fn keep(&mut self, record: &OutRecord) -> Result<(), PublishError> {
        self.stored.spooled += 1;
        match self.spool.push(record).map_err(PublishError::Spool)? {
            Pushed::Kept => {}
            Pushed::Full => self.lose("spool_full", rows(record)),
        }
        Ok(())
    }

    fn lose(&mut self, reason: &'static str, rows: u64) {
        counter!(names::LOST, "reason" => reason).increment(rows);
        self.stored.lost += rows;
    }

    /// Takes delivery reports for at most `timeout`, and sends what waits as there is room.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), PublishError> {
        for delivery in self.producer.poll(timeout) {
            self.delivery(delivery);
        }
        if self.in_flight.is_empty() && !self.failed.is_empty() {
            self.again();
        }
        self.catch_up()?;
        gauge!(names::SPOOL_BYTES).set(self.spool.bytes() as f64);
        gauge!(names::IN_FLIGHT_BYTES).set(self.in_flight_bytes as f64);
        Ok(())
    }

    fn delivery(&mut self, delivery: Delivery) {
        let Some(flight) = self.in_flight.remove(&delivery.ticket) else {
            return;
        };
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flight.bytes);
        if let Err(reason) = delivery.result {
            tracing::warn!(%reason, "a message was not delivered, it is sent again");
            self.failed.push((delivery.ticket, flight));
            return;
        }
        self.progress = Instant::now();
        let place = (Arc::clone(&flight.record.topic), flight.record.partition);
        let last = self.delivered.entry(place).or_default();
        *last = delivery.ticket.max(*last);
        self.stored.messages += 1;
        self.stored.rows += flight.rows;
        let topic = flight.record.topic.to_string();
        if self.topics.get("flows.v1").is_some_and(|flows| flows.name == flight.record.topic) {
            self.stored.flows += flight.rows;
        }
        counter!(names::STORED, "topic" => topic).increment(flight.rows);
        if let Some(token) = flight.token {
            self.spool.delivered(token);
        }
    }

    /// Failed messages go again, in their order, once nothing is in flight. One that a later
    /// message of its partition has overtaken gets a new name, or its readers would drop it.
    fn again(&mut self) {
        let mut failed = std::mem::take(&mut self.failed);
        failed.sort_by_key(|(ticket, _)| *ticket);
        counter!(names::RESENT).increment(failed.len() as u64);
        for (ticket, mut flight) in failed.into_iter().rev() {
            let place = (Arc::clone(&flight.record.topic), flight.record.partition);
            if self.delivered.get(&place).is_some_and(|last| *last > ticket) {
                let name = self.next_name().to_string();
                rename(&mut flight.record, &name);
            }
            self.retry.push_front((flight.token, flight.record));
        }
    }

    /// First what failed, then the spool.
    fn catch_up(&mut self) -> Result<(), PublishError> {
        while self.failed.is_empty() && self.in_flight_bytes < self.in_flight_bytes_max {
            let (token, record) = match self.retry.pop_front() {
                Some(first) => first,
                None if self.is_stalled() => break,
                None => match self.spool.pop().map_err(PublishError::Spool)? {
                    Some((token, record)) => (Some(token), record),
                    None => break,
                },
            };
            let refused_before = self.retry.len();
            match self.try_send(record.clone(), token) {
                Some(sent) => sent?,
                None => self.retry.push_front((token, record)),
            }
            if self.retry.len() > refused_before {
                break;
            }
        }
        Ok(())
    }

    /// Sends all that is left, until `deadline`. What is then not on the log stays in the spool, or
    /// is lost where that is in memory.
    pub fn drain(&mut self, deadline: Instant) -> Result<(), PublishError> {
        while !self.is_idle() && Instant::now() < deadline {
            self.poll(Duration::from_millis(10))?;
        }
        let mut left = std::mem::take(&mut self.in_flight);
        left.extend(std::mem::take(&mut self.failed));
        let mut left: Vec<OutRecord> = left
            .into_values()
            .filter(|flight| flight.token.is_none())
            .map(|flight| flight.record)
            .collect();
        let retry = std::mem::take(&mut self.retry).into_iter();
        left.extend(retry.filter(|(token, _)| token.is_none()).map(|(_, record)| record));
        if self.spool.is_durable() && !left.is_empty() {
            self.spool.put_back(&left).map_err(PublishError::Spool)?;
            left.clear();
        }
        left.iter().for_each(|record| self.lose("drain", rows(record)));
        while !self.spool.is_durable()
            && let Some((_, record)) = self.spool.pop().map_err(PublishError::Spool)?
        {
            self.lose("drain", rows(&record));
        }
        Ok(())
    }
}

// === impl Flight ===

impl Flight {
    fn of(record: OutRecord, token: Option<u64>) -> Flight {
        let bytes = record.payload.as_ref().map_or(0, Bytes::len) + 512;
        let min_ms = number(&record, "min-ts").unwrap_or(record.timestamp_ms);
        Flight { token, min_ms, rows: rows(&record), bytes, record }
    }
}

fn number(record: &OutRecord, header: &str) -> Option<i64> {
    let value = record.headers.iter().find(|(name, _)| &**name == header).map(|(_, v)| v)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn rows(record: &OutRecord) -> u64 {
    number(record, "rows").and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0)
}

fn rename(record: &mut OutRecord, name: &str) {
    for (_, value) in record.headers.iter_mut().filter(|(header, _)| &**header == "name") {
        *value = Bytes::copy_from_slice(name.as_bytes());
    }
}
