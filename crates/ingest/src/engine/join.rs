//! Names beside numbers: the exporter's device and what its interfaces were called as of each
//! flow's time. Done once a batch, with a small cache, since a batch has few exporters and
//! interfaces. An interface that nobody knows leaves its columns empty; no flow waits or is dropped
//! for it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, StringArray, TimestampMillisecondArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{TimestampMillisecondType, UInt32Type};

use crate::devices::Devices;
use crate::interfaces::{Interfaces, Port, Ports, Table};

/// Where names come from.
#[derive(Clone, Debug)]
pub struct Names {
    pub devices: Devices,
    pub interfaces: Interfaces,
}

/// The columns of a batch that say which interfaces it is about.
pub struct Numbers<'a> {
    pub exporter: &'a FixedSizeBinaryArray,
    pub received: &'a TimestampMillisecondArray,
    pub in_if: Option<&'a UInt32Array>,
    pub out_if: Option<&'a UInt32Array>,
}

/// The columns of names; one without any value is not there.
#[derive(Default)]
pub struct Joined {
    pub exporter_name: Option<ArrayRef>,
    pub in_if_name: Option<ArrayRef>,
    pub out_if_name: Option<ArrayRef>,
    pub in_if_speed: Option<ArrayRef>,
    pub out_if_speed: Option<ArrayRef>,
}

/// Rows one after the other that have the same exporter.
type Run<'a> = (std::ops::Range<usize>, &'a [u8]);

/// Interfaces that were looked up last, by the low bits of their number.
struct Cache<'a> {
    slots: Vec<Slot>,
    /// Interfaces of this batch; 0 is none.
    found: Vec<&'a Port>,
}

#[derive(Clone, Copy)]
struct Slot {
    exporter: usize,
    if_index: u32,
    from_ms: i64,
    until_ms: i64,
    /// 0: not known.
    found: u32,
}

const SLOTS: usize = 1_024;
/// It holds for no time at all.
const EMPTY: Slot =
    Slot { exporter: 0, if_index: 0, from_ms: i64::MAX, until_ms: i64::MIN, found: 0 };

// === impl Names ===

impl Names {
    pub fn join(&self, numbers: &Numbers<'_>) -> Joined {
        let (mut joined, table) = (Joined::default(), self.interfaces.read());
        if self.devices.is_empty() && table.is_empty() {
            return joined;
        }
        let runs = runs(numbers.exporter);
        joined.exporter_name = self.exporters(&runs);
        if !table.is_empty() {
            let side = |indexes| side(&table, &runs, numbers, indexes);
            (joined.in_if_name, joined.in_if_speed) = side(numbers.in_if);
            (joined.out_if_name, joined.out_if_speed) = side(numbers.out_if);
        }
        joined
    }

    /// The device of each row.
    fn exporters(&self, runs: &[Run<'_>]) -> Option<ArrayRef> {
        let name =
            |exporter: &[u8]| model::addr::to_ip(exporter).and_then(|ip| self.devices.name_of(ip));
        let named: Vec<(usize, Option<Arc<str>>)> =
            runs.iter().map(|(rows, exporter)| (rows.len(), name(exporter))).collect();
        if named.iter().all(|(_, name)| name.is_none()) {
            return None;
        }
        let names = named.iter().flat_map(|(n, name)| std::iter::repeat_n(name.as_deref(), *n));
        Some(Arc::new(StringArray::from_iter(names)))
    }
}

fn runs(exporters: &FixedSizeBinaryArray) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let all = exporters.value_data().chunks_exact(model::addr::WIDTH as usize);
    for (row, exporter) in all.enumerate().take(exporters.len()) {
        match runs.last_mut() {
            Some((rows, same)) if *same == exporter => rows.end = row + 1,
            _ => runs.push((row..row + 1, exporter)),
        }
    }
    runs
}

/// Names and speeds of the interfaces of one side.
fn side(
    table: &Table,
    runs: &[Run<'_>],
    numbers: &Numbers<'_>,
    indexes: Option<&UInt32Array>,
) -> (Option<ArrayRef>, Option<ArrayRef>) {
    let Some(indexes) = indexes else {
        return (None, None);
    };
    let mut cache = Cache { slots: vec![EMPTY; SLOTS], found: Vec::new() };
    let mut ids = vec![0_u32; indexes.len()];
    for (rows, exporter) in runs {
        if let Some(ports) = table.ports(exporter) {
            cache.run(ports, rows.clone(), numbers.received.values(), indexes, &mut ids);
        }
    }
    if cache.found.is_empty() {
        return (None, None);
    }
    (Some(cache.names(&ids)), cache.speeds(&ids))
}

// === impl Cache ===

impl<'a> Cache<'a> {
    fn run(
        &mut self,
        ports: &'a Ports,
        rows: std::ops::Range<usize>,
        received: &[i64],
        indexes: &UInt32Array,
        ids: &mut [u32],
    ) {
        let exporter = std::ptr::from_ref(ports).addr();
        for row in rows {
            if indexes.is_null(row) {
                continue;
            }
            let (if_index, time_ms) = (indexes.value(row), received[row]);
            let slot = self.slots[if_index as usize % SLOTS];
            let holds = slot.if_index == if_index
                && slot.exporter == exporter
                && slot.from_ms <= time_ms
                && time_ms < slot.until_ms;
            ids[row] = if holds { slot.found } else { self.look(ports, if_index, time_ms) };
        }
    }

    #[cold]
    fn look(&mut self, ports: &'a Ports, if_index: u32, time_ms: i64) -> u32 {
        let meaning = ports.at(if_index, time_ms);
        let found = match meaning.port {
            None => 0,
            Some(port) => {
                let known = self.found.iter().position(|&other| std::ptr::eq(other, port));
                let at = known.unwrap_or_else(|| {
                    self.found.push(port);
                    self.found.len() - 1
                });
                at as u32 + 1
            }
        };
        let exporter = std::ptr::from_ref(ports).addr();
        let (from_ms, until_ms) = (meaning.from_ms, meaning.until_ms);
        let slot = Slot { exporter, if_index, from_ms, until_ms, found };
        self.slots[if_index as usize % SLOTS] = slot;
        found
    }

    fn names(&self, ids: &[u32]) -> ArrayRef {
        let name = |id: u32| id.checked_sub(1).map_or("", |at| &self.found[at as usize].name);
        let mut ends = Vec::with_capacity(ids.len() + 1);
        let mut bytes = Vec::with_capacity(ids.len() * 8);
        ends.push(0_i32);
        for &id in ids {
            bytes.extend_from_slice(name(id).as_bytes());
            // 128 characters a name and some thousand rows a batch.
            ends.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls(ids, |id| id != 0)))
    }

    fn speeds(&self, ids: &[u32]) -> Option<ArrayRef> {
        let found = self.found.iter().map(|port| port.speed_bps);
        let speeds: Vec<Option<u64>> = std::iter::once(None).chain(found).collect();
        if speeds.iter().all(Option::is_none) {
            return None;
        }
        let values: Vec<u64> =
            ids.iter().map(|&id| speeds[id as usize].unwrap_or_default()).collect();
        let nulls = nulls(ids, |id| speeds[id as usize].is_some());
        Some(Arc::new(UInt64Array::new(ScalarBuffer::from(values), nulls)))
    }
}

/// `None` where all rows have a value.
fn nulls(ids: &[u32], is_there: impl Fn(u32) -> bool) -> Option<NullBuffer> {
    let bits = BooleanBuffer::collect_bool(ids.len(), |row| is_there(ids[row]));
    Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
}

// === impl Numbers ===

impl<'a> Numbers<'a> {
    /// The columns of a batch, by their names.
    pub fn of(get: impl Fn(&str) -> Option<&'a ArrayRef>) -> Option<Numbers<'a>> {
        Some(Numbers {
            exporter: get("exporter")?.as_fixed_size_binary_opt()?,
            received: get("received")?.as_primitive_opt::<TimestampMillisecondType>()?,
            in_if: get("in_if").and_then(|array| array.as_primitive_opt::<UInt32Type>()),
            out_if: get("out_if").and_then(|array| array.as_primitive_opt::<UInt32Type>()),
        })
    }
}

// === impl Joined ===

impl Joined {
    /// The column of a name in `schemas/flows.toml`.
    pub fn take(&mut self, name: &str) -> Option<ArrayRef> {
        match name {
            "exporter_name" => self.exporter_name.take(),
            "in_if_name" => self.in_if_name.take(),
            "out_if_name" => self.out_if_name.take(),
            "in_if_speed" => self.in_if_speed.take(),
            "out_if_speed" => self.out_if_speed.take(),
            _ => None,
        }
    }
}

/// Whether a column of flows is one of names.
pub fn is_joined(name: &str) -> bool {
    ["exporter_name", "in_if_name", "out_if_name", "in_if_speed", "out_if_speed"].contains(&name)
}
