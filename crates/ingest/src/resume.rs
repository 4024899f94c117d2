//! What an earlier run of this instance left on the log and in the spool, read back at start: the
//! marks of its exporters, and what the messages behind each mark hold of their sequences. The rest
//! is what its end has lost; the ledger counts it when the exporter is heard again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bus::record::Headers;
use bus::{BusConfig, Log, LogError, Name, ReadEvent, Reader, Writer};

use crate::engine::marks::{self, Key, Mark, Units};
use crate::publish::{At, STAGE};

/// How far back on the log the last run is looked for, ms: a restart is a matter of seconds, and
/// what ended longer ago is a new beginning.
const LOOK_BACK_MS: [i64; 3] = [60_000, 600_000, 3_600_000];
/// A mark is at most this many intervals older than the last word of its run.
const INTERVALS: i64 = 3;

/// Where and how long to look.
pub struct Look<'a> {
    pub log: &'a dyn Log,
    pub bus: &'a BusConfig,
    pub instance: &'a str,
    /// The time at which this run begins.
    pub now: i64,
    pub interval_ms: i64,
    pub limit: Duration,
}

/// Marks and units of all earlier runs of an instance.
#[derive(Debug, Default)]
pub struct Earlier {
    /// With the name of the message and the frontier that it tells.
    marks: BTreeMap<Key, (At, At, Mark)>,
    units: BTreeMap<At, Vec<Units>>,
    /// Receive time of its last word.
    last_ms: Option<i64>,
}

// === impl Look ===

impl Look<'_> {
    /// The marks as they are owed now. `spooled` is what will be sent again.
    pub fn marks(&self, spooled: Vec<(At, Headers)>) -> Result<Vec<Mark>, LogError> {
        let deadline = Instant::now() + self.limit;
        let mut reader = self.log.reader()?;
        let mut earlier = Earlier::default();
        let mut whole = self.find_marks(reader.as_mut(), deadline, &mut earlier)?;
        for (at, headers) in &spooled {
            earlier.take(*at, headers);
        }
        if let Some(frontier) = earlier.frontier() {
            whole &= self.find_units(reader.as_mut(), deadline, frontier, &mut earlier)?;
        }
        if !whole {
            tracing::warn!("the end of the run before was not read in time: its loss is not known");
        }
        Ok(earlier.settle(whole))
    }

    /// Back until the run before is found, and as far as its last marks may be.
    fn find_marks(
        &self,
        reader: &mut dyn Reader,
        deadline: Instant,
        earlier: &mut Earlier,
    ) -> Result<bool, LogError> {
        let topic = self.bus.topic("metrics.v1");
        for back in LOOK_BACK_MS {
            let from = self.from(reader, &topic, self.now - back)?;
            let whole = read(reader, &from, deadline, |record| {
                if let Some(at) = self.own(&record.headers) {
                    earlier.last_ms = earlier.last_ms.max(Some(record.timestamp_ms));
                    earlier.take(at, &record.headers);
                }
            })?;
            let needed = earlier.last_ms.map(|last| last - INTERVALS * self.interval_ms);
            if !whole || needed.is_some_and(|needed| needed >= self.now - back) {
                return Ok(whole);
            }
        }
        Ok(true)
    }

    /// Back until each partition has shown a message before the frontier, or its beginning.
    fn find_units(
        &self,
        reader: &mut dyn Reader,
        deadline: Instant,
        frontier: At,
        earlier: &mut Earlier,
    ) -> Result<bool, LogError> {
        let topic = self.bus.topic("flows.v1");
        let last = earlier.last_ms.unwrap_or(self.now);
        for back in LOOK_BACK_MS {
            let from = self.from(reader, &topic, last - back)?;
            let mut open: BTreeSet<u32> = BTreeSet::new();
            for (topic, partition, offset) in &from {
                if *offset > reader.range(topic, *partition)?.0 {
                    open.insert(*partition);
                }
            }
            let whole = read(reader, &from, deadline, |record| match self.own(&record.headers) {
                Some(at) if at >= frontier => earlier.take(at, &record.headers),
                Some(_) => _ = open.remove(&record.partition),
                None => {}
            })?;
            if !whole || open.is_empty() {
                return Ok(whole);
            }
        }
        Ok(false)
    }

    fn from(
        &self,
        reader: &mut dyn Reader,
        topic: &str,
        since_ms: i64,
    ) -> Result<Vec<(String, u32, i64)>, LogError> {
        let partitions = self.log.admin().describe(topic)?.map_or(0, |info| info.partitions);
        let mut from = Vec::new();
        for partition in 0..partitions {
            let offset = reader.offset_at(topic, partition, since_ms)?;
            from.push((topic.to_owned(), partition, offset));
        }
        Ok(from)
    }

    /// The name of a message of this instance.
    fn own(&self, headers: &Headers) -> Option<At> {
        at(headers, self.instance)
    }
}

/// The name of a message of an instance of ingest, if it is one.
pub fn at(headers: &Headers, of: &str) -> Option<At> {
    let name: Name = header(headers, "name")?.parse().ok()?;
    match name.writer {
        Writer::Instance { stage, instance, epoch } if stage == STAGE && instance == of => {
            Some((epoch, name.offset))
        }
        _ => None,
    }
}

pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let value = headers.iter().find(|(header, _)| &**header == name).map(|(_, value)| value)?;
    std::str::from_utf8(value).ok()
}

/// Reads each partition to the end that it has now; false where `deadline` came first.
fn read(
    reader: &mut dyn Reader,
    from: &[(String, u32, i64)],
    deadline: Instant,
    mut each: impl FnMut(&bus::Record),
) -> Result<bool, LogError> {
    let mut open: BTreeSet<u32> = BTreeSet::new();
    let mut some = Vec::new();
    for (topic, partition, offset) in from {
        if *offset < reader.range(topic, *partition)?.1 {
            open.insert(*partition);
            some.push((topic.clone(), *partition, *offset));
        }
    }
    if some.is_empty() {
        return Ok(true);
    }
    reader.assign(&some)?;
    while !open.is_empty() && Instant::now() < deadline {
        match reader.poll(Duration::from_millis(100))? {
            ReadEvent::Record(record) => each(&record),
            ReadEvent::End { partition, .. } => {
                open.remove(&partition);
            }
            ReadEvent::Idle => {}
        }
    }
    Ok(open.is_empty())
}

// === impl Earlier ===

impl Earlier {
    fn take(&mut self, at: At, headers: &Headers) {
        if let Some(text) = header(headers, "units") {
            self.units.insert(at, marks::read_units(text));
        }
        let Some((frontier, text)) = header(headers, "ledger").and_then(|t| t.split_once(';'))
        else {
            return;
        };
        let Some(frontier) = read_at(frontier) else {
            return;
        };
        for mark in marks::read_marks(text) {
            let known = self.marks.get(&mark.key).map(|(at, ..)| *at);
            if known.is_none_or(|known| known <= at) {
                self.marks.insert(mark.key, (at, frontier, mark));
            }
        }
    }

    /// The earliest frontier of all marks.
    fn frontier(&self) -> Option<At> {
        self.marks.values().map(|(_, frontier, _)| *frontier).min()
    }

    /// What is on the log behind a mark is not owed. Where not all was read nothing is told.
    fn settle(mut self, whole: bool) -> Vec<Mark> {
        for (at, all) in &self.units {
            for units in all {
                if let Some((_, frontier, mark)) = self.marks.get_mut(&units.key)
                    && let Some(place) = mark.place.as_mut().filter(|_| at >= frontier)
                {
                    place.owed -= units.of(place.convention);
                }
            }
        }
        let known = |mark: Mark| Mark { place: mark.place.filter(|_| whole), ..mark };
        self.marks.into_values().map(|(_, _, mark)| known(mark)).collect()
    }
}

/// The header `ledger` of marks: the frontier, and behind it the marks.
pub fn ledger_text((epoch, sequence): At, marks: &[Mark]) -> String {
    format!("{epoch}/{sequence};{}", marks::marks_text(marks))
}

fn read_at(text: &str) -> Option<At> {
    let (epoch, sequence) = text.split_once('/')?;
    Some((epoch.parse().ok()?, sequence.parse().ok()?))
}
