//! Batches to the log: framed, named, sent in order, counted as stored when the log says so, and
//! kept in the spool while the log is away. Order matters: a reader drops what is not newer than
//! what it has of a writer, so nothing overtakes a message that has to be sent again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bus::config::LimitsConfig;
use bus::{
    BusConfig, Delivery, Headers, Log, LogError, Meta, Name, OutRecord, Outgoing, Producer, Time,
    Where, Writer, frame, heartbeat,
};
use bytes::Bytes;
use metrics::{counter, gauge};
use model::schema::TopicSchema;

use crate::config::IngestConfig;
use crate::engine::marks::{Mark, Units, units_text};
use crate::metrics as names;
use crate::resume;

mod pending;
mod spool;

pub use pending::{At, Pending};
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
    /// Its name, where it holds a part of exporters' sequences.
    at: Option<At>,
}

/// What a message says in a header beside its rows, for the next run of this instance.
#[derive(Debug)]
pub enum Aside {
    Nothing,
    /// What it holds of exporters' sequences.
    Units(Vec<Units>),
    /// Where exporters' sequences stand; the rows are of one partition.
    Marks(Vec<Mark>),
}

/// Rows on their way to a topic.
#[derive(Debug)]
pub struct Rows {
    pub topic: &'static str,
    pub schema: &'static TopicSchema,
    pub batch: RecordBatch,
    pub time: Time,
    /// Nothing older than it comes after this batch.
    pub wm_ms: i64,
    pub aside: Aside,
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
    instance: String,
    epoch: u64,
    label: String,
    sequence: i64,
    pending: Pending,
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
const TOPICS: [&str; 6] =
    ["flows.v1", "metrics.v1", "events.v1", "templates.v1", "interfaces.v1", "flows.v1.dlq"];
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
        let directory = config.spool.path.as_ref().map(|path| path.join(instance));
        let spool = Spool::open(directory.as_deref(), config.spool.bytes_max);
        Ok(Publisher {
            producer: log.producer(STAGE, instance)?,
            topics,
            limits: bus.limits.clone(),
            instance: instance.to_owned(),
            epoch,
            label: format!("{STAGE}/{instance}/{}", env!("CARGO_PKG_VERSION")),
            sequence: 0,
            pending: Pending::default(),
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
        let (stage, instance, epoch) = (STAGE.to_owned(), self.instance.clone(), self.epoch);
        let writer = Writer::Instance { stage, instance, epoch };
        Name { writer, offset: self.sequence, index: 0 }
    }

    /// Names and headers of what an earlier run left in the spool: it will be sent, so it is looked
    /// after from now on.
    pub fn spooled(&mut self) -> Result<Vec<(At, Headers)>, PublishError> {
        let mut found = Vec::new();
        let (instance, pending) = (&self.instance, &mut self.pending);
        let each = |record: OutRecord| {
            let Some(at) = resume::at(&record.headers, instance) else {
                return;
            };
            if let Some(units) = resume::header(&record.headers, "units") {
                pending.sent(at, crate::engine::marks::read_units(units));
            }
            found.push((at, record.headers));
        };
        self.spool.each(each).map_err(PublishError::Spool)?;
        Ok(found)
    }

    /// Partitions of a topic.
    pub fn partitions(&self, topic: &str) -> u32 {
        self.topics.get(topic).map_or(1, |topic| topic.partitions)
    }

    /// Marks with what of their sequences is on its way, as a header.
    fn ledger(&self, mut marks: Vec<Mark>) -> String {
        let owed = self.pending.owed();
        for mark in &mut marks {
            if let (Some(place), Some(owed)) = (&mut mark.place, owed.get(&mark.key)) {
                place.owed += owed.of(place.convention);
            }
        }
        let next = (self.epoch, self.sequence + 1);
        resume::ledger_text(self.pending.frontier().unwrap_or(next), &marks)
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

    /// Rows of one topic.
    pub fn rows(&mut self, rows: Rows) -> Result<(), PublishError> {
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        let to = match rows.schema.partition_by.as_str() {
            "spread" => Where::Spread(self.sequence as u64),
            column => Where::ByColumn(column.to_owned()),
        };
        self.frame(rows, to, None)
    }

    /// One element of a compacted topic.
    pub fn element(
        &mut self,
        topic: &'static str,
        schema: &'static TopicSchema,
        batch: RecordBatch,
        key: &str,
        time_ms: i64,
    ) -> Result<(), PublishError> {
        let to = Where::ByColumn(schema.partition_by.clone());
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        let (time, aside) = (Time::At(time_ms), Aside::Nothing);
        self.frame(Rows { topic, schema, batch, time, wm_ms: time_ms, aside }, to, key)
    }

    fn frame(&mut self, rows: Rows, to: Where, key: Option<Bytes>) -> Result<(), PublishError> {
        let Some(Topic { name, partitions }) = self.topics.get(rows.topic).cloned() else {
            return Ok(());
        };
        let Rows { schema, batch, time, wm_ms, aside, .. } = rows;
        let meta = self.meta(schema, wm_ms);
        let outgoing = Outgoing { topic: name, to, batch, key, time, meta };
        let mut framed = frame(outgoing, partitions, &self.limits)?;
        for refused in framed.refused {
            self.lose("too_large", refused.row.num_rows() as u64);
        }
        // The last of a batch that was split comes last on its partition: the whole is there.
        if let Some(last) = framed.records.last_mut() {
            self.say_aside(last, aside);
        }
        framed.records.into_iter().try_for_each(|record| self.send(record))
    }

    /// Puts beside a message, named by the sequence as it stands, what the next run must know.
    fn say_aside(&mut self, record: &mut OutRecord, aside: Aside) {
        let (header, text) = match aside {
            Aside::Nothing => return,
            Aside::Units(units) if units.is_empty() => return,
            Aside::Units(units) => {
                let text = units_text(&units);
                self.pending.sent((self.epoch, self.sequence), units);
                ("units", text)
            }
            Aside::Marks(marks) => ("ledger", self.ledger(marks)),
        };
        record.headers.push((Arc::from(header), Bytes::from(text)));
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

    /// Not while older messages wait: a heartbeat would overtake them.
    pub fn may_beat(&self) -> bool {
        !self.is_behind() && !self.is_stalled()
    }

    /// Says to every partition that nothing older than `wm_ms` will come.
    /// `units` are those that no message of rows holds.
    pub fn heartbeats(&mut self, wm_ms: i64, units: Vec<Units>) -> Result<(), PublishError> {
        let mut aside = Aside::Units(units);
        for topic in HEARTBEATS {
            let Some(Topic { name, partitions }) = self.topics.get(topic).cloned() else {
                continue;
            };
            for partition in 0..partitions {
                let output = self.next_name();
                let label = self.label.clone();
                let mut beat = heartbeat(&name, partition, wm_ms, output, &label, Vec::new());
                self.say_aside(&mut beat, std::mem::replace(&mut aside, Aside::Nothing));
                self.send(beat)?;
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
        let at = self.sequenced(&record);
        let flight = Flight::of(record, token, at);
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

    /// The name of a message that holds a part of exporters' sequences.
    fn sequenced(&self, record: &OutRecord) -> Option<At> {
        resume::header(&record.headers, "units")?;
        resume::at(&record.headers, &self.instance)
    }

    fn keep(&mut self, record: &OutRecord) -> Result<(), PublishError> {
        self.stored.spooled += 1;
        match self.spool.push(record).map_err(PublishError::Spool)? {
            Pushed::Kept => {}
            Pushed::Full => {
                self.lose("spool_full", rows(record));
                if let Some(at) = self.sequenced(record) {
                    self.pending.lost(at);
                }
            }
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
        if let Some(at) = flight.at {
            self.pending.delivered(at);
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
                let name = self.next_name();
                rename(&mut flight.record, &name.to_string());
                if let Some(at) = flight.at {
                    self.pending.renamed(at, (self.epoch, name.offset));
                }
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
    /// is lost where that is in memory. Says whether all is on the log.
    pub fn drain(&mut self, deadline: Instant) -> Result<bool, PublishError> {
        while !self.is_idle() && Instant::now() < deadline {
            self.poll(Duration::from_millis(10))?;
        }
        let is_whole = self.is_idle();
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
        Ok(is_whole)
    }
}

// === impl Flight ===

impl Flight {
    fn of(record: OutRecord, token: Option<u64>, at: Option<At>) -> Flight {
        let bytes = record.payload.as_ref().map_or(0, Bytes::len) + 512;
        let min_ms = number(&record, "min-ts").unwrap_or(record.timestamp_ms);
        Flight { token, min_ms, rows: rows(&record), bytes, record, at }
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
