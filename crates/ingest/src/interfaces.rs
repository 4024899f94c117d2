//! Which interface an exporter's ifIndex is, and from when: what polling found, for flows to be
//! joined with as of their time. A number may mean another interface after a device has started
//! anew, so each keeps its last few meanings. All instances read all of `interfaces`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use metrics::{counter, gauge};
use model::rows::Interface;

use crate::metrics as names;

/// Meanings of one ifIndex that are kept: flows are joined within seconds of their time.
const MEANINGS_MAX: usize = 4;

/// A shared table of interfaces. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Interfaces(Arc<RwLock<Table>>);

/// What a flow is told of an interface.
#[derive(Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub speed_bps: Option<u64>,
}

/// Interfaces by address and number.
#[derive(Debug)]
pub struct Table {
    interfaces_max: usize,
    /// By record key.
    rows: BTreeMap<String, Interface>,
    exporters: HashMap<[u8; 16], Ports>,
}

/// The interfaces of one exporter, by ifIndex.
#[derive(Debug, Default)]
pub struct Ports(HashMap<u32, Vec<Meaning>>);

/// What a number means from a time on; nothing where its interface is another number then.
#[derive(Debug)]
struct Meaning {
    from_ms: i64,
    port: Option<Arc<Port>>,
}

/// A meaning and the times within which it holds: from, and not any more from.
#[derive(Debug, PartialEq)]
pub struct Found<'a> {
    pub port: Option<&'a Port>,
    pub from_ms: i64,
    pub until_ms: i64,
}

// === impl Interfaces ===

impl Interfaces {
    /// At most `interfaces_max` of them; more are counted and not known.
    pub fn new(interfaces_max: usize) -> Interfaces {
        let (rows, exporters) = (BTreeMap::new(), HashMap::new());
        Interfaces(Arc::new(RwLock::new(Table { interfaces_max, rows, exporters })))
    }

    pub fn put(&self, row: Interface) {
        self.write().put(row);
    }

    pub fn remove(&self, key: &str, now_ms: i64) {
        self.write().remove(key, now_ms);
    }

    /// What is known of a device's interfaces.
    pub fn of_device(&self, domain: &str, device: &str) -> Vec<Interface> {
        let prefix = format!("{domain}/{device}/");
        let table = self.read();
        let behind = table.rows.range(prefix.clone()..);
        let here = behind.take_while(|(key, _)| key.starts_with(&prefix));
        // A name may itself have a slash: another device's key may begin alike.
        here.map(|(_, row)| row).filter(|row| row.device == device).cloned().collect()
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Table ===

impl Table {
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty()
    }

    pub fn ports(&self, exporter: &[u8]) -> Option<&Ports> {
        self.exporters.get(exporter)
    }

    fn put(&mut self, row: Interface) {
        let key = row.record_key();
        let before = self.rows.get(&key);
        if before == Some(&row) {
            return;
        }
        if before.is_none() && self.rows.len() >= self.interfaces_max {
            counter!(names::INTERFACES_REFUSED).increment(1);
            return;
        }
        let place = place_of(&row);
        let was = before.and_then(place_of);
        // The number is the same and its words have changed: they hold from now on.
        let from_ms = if was == place && was.is_some() { row.received_ms } else { row.from_ms };
        if was != place {
            self.end(was, &row.name, row.from_ms);
        }
        if let Some((exporter, if_index)) = place {
            let port = Arc::new(Port { name: row.name.clone(), speed_bps: row.speed_bps });
            let ports = self.exporters.entry(exporter).or_default();
            ports.mean(if_index, from_ms, Some(port));
        }
        self.rows.insert(key, row);
        gauge!(names::INTERFACES).set(self.rows.len() as f64);
    }

    fn remove(&mut self, key: &str, now_ms: i64) {
        let Some(row) = self.rows.remove(key) else {
            return;
        };
        self.end(place_of(&row), &row.name, now_ms);
        gauge!(names::INTERFACES).set(self.rows.len() as f64);
    }

    /// A number that was `name` means nothing from now on, unless it means another already.
    fn end(&mut self, place: Option<([u8; 16], u32)>, name: &str, from_ms: i64) {
        let Some((exporter, if_index)) = place else {
            return;
        };
        let Some(ports) = self.exporters.get_mut(&exporter) else {
            return;
        };
        let last = ports.0.get(&if_index).and_then(|meanings| meanings.last());
        let port = last.and_then(|meaning| meaning.port.as_ref());
        if port.is_some_and(|port| port.name == name) {
            ports.mean(if_index, from_ms, None);
        }
    }
}

/// How flows name an interface.
fn place_of(row: &Interface) -> Option<([u8; 16], u32)> {
    let address: IpAddr = row.address.as_deref()?.parse().ok()?;
    Some((model::addr::mapped(address.to_canonical()), row.if_index))
}

// === impl Ports ===

impl Ports {
    fn mean(&mut self, if_index: u32, from_ms: i64, port: Option<Arc<Port>>) {
        let meanings = self.0.entry(if_index).or_default();
        // What was to hold from later on never did.
        meanings.retain(|meaning| meaning.from_ms < from_ms);
        meanings.push(Meaning { from_ms, port });
        if meanings.len() > MEANINGS_MAX {
            meanings.remove(0);
        }
    }

    /// What a number meant at a time.
    pub fn at(&self, if_index: u32, time_ms: i64) -> Found<'_> {
        let meanings = self.0.get(&if_index).map(Vec::as_slice).unwrap_or_default();
        let behind = meanings.partition_point(|meaning| meaning.from_ms <= time_ms);
        let until_ms = meanings.get(behind).map_or(i64::MAX, |meaning| meaning.from_ms);
        match behind.checked_sub(1).and_then(|at| meanings.get(at)) {
            Some(meaning) => {
                let port = meaning.port.as_deref();
                Found { port, from_ms: meaning.from_ms, until_ms }
            }
            None => Found { port: None, from_ms: i64::MIN, until_ms },
        }
    }
}
