//! What one run of ingest leaves on the log for the next, so that what a crash lost is counted and
//! not forgotten (DESIGN §4). A *mark* says where an exporter's sequence stood at the end of a
//! ledger interval and rides with that interval's rows: the losses told by the rows and the place
//! to go on from stand on the log together or not at all. *Units* say how much of a sequence a
//! message of flows holds. What was sent since a mark, less what the messages behind it hold, is
//! what was lost. Both are headers of text, and bounded: a mark a domain and interval, units a
//! domain and message.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use super::ledger::{Convention, Unit};

/// Distinct places in line before they are put together.
const GATHERED_MAX: usize = 4_096;

/// An observation domain of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub exporter: [u8; 16],
    pub version: u8,
    pub domain: u32,
}

/// So much of a domain is held by a message, in whatever its exporter may count: how it does is
/// known only after some datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    pub key: Key,
    pub records: u32,
    pub flows: u32,
    pub packets: u32,
}

/// Where the sequence of a domain stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub key: Key,
    /// `None` while the exporter's way of counting is not known for sure: only that it speaks is.
    pub place: Option<Place>,
    /// The device's sysUpTime as last heard.
    pub uptime: Option<u32>,
    /// Receive time of its exporter's last datagram.
    pub heard: i64,
}

/// What is needed to go on counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub convention: Convention,
    /// The number that comes next.
    pub expected: u32,
    /// Units before `expected` that were neither known to be on the log nor told as lost. Below
    /// zero: so many behind it are on the log.
    pub owed: i64,
}

/// Units in the order in which they were decoded.
#[derive(Debug, Default)]
pub struct Gathered {
    entries: Vec<Units>,
}

// === impl Gathered ===

impl Gathered {
    pub fn add(&mut self, more: Units) {
        match self.entries.last_mut() {
            Some(last) if last.key == more.key => last.add(&more),
            _ => self.entries.push(more),
        }
        if self.entries.len() >= GATHERED_MAX {
            self.entries = self.take();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Units> {
        self.entries.iter()
    }

    /// One entry a domain, in their order.
    pub fn take(&mut self) -> Vec<Units> {
        sums(&std::mem::take(&mut self.entries)).into_values().collect()
    }
}

/// Sums by domain.
pub fn sums<'a>(all: impl IntoIterator<Item = &'a Units>) -> BTreeMap<Key, Units> {
    let mut sums: BTreeMap<Key, Units> = BTreeMap::new();
    for units in all {
        sums.entry(units.key).and_modify(|sum| sum.add(units)).or_insert(*units);
    }
    sums
}

// === impl Units ===

impl Units {
    fn add(&mut self, more: &Units) {
        self.records = self.records.saturating_add(more.records);
        self.flows = self.flows.saturating_add(more.flows);
        self.packets = self.packets.saturating_add(more.packets);
    }

    /// What it is of the sequence of an exporter that counts so.
    pub fn of(&self, convention: Convention) -> i64 {
        i64::from(match convention.unit {
            Unit::Records => self.records,
            Unit::Flows => self.flows,
            Unit::Packets => self.packets,
        })
    }
}

/// The header `units`: `address,version,domain,records,flows,packets` of each domain, with `;`
/// between.
pub fn units_text(all: &[Units]) -> String {
    let one = |u: &Units| format!("{},{},{},{}", key_text(&u.key), u.records, u.flows, u.packets);
    all.iter().map(one).collect::<Vec<_>>().join(";")
}

/// Those of a header that can be read.
pub fn read_units(text: &str) -> Vec<Units> {
    let one = |text: &str| {
        let mut fields = text.split(',');
        let key = read_key(&mut fields)?;
        let (records, flows) = (next(&mut fields)?, next(&mut fields)?);
        Some(Units { key, records, flows, packets: next(&mut fields)? })
    };
    text.split(';').filter_map(one).collect()
}

// === impl Mark ===

/// Marks as they stand in the header `ledger`:
/// `address,version,domain,way,expected,owed,uptime,heard` of each domain, `-` for what is not
/// known, with `;` between.
pub fn marks_text(marks: &[Mark]) -> String {
    let optional = |value: Option<u32>| value.map_or("-".to_owned(), |value| value.to_string());
    let one = |mark: &Mark| {
        let place = mark.place.map_or("-,-,-".to_owned(), |place| {
            format!("{},{},{}", place.convention.code(), place.expected, place.owed)
        });
        format!("{},{place},{},{}", key_text(&mark.key), optional(mark.uptime), mark.heard)
    };
    marks.iter().map(one).collect::<Vec<_>>().join(";")
}

/// Those of a header that can be read.
pub fn read_marks(text: &str) -> Vec<Mark> {
    text.split(';').filter_map(read_mark).collect()
}

fn read_mark(text: &str) -> Option<Mark> {
    let mut fields = text.split(',');
    let key = read_key(&mut fields)?;
    let (way, expected, owed) = (fields.next()?, fields.next()?, fields.next()?);
    let place = match way {
        "-" => None,
        code => Some(Place {
            convention: Convention::of_code(code)?,
            expected: expected.parse().ok()?,
            owed: owed.parse().ok()?,
        }),
    };
    let uptime = match fields.next()? {
        "-" => None,
        uptime => Some(uptime.parse().ok()?),
    };
    Some(Mark { key, place, uptime, heard: next(&mut fields)? })
}

fn key_text(key: &Key) -> String {
    let exporter = model::addr::to_ip(&key.exporter).unwrap_or(IpAddr::from(key.exporter));
    format!("{exporter},{},{}", key.version, key.domain)
}

fn read_key<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<Key> {
    let exporter = model::addr::mapped(next(fields)?);
    Some(Key { exporter, version: next(fields)?, domain: next(fields)? })
}

fn next<'a, T: FromStr>(fields: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    fields.next()?.parse().ok()
}
