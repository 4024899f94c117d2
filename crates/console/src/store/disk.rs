//! The store's file: documents, points, rings and the offsets that they came from, changed in one
//! transaction. What is in it is a copy of what the log says: a file of another format, or one that
//! cannot be read, is begun anew.

use std::collections::BTreeMap;
use std::path::Path;

use model::rows::{Anomaly, Event};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::row::{Execution, IncidentDoc, Point, Series, SeriesKey};
use super::state::{Dirty, Kind, State};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const OFFSETS: TableDefinition<(&str, u32), (&str, i64)> = TableDefinition::new("offsets");
const DOCUMENTS: TableDefinition<(u8, &str), &[u8]> = TableDefinition::new("documents");
const SERIES: TableDefinition<u32, &[u8]> = TableDefinition::new("series");
const POINTS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("points");
const EVIDENCE: TableDefinition<u64, &[u8]> = TableDefinition::new("evidence");
const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");

/// One more with each change of a row's layout on disk, those of `model::rows` included.
const FORMAT: u64 = 1;
/// Of the store's pages: rows are in memory already.
const CACHE_BYTES: usize = 4 << 20;

/// Where each partition is read on: the topic's id and the next offset, by topic and partition.
pub type Offsets = BTreeMap<(String, u32), (String, i64)>;

pub struct Disk {
    db: Database,
}

type EventRow = (
    String,
    i64,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<u8>,
    Option<i64>,
    Option<String>,
);

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("the console's store: {0}")]
    Store(#[from] redb::Error),
    #[error("the console's store: {0}")]
    Encoding(#[from] postcard::Error),
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for DiskError {
            fn from(error: redb::$error) -> DiskError {
                DiskError::Store(error.into())
            }
        }
    )*};
}

from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

// === impl Disk ===

impl Disk {
    pub fn open(path: &Path) -> Result<Disk, DiskError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let db = builder.create(path)?;
        let disk = Disk { db };
        disk.prepare()?;
        Ok(disk)
    }

    fn prepare(&self) -> Result<(), DiskError> {
        let txn = self.db.begin_write()?;
        let format = txn.open_table(META)?.get("format")?.map(|format| format.value());
        if format != Some(FORMAT) {
            for name in ["offsets", "documents", "series", "points", "evidence", "events"] {
                // Whatever its types were.
                let table: TableDefinition<&str, &[u8]> = TableDefinition::new(name);
                txn.delete_table(table).or_else(absent)?;
            }
            txn.open_table(META)?.insert("format", FORMAT)?;
        }
        txn.open_table(OFFSETS)?;
        txn.open_table(DOCUMENTS)?;
        txn.open_table(SERIES)?;
        txn.open_table(POINTS)?;
        txn.open_table(EVIDENCE)?;
        txn.open_table(EVENTS)?;
        Ok(txn.commit()?)
    }

    /// Puts into `state` what is here; where to read on.
    pub fn load(&self, state: &mut State) -> Result<Offsets, DiskError> {
        let txn = self.db.begin_read()?;
        for row in txn.open_table(DOCUMENTS)?.iter()? {
            let (key, bytes) = row?;
            let (kind, key) = key.value();
            load_document(state, kind, key, bytes.value())?;
        }
        let mut numbered: BTreeMap<u32, SeriesKey> = BTreeMap::new();
        for row in txn.open_table(SERIES)?.iter()? {
            let (number, bytes) = row?;
            let number = number.value();
            let (key, domain, rule_fp): (SeriesKey, String, String) = decode(bytes.value())?;
            let series = Series { number, domain, rule_fp, ..Series::default() };
            state.series_next = state.series_next.max(number + 1);
            state.series.insert(key.clone(), series);
            numbered.insert(number, key);
        }
        for row in txn.open_table(POINTS)?.iter()? {
            let (place, bytes) = row?;
            let (number, at) = place.value();
            let known = numbered.get(&number).and_then(|key| state.series.get_mut(key));
            if let Some(series) = known {
                let point: Point = decode(bytes.value())?;
                if series.points.is_empty() {
                    series.first = at;
                }
                state.latest_ms = state.latest_ms.max(point.end_ms);
                series.points.push_back(point);
            }
        }
        for row in txn.open_table(EVIDENCE)?.iter()? {
            let (at, bytes) = row?;
            let anomaly: Anomaly = decode(bytes.value())?;
            if state.evidence.rows.is_empty() {
                state.evidence.first = at.value();
            }
            state.latest_ms = state.latest_ms.max(anomaly.time_ms);
            state.evidence.rows.push_back(anomaly);
        }
        for row in txn.open_table(EVENTS)?.iter()? {
            let (at, bytes) = row?;
            if state.events.rows.is_empty() {
                state.events.first = at.value();
            }
            state.events.rows.push_back(event_of(decode(bytes.value())?));
        }
        let mut offsets = Offsets::new();
        for row in txn.open_table(OFFSETS)?.iter()? {
            let (place, value) = row?;
            let ((topic, partition), (id, next)) = (place.value(), value.value());
            offsets.insert((topic.to_owned(), partition), (id.to_owned(), next));
        }
        Ok(offsets)
    }

    /// One transaction: what changed, and the offsets that it came from.
    pub fn save(&self, state: &State, dirty: &Dirty, offsets: &Offsets) -> Result<(), DiskError> {
        let mut txn = self.db.begin_write()?;
        // It refuses only where savepoints are used, and none is.
        let _ = txn.set_durability(Durability::Immediate);
        save_documents(&txn, state, dirty)?;
        save_series(&txn, state, dirty)?;
        save_rings(&txn, state, dirty)?;
        let mut table = txn.open_table(OFFSETS)?;
        for ((topic, partition), (id, next)) in offsets {
            table.insert((topic.as_str(), *partition), (id.as_str(), *next))?;
        }
        drop(table);
        Ok(txn.commit()?)
    }
}

fn absent(error: TableError) -> Result<bool, TableError> {
    match error {
        TableError::TableDoesNotExist(_) => Ok(false),
        other => Err(other),
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DiskError> {
    Ok(postcard::to_stdvec(value)?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DiskError> {
    Ok(postcard::from_bytes(bytes)?)
}

fn load_document(state: &mut State, kind: u8, key: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let key = key.to_owned();
    match kind {
        k if k == Kind::Incident as u8 => {
            let doc: IncidentDoc = decode(bytes)?;
            state.latest_ms = state.latest_ms.max(doc.incident.updated_ms);
            state.incidents.insert(key, doc);
        }
        k if k == Kind::Execution as u8 => {
            let execution: Execution = decode(bytes)?;
            let of_steps = execution.steps.first().map(|step| step.incident.clone());
            let incident =
                of_steps.or_else(|| execution.approvals.first().map(|a| a.incident.clone()));
            if let Some(incident) = incident {
                state.link(&incident, &key);
            }
            state.executions.insert(key, execution);
        }
        k if k == Kind::Element as u8 => {
            state.elements.insert(key, decode(bytes)?);
        }
        k if k == Kind::Device as u8 => {
            state.devices.insert(key, decode(bytes)?);
        }
        k if k == Kind::Interface as u8 => {
            state.interfaces.insert(key, decode(bytes)?);
        }
        _ => {}
    }
    Ok(())
}

fn save_documents(txn: &WriteTransaction, state: &State, dirty: &Dirty) -> Result<(), DiskError> {
    let mut table = txn.open_table(DOCUMENTS)?;
    for (kind, key) in &dirty.documents {
        let bytes = match kind {
            Kind::Incident => state.incidents.get(key).map(encode),
            Kind::Execution => state.executions.get(key).map(encode),
            Kind::Element => state.elements.get(key).map(encode),
            Kind::Device => state.devices.get(key).map(encode),
            Kind::Interface => state.interfaces.get(key).map(encode),
        };
        let place = (*kind as u8, key.as_str());
        match bytes.transpose()? {
            Some(bytes) => drop(table.insert(place, bytes.as_slice())?),
            None => drop(table.remove(place)?),
        }
    }
    Ok(())
}

fn save_series(txn: &WriteTransaction, state: &State, dirty: &Dirty) -> Result<(), DiskError> {
    let mut series = txn.open_table(SERIES)?;
    let mut points = txn.open_table(POINTS)?;
    for key in &dirty.series {
        if let Some(found) = state.series.get(key) {
            let bytes = encode(&(key, &found.domain, &found.rule_fp))?;
            series.insert(found.number, bytes.as_slice())?;
        }
    }
    for (number, at, point) in &dirty.points {
        points.insert((*number, *at), encode(point)?.as_slice())?;
    }
    for (number, first) in &dirty.points_gone {
        points.retain_in((*number, 0)..(*number, *first), |_, _| false)?;
    }
    for (_, number) in &dirty.series_gone {
        series.remove(*number)?;
        points.retain_in((*number, 0)..=(*number, u64::MAX), |_, _| false)?;
    }
    Ok(())
}

fn save_rings(txn: &WriteTransaction, state: &State, dirty: &Dirty) -> Result<(), DiskError> {
    if let Some(from) = dirty.evidence_from {
        let mut table = txn.open_table(EVIDENCE)?;
        let ring = &state.evidence;
        table.retain_in(0..ring.first, |_, _| false)?;
        for at in from.max(ring.first)..ring.end() {
            let row = &ring.rows[(at - ring.first) as usize];
            table.insert(at, encode(row)?.as_slice())?;
        }
    }
    if let Some(from) = dirty.events_from {
        let mut table = txn.open_table(EVENTS)?;
        let ring = &state.events;
        table.retain_in(0..ring.first, |_, _| false)?;
        for at in from.max(ring.first)..ring.end() {
            let row = event_row(&ring.rows[(at - ring.first) as usize]);
            table.insert(at, encode(&row)?.as_slice())?;
        }
    }
    Ok(())
}

fn event_row(event: &Event) -> EventRow {
    let event = event.clone();
    (
        event.domain,
        event.received_ms,
        event.device,
        event.entity,
        event.kind,
        event.state,
        event.severity,
        event.device_time_ms,
        event.text,
    )
}

fn event_of(row: EventRow) -> Event {
    let (domain, received_ms, device, entity, kind, state, severity, device_time_ms, text) = row;
    Event { domain, received_ms, device, entity, kind, state, severity, device_time_ms, text }
}
