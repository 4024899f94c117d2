//! From the log to the store: every topic that a page shows, committed records only, from where the
//! file ends or as far back as the retention reaches. A message that is not understood is counted
//! and passed over; an error of the log is waited out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bus::{BusConfig, Log, LogError, ReadEvent, Reader, Record};
use model::rows::{
    Action, Anomaly, Approval, Change, Device, Element, Event, Feedback, Incident, Interface,
    Metric, Signal,
};
use runtime::admin::Condition;
use runtime::shutdown::Shutdown;

use super::Store;
use super::disk::{Disk, DiskError, Offsets};
use super::row::Row;
use crate::config::StoreConfig;
use crate::metrics::{FAILURES, HELD, LABEL_REASON, LABEL_SUBJECT, ROWS};

/// What is read, and whether all of it or only the retention's part.
const TOPICS: [(&str, Past); 9] = [
    ("incidents.v1", Past::All),
    ("actions.v1", Past::All),
    ("approvals.v1", Past::All),
    ("topology.v1", Past::All),
    ("inventory.v1", Past::All),
    ("interfaces.v1", Past::All),
    ("evidence.v1", Past::Recent),
    ("signals.v1", Past::Recent),
    ("events.v1", Past::Recent),
];
const METRICS: (&str, Past) = ("metrics.v1", Past::Tail);

const POLL: Duration = Duration::from_millis(100);
/// Rows wait this long for others before the pages see them.
const GATHER: Duration = Duration::from_millis(50);
const GATHER_ROWS: usize = 5_000;
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Of metrics only the last values are kept: this much of them tells all that is alive.
const TAIL_MS: i64 = 120_000;

#[derive(Clone, Copy, PartialEq)]
enum Past {
    All,
    Recent,
    Tail,
}

struct Follower<'a> {
    log: &'a dyn Log,
    bus: &'a BusConfig,
    store: &'a Store,
    limits: &'a StoreConfig,
    disk: Option<&'a Disk>,
    now_ms: i64,
    /// Where each partition is read on.
    offsets: Offsets,
    rows: Vec<Row>,
    since: Instant,
    unsaved: bool,
    /// Partitions whose end was not seen yet.
    behind: BTreeSet<(String, u32)>,
}

/// Follows the log until the shutdown. `ready` is met when what was there at the start is read.
pub fn follow(
    log: &dyn Log,
    bus: &BusConfig,
    store: &Store,
    limits: &StoreConfig,
    now_ms: i64,
    ready: Option<&Condition>,
    shutdown: &Shutdown,
) -> Result<(), DiskError> {
    let disk = limits.path.as_deref().map(Disk::open).transpose()?;
    let offsets = match &disk {
        Some(disk) => store.change(|state| disk.load(state))?,
        None => Offsets::new(),
    };
    let mut follower = Follower {
        log,
        bus,
        store,
        limits,
        disk: disk.as_ref(),
        now_ms,
        offsets,
        rows: Vec::new(),
        since: Instant::now(),
        unsaved: false,
        behind: BTreeSet::new(),
    };
    while !shutdown.requested() {
        if let Err(error) = follower.read(ready, shutdown) {
            metrics::counter!(FAILURES, LABEL_REASON => "log").increment(1);
            tracing::warn!(%error, "the console cannot read the log, it tries again");
            shutdown.wait(AFTER_ERROR);
        }
    }
    follower.put();
    follower.save();
    Ok(())
}

// === impl Follower ===

impl Follower<'_> {
    fn read(&mut self, ready: Option<&Condition>, shutdown: &Shutdown) -> Result<(), LogError> {
        let mut reader = self.log.reader()?;
        let from = self.places(&mut *reader)?;
        self.behind = from.iter().map(|(topic, part, _)| (topic.clone(), *part)).collect();
        reader.assign(&from)?;
        let (mut saved, mut swept) = (Instant::now(), Instant::now());
        while !shutdown.requested() {
            match reader.poll(POLL)? {
                ReadEvent::Record(record) => self.record(&record),
                ReadEvent::End { topic, partition, next } => {
                    self.advance(&topic, partition, next);
                    self.behind.remove(&(topic.to_string(), partition));
                    if self.behind.is_empty() {
                        self.put();
                        ready.iter().for_each(|condition| condition.met());
                    }
                }
                ReadEvent::Idle => self.put(),
            }
            if self.since.elapsed() >= GATHER || self.rows.len() >= GATHER_ROWS {
                self.put();
            }
            if saved.elapsed() >= SAVE_EVERY {
                self.put();
                self.save();
                saved = Instant::now();
            }
            if swept.elapsed() >= SWEEP_EVERY {
                self.store.change(|state| state.sweep());
                swept = Instant::now();
            }
        }
        Ok(())
    }

    /// Every partition with the offset to read on from.
    fn places(&mut self, reader: &mut dyn Reader) -> Result<Vec<(String, u32, i64)>, LogError> {
        let retention_ms = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
        let mut places = Vec::new();
        for (name, past) in TOPICS.into_iter().chain([METRICS]) {
            let topic = self.bus.topic(name);
            let info = self.log.admin().describe(&topic)?;
            let info = info.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
            for partition in 0..info.partitions {
                let (start, end) = reader.range(&topic, partition)?;
                let since = |ms: i64| self.now_ms.saturating_sub(ms);
                let known = self.offsets.get(&(topic.clone(), partition));
                // A topic made again, or cut down, is read from its start.
                let known = known.filter(|(id, next)| *id == info.id && *next <= end);
                let from = match (known, past) {
                    (Some((_, next)), _) if *next >= start => *next,
                    (Some((_, next)), _) => {
                        let lost = usize::try_from(start - next).unwrap_or(0);
                        crate::metrics::dropped("messages", "gone from the log", lost);
                        start
                    }
                    (None, Past::All) => start,
                    (None, Past::Recent) => {
                        reader.offset_at(&topic, partition, since(retention_ms))?
                    }
                    (None, Past::Tail) => reader.offset_at(&topic, partition, since(TAIL_MS))?,
                };
                let from = from.clamp(start, end);
                self.offsets.insert((topic.clone(), partition), (info.id.clone(), from));
                places.push((topic.clone(), partition, from));
            }
        }
        Ok(places)
    }

    fn advance(&mut self, topic: &str, partition: u32, next: i64) {
        if let Some((_, at)) = self.offsets.get_mut(&(topic.to_owned(), partition)) {
            self.unsaved |= *at != next;
            *at = next;
        }
    }

    fn record(&mut self, record: &Record) {
        let short = record.topic.strip_prefix(self.bus.prefix.as_str()).unwrap_or_default();
        match rows(short, record, self.bus) {
            Ok(rows) => {
                if self.rows.is_empty() {
                    self.since = Instant::now();
                }
                if let Some(subject) = subject(short) {
                    metrics::counter!(ROWS, LABEL_SUBJECT => subject).increment(rows.len() as u64);
                }
                self.rows.extend(rows);
            }
            Err(reason) => {
                crate::metrics::dropped("messages", "unreadable", 1);
                let (topic, partition, offset) = (&*record.topic, record.partition, record.offset);
                tracing::debug!(topic, partition, offset, reason, "passed over");
            }
        }
        self.advance(&record.topic, record.partition, record.offset + 1);
    }

    fn put(&mut self) {
        if !self.rows.is_empty() {
            self.store.apply(std::mem::take(&mut self.rows));
        }
        self.since = Instant::now();
    }

    fn save(&mut self) {
        self.measure();
        let Some(disk) = self.disk.filter(|_| self.unsaved) else {
            return;
        };
        let dirty = self.store.change(|state| std::mem::take(&mut state.dirty));
        // What is not saved now is read again after a restart: its offsets are not saved either.
        match disk.save(&self.store.read(), &dirty, &self.offsets) {
            Ok(()) => self.unsaved = false,
            Err(error) => {
                metrics::counter!(FAILURES, LABEL_REASON => "file").increment(1);
                tracing::error!(%error, "cannot write the store's file");
            }
        }
    }

    fn measure(&self) {
        let state = self.store.read();
        let held: BTreeMap<&'static str, usize> = BTreeMap::from([
            ("incidents", state.incidents.len()),
            ("executions", state.executions.len()),
            ("series", state.series.len()),
            ("evidence", state.evidence.rows.len()),
            ("events", state.events.rows.len()),
            ("elements", state.elements.len()),
            ("interfaces", state.interfaces.len()),
            ("gauges", state.gauges.len()),
        ]);
        for (subject, rows) in held {
            metrics::gauge!(HELD, LABEL_SUBJECT => subject).set(rows as f64);
        }
    }
}

/// A label must be one of few words.
fn subject(topic: &str) -> Option<&'static str> {
    let all = TOPICS.iter().chain([&METRICS]);
    all.map(|(name, _)| *name).find(|name| *name == topic)
}

/// The rows of a message.
fn rows(topic: &str, record: &Record, bus: &BusConfig) -> Result<Vec<Row>, String> {
    if record.payload.is_none() {
        return Ok(tombstone(topic, record).into_iter().collect());
    }
    let (meta, batch) = bus::frame::read(record, &bus.limits).map_err(|e| e.to_string())?;
    if meta.is_heartbeat() {
        return Ok(Vec::new());
    }
    let schema = meta.schema.split('/').next().unwrap_or_default();
    decode(schema, &batch).map_err(|e| e.to_string())
}

fn decode(schema: &str, batch: &RecordBatch) -> Result<Vec<Row>, model::rows::RowError> {
    fn all<T>(rows: Vec<T>, row: impl Fn(T) -> Row) -> Vec<Row> {
        rows.into_iter().map(row).collect()
    }
    Ok(match schema {
        "incidents" => all(Incident::from_batch(batch)?, Row::Incident),
        "actions" => all(Action::from_batch(batch)?, Row::Action),
        "approvals" => all(Approval::from_batch(batch)?, Row::Approval),
        "topology" => all(Element::from_topology(batch)?, Row::Element),
        "inventory" => all(Device::from_batch(batch)?, Row::Device),
        "interfaces" => all(Interface::from_batch(batch)?, Row::Interface),
        "evidence.anomaly" => all(Anomaly::from_batch(batch)?, Row::Anomaly),
        "evidence.change" => all(Change::from_batch(batch)?, Row::Change),
        "evidence.feedback" => all(Feedback::from_batch(batch)?, Row::Feedback),
        "signals" => all(Signal::from_batch(batch)?, Row::Signal),
        "events" => all(Event::from_batch(batch)?, Row::Event),
        "metrics" => all(Metric::from_batch(batch)?, Row::Metric),
        // Topology on evidence is told again on its own topic; others' schemas are not ours.
        _ => Vec::new(),
    })
}

fn tombstone(topic: &str, record: &Record) -> Option<Row> {
    let key = record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok())?.to_owned();
    match topic {
        "inventory.v1" => Some(Row::DeviceGone(key)),
        "interfaces.v1" => Some(Row::InterfaceGone(key)),
        _ => None,
    }
}
