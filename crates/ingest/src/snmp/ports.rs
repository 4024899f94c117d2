//! A device's interfaces by their stable names, and the rows that a poll of them gives. A number
//! (ifIndex) belongs to a name from a time on; counters follow the name (research/ingest.md, R10).

use std::collections::{BTreeMap, BTreeSet};

use model::rows::{Event, Interface, Metric, Quality};
use model::snmp::Value;

use super::links;
use super::mib::Column;
use super::rates::{Bounds, Judged, Reading, Width, judge};
use super::walk::Cell;

/// What all rows of a poll have in common.
#[derive(Clone, Debug)]
pub struct Stamp<'a> {
    pub domain: &'a str,
    pub device: &'a str,
    pub instance: &'a str,
    pub at_ms: i64,
}

/// A value with the time and the uptime of the answer that brought it.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub cell: Cell,
    pub at_ms: i64,
    pub uptime: Option<u32>,
}

/// All interfaces of one device.
#[derive(Debug, Default)]
pub struct Ports {
    by_name: BTreeMap<String, Port>,
    names: BTreeMap<u32, String>,
}

#[derive(Debug)]
struct Port {
    row: Interface,
    /// What was last told of it, if anything.
    told: Option<Interface>,
    before: [Option<Reading>; 6],
}

/// A counter of an interface: its columns, the names of its metrics, its place in `before`.
struct Counter {
    wide: Option<(Column, &'static str)>,
    narrow: (Column, &'static str),
    utilization: Option<&'static str>,
}

const COUNTERS: [Counter; 6] = [
    Counter {
        wide: Some((Column::In64, "ifHCInOctets")),
        narrow: (Column::In32, "ifInOctets"),
        utilization: Some("if_in_utilization"),
    },
    Counter {
        wide: Some((Column::Out64, "ifHCOutOctets")),
        narrow: (Column::Out32, "ifOutOctets"),
        utilization: Some("if_out_utilization"),
    },
    Counter { wide: None, narrow: (Column::InErrors, "ifInErrors"), utilization: None },
    Counter { wide: None, narrow: (Column::OutErrors, "ifOutErrors"), utilization: None },
    Counter { wide: None, narrow: (Column::InDiscards, "ifInDiscards"), utilization: None },
    Counter { wide: None, narrow: (Column::OutDiscards, "ifOutDiscards"), utilization: None },
];

/// Longer words are cut: an agent may send 64 KB.
const NAME_CHARS_MAX: usize = 128;
const WORDS_CHARS_MAX: usize = 256;
/// ifSpeed's largest value says that ifHighSpeed has the speed (RFC 2863 §3.1.5).
const SPEED_FULL: u64 = 4_294_967_295;
/// The shortest frame with preamble and gap on the wire, bits: no more packets than this fit
/// (RFC 2544 §C.1).
const FRAME_BITS: f64 = 672.0;
/// Errors and discards are counted in 32 bits: a limit under which one wrap cannot hide.
const PACKETS_CEILING_MAX: f64 = 1e8;

// === impl Ports ===

impl Ports {
    /// Interfaces as an earlier poller has told them.
    pub fn known(rows: Vec<Interface>) -> Ports {
        let mut ports = Ports::default();
        for row in rows {
            ports.names.insert(row.if_index, row.name.clone());
            let told = Some(row.clone());
            ports.by_name.insert(row.name.clone(), Port { row, told, before: [None; 6] });
        }
        ports
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether all interfaces among `cells` have a name.
    pub fn knows(&self, cells: &[Read]) -> bool {
        let of_interfaces = |read: &&Read| read.cell.column.is_of_interfaces();
        cells.iter().filter(of_interfaces).all(|read| self.names.contains_key(&read.cell.index))
    }

    /// Takes the names, numbers and speeds of a whole walk; returns the interfaces that are gone.
    /// Where the walk is in parts, nothing is.
    pub fn rename(&mut self, stamp: &Stamp<'_>, address: &str, walk: &NameWalk) -> Vec<Interface> {
        let mut seen = BTreeSet::new();
        if walk.is_whole {
            self.names.clear();
        }
        for (&if_index, words) in &walk.interfaces {
            let mut name = words.name(if_index);
            if !seen.insert(name.clone()) {
                // Two of one name: the number keeps them apart.
                name = format!("{name}#{if_index}");
                seen.insert(name.clone());
            }
            if !walk.is_whole {
                self.names.retain(|_, other| *other != name);
            }
            self.names.insert(if_index, name.clone());
            let port = self.by_name.entry(name.clone()).or_insert_with(|| Port {
                row: words.row(stamp, address, name, if_index),
                told: None,
                before: [None; 6],
            });
            let row = words.row(stamp, address, port.row.name.clone(), if_index);
            let is_same = port.row.if_index == if_index;
            let from_ms = if is_same { port.row.from_ms } else { stamp.at_ms };
            let (admin_up, oper_up) = (port.row.admin_up, port.row.oper_up);
            port.row = Interface { from_ms, admin_up, oper_up, ..row };
        }
        if !walk.is_whole {
            return Vec::new();
        }
        let gone = self.by_name.extract_if(.., |name, _| !seen.contains(name));
        gone.filter_map(|(_, port)| port.told).collect()
    }

    /// The rows of one poll.
    pub fn metrics(&mut self, stamp: &Stamp<'_>, reads: &[Read], interval_ms: i64) -> Vec<Metric> {
        let mut values: BTreeMap<(u32, Column), &Read> = BTreeMap::new();
        for read in reads.iter().filter(|read| read.cell.column.is_of_interfaces()) {
            values.insert((read.cell.index, read.cell.column), read);
        }
        let mut rows = Vec::new();
        for (&if_index, name) in &self.names {
            let Some(port) = self.by_name.get_mut(name) else {
                continue;
            };
            let get = |column| values.get(&(if_index, column)).copied();
            port.states(stamp, get, &mut rows);
            let discontinuity = get(Column::Discontinuity).and_then(|read| ticks(&read.cell.value));
            for (i, counter) in COUNTERS.iter().enumerate() {
                port.counter(stamp, i, counter.read(get), discontinuity, interval_ms, &mut rows);
            }
        }
        rows
    }

    /// Interfaces whose state is another than was told.
    pub fn events(&self, stamp: &Stamp<'_>) -> Vec<Event> {
        let all = self.by_name.values();
        all.filter_map(|port| links::event(stamp, port.told.as_ref(), &port.row)).collect()
    }

    /// Interfaces whose words, number or state have changed since they were told.
    pub fn changed(&mut self, at_ms: i64) -> Vec<Interface> {
        let mut changed = Vec::new();
        for port in self.by_name.values_mut() {
            let is_same = |told: &Interface| {
                Interface { received_ms: told.received_ms, ..port.row.clone() } == *told
            };
            if port.told.as_ref().is_some_and(is_same) {
                continue;
            }
            port.row.received_ms = at_ms;
            port.told = Some(port.row.clone());
            changed.push(port.row.clone());
        }
        changed
    }
}

fn ticks(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

// === impl Counter ===

impl Counter {
    /// The counter's value with its width and the name of its metric: the wide one where it is.
    fn read<'a>(
        &self,
        get: impl Fn(Column) -> Option<&'a Read>,
    ) -> Option<(&'a Read, Width, &'static str, Option<&'static str>)> {
        if let Some((column, name)) = self.wide
            && let Some(read) = get(column)
        {
            return Some((read, Width::Bits64, name, self.utilization));
        }
        let (column, name) = self.narrow;
        get(column).map(|read| (read, Width::Bits32, name, self.utilization))
    }
}

// === impl Port ===

impl Port {
    /// ifAdminStatus and ifOperStatus (1 up, 2 down, RFC 2863).
    fn states<'a>(
        &mut self,
        stamp: &Stamp<'_>,
        get: impl Fn(Column) -> Option<&'a Read>,
        rows: &mut Vec<Metric>,
    ) {
        for (column, name) in [(Column::Admin, "ifAdminStatus"), (Column::Oper, "ifOperStatus")] {
            let Some(state) = get(column).and_then(|read| read.cell.value.as_u64()) else {
                continue;
            };
            let is_up = Some(state == 1);
            match column {
                Column::Admin => self.row.admin_up = is_up,
                _ => self.row.oper_up = is_up,
            }
            rows.push(stamp.metric(Some(&self.row.name), name, state as f64));
        }
    }

    fn counter(
        &mut self,
        stamp: &Stamp<'_>,
        place: usize,
        found: Option<(&Read, Width, &'static str, Option<&'static str>)>,
        discontinuity: Option<u32>,
        interval_ms: i64,
        rows: &mut Vec<Metric>,
    ) {
        let Some((read, width, name, utilization)) = found else {
            return;
        };
        let Some(value) = read.cell.value.as_u64() else {
            return;
        };
        let (at_ms, uptime) = (read.at_ms, read.uptime);
        let now = Reading { at_ms, value, width, uptime, discontinuity };
        let speed = self.row.speed_bps.filter(|&bps| bps > 0).map(|bps| bps as f64);
        let ceiling = match utilization {
            Some(_) => speed.map(|bps| bps / 8.0),
            None => speed.map(|bps| (bps / FRAME_BITS).min(PACKETS_CEILING_MAX)),
        };
        let judged = judge(self.before[place].as_ref(), &now, Bounds { ceiling, interval_ms });
        self.before[place] = Some(now);
        let entity = Some(self.row.name.as_str());
        rows.push(Metric { value: value as f64, ..stamp.judged(entity, name, judged) });
        let percent = judged.rate.zip(speed).map(|(rate, bps)| rate * 8.0 / bps * 100.0);
        if let Some((metric, percent)) = utilization.zip(percent) {
            let quality = judged.quality;
            rows.push(Metric { quality, ..stamp.metric(entity, metric, percent) });
        }
    }
}

// === impl Stamp ===

impl Stamp<'_> {
    pub fn metric(&self, entity: Option<&str>, metric: &str, value: f64) -> Metric {
        Metric {
            domain: self.domain.to_owned(),
            received_ms: self.at_ms,
            device: self.device.to_owned(),
            entity: entity.map(str::to_owned),
            metric: metric.to_owned(),
            value,
            rate: None,
            quality: Quality::Ok,
            device_time_ms: None,
            instance: Some(self.instance.to_owned()),
        }
    }

    fn judged(&self, entity: Option<&str>, metric: &str, judged: Judged) -> Metric {
        let Judged { rate, quality } = judged;
        Metric { rate, quality, ..self.metric(entity, metric, 0.0) }
    }
}

/// What a walk of the names has found.
#[derive(Debug, Default)]
pub struct NameWalk {
    interfaces: BTreeMap<u32, Words>,
    is_whole: bool,
}

#[derive(Debug, Default)]
struct Words {
    name: Option<String>,
    descr: Option<String>,
    alias: Option<String>,
    high_speed: Option<u64>,
    speed: Option<u64>,
}

// === impl NameWalk ===

impl NameWalk {
    pub fn new(cells: &[Read], is_whole: bool) -> NameWalk {
        let mut interfaces: BTreeMap<u32, Words> = BTreeMap::new();
        for Read { cell, .. } in cells {
            let words = interfaces.entry(cell.index).or_default();
            let text = |limit| cell.value.as_text().map(|text| plain(&text, limit));
            match cell.column {
                Column::Name => words.name = text(NAME_CHARS_MAX),
                Column::Descr => words.descr = text(WORDS_CHARS_MAX),
                Column::Alias => words.alias = text(WORDS_CHARS_MAX),
                Column::HighSpeed => words.high_speed = cell.value.as_u64(),
                Column::Speed => words.speed = cell.value.as_u64(),
                _ => {}
            }
        }
        NameWalk { interfaces, is_whole }
    }

    pub fn is_empty(&self) -> bool {
        self.interfaces.is_empty()
    }
}

// === impl Words ===

impl Words {
    fn name(&self, if_index: u32) -> String {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let cut = |text: String| text.chars().take(NAME_CHARS_MAX).collect();
        some(&self.name)
            .or_else(|| some(&self.descr).map(cut))
            .unwrap_or_else(|| format!("if{if_index}"))
    }

    /// ifHighSpeed in Mbit/s where it is not 0, else ifSpeed where it is one.
    fn speed_bps(&self) -> Option<u64> {
        let high =
            self.high_speed.filter(|&mbps| mbps > 0).map(|mbps| mbps.saturating_mul(1_000_000));
        high.or(self.speed.filter(|&bps| bps > 0 && bps < SPEED_FULL))
    }

    fn row(&self, stamp: &Stamp<'_>, address: &str, name: String, if_index: u32) -> Interface {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Interface {
            domain: stamp.domain.to_owned(),
            device: stamp.device.to_owned(),
            name,
            if_index,
            alias: some(&self.alias),
            descr: some(&self.descr),
            speed_bps: self.speed_bps(),
            admin_up: None,
            oper_up: None,
            address: Some(address.to_owned()),
            from_ms: stamp.at_ms,
            received_ms: stamp.at_ms,
        }
    }
}

/// A text as it may stand in a name: cut, without control characters, without NULs at its end.
fn plain(text: &str, chars_max: usize) -> String {
    let text = text.trim_end_matches('\0').trim();
    text.chars().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
