//! Decoded flows as they gather into record batches of `flows.v1`. Columns in which no row has a
//! value are left out, as the contract allows (DESIGN §2).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema};
use model::schema::TopicSchema;

use super::columns::{Bytes, Column, Labels, same_text};
use super::element::{AddrCol, MacCol, Target, TimeCol, U8Col, U16Col, U32Col, U64Col};
use super::join::{Joined, Names, Numbers, is_joined};
use super::marks::{Gathered, Units};

/// A full batch and the receive times in it.
#[derive(Clone, Debug)]
pub struct FlowBatch {
    pub batch: RecordBatch,
    pub received_min: i64,
    pub received_max: i64,
    /// What it holds of its exporters' sequences.
    pub units: Vec<Units>,
}

/// All columns that a decoder writes.
#[derive(Debug, Default)]
pub struct Columns {
    pub rows: usize,
    pub u8s: [Column<u8>; 10],
    pub u16s: [Column<u16>; 9],
    pub u32s: [Column<u32>; 10],
    pub u64s: [Column<u64>; 7],
    pub addrs: [Column<i128>; 7],
    pub macs: [Column<[u8; 6]>; 2],
    pub times: [Column<i64>; 3],
    pub labels: Labels,
    pub extra: Bytes,
}

/// One value on its way to a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Uint(u64),
    Addr(i128),
    Mac([u8; 6]),
    Time(i64),
}

/// Gathers rows up to a limit.
pub struct FlowBatcher {
    pub columns: Columns,
    schema: &'static TopicSchema,
    domain: String,
    rows_max: usize,
    extra_bytes_max: usize,
    full: Vec<FlowBatch>,
    units: Gathered,
    /// Rows of the largest datagram so far.
    datagram_rows: usize,
    names: Option<Names>,
}

// === impl Columns ===

impl Columns {
    /// `value` fits the target: `run` made it so.
    pub fn put(&mut self, row: usize, target: Target, value: Value) {
        match (target, value) {
            (Target::U8(c), Value::Uint(v)) => self.u8s[c as usize].put(row, v as u8),
            (Target::U16(c), Value::Uint(v)) => self.u16s[c as usize].put(row, v as u16),
            (Target::U32(c), Value::Uint(v)) => self.u32s[c as usize].put(row, v as u32),
            (Target::U64(c), Value::Uint(v)) => self.u64s[c as usize].put(row, v),
            (Target::Addr4(c) | Target::Addr16(c), Value::Addr(v)) => {
                self.addrs[c as usize].put(row, v);
            }
            (Target::Mac(c), Value::Mac(v)) => self.macs[c as usize].put(row, v),
            (Target::Time(c, _), Value::Time(v)) => self.times[c as usize].put(row, v),
            _ => debug_assert!(false, "{target:?} takes no {value:?}"),
        }
    }

    fn array(&mut self, name: &str, field: &Field, domain: &str) -> Option<ArrayRef> {
        let rows = self.rows;
        if name == "domain" {
            return Some(same_text(domain, rows));
        }
        if name == "mpls_labels" {
            let some = !self.labels.is_empty();
            return some.then(|| self.labels.array(rows, field.data_type()));
        }
        if name == "extra" {
            return (!self.extra.is_empty()).then(|| self.extra.array(rows));
        }
        macro_rules! built {
            ($column:expr) => {{
                let column = &mut $column;
                (!column.is_empty()).then(|| column.array(rows))
            }};
        }
        match target(name)? {
            Target::U8(c) => built!(self.u8s[c as usize]),
            Target::U16(c) => built!(self.u16s[c as usize]),
            Target::U32(c) => built!(self.u32s[c as usize]),
            Target::U64(c) => built!(self.u64s[c as usize]),
            Target::Addr4(c) | Target::Addr16(c) => built!(self.addrs[c as usize]),
            Target::Mac(c) => built!(self.macs[c as usize]),
            Target::Time(c, _) => built!(self.times[c as usize]),
        }
    }
}

/// The column of a name in `schemas/flows.toml`.
pub fn target(name: &str) -> Option<Target> {
    use super::element::TimeForm::Millis;
    Some(match name {
        "received" => Target::Time(TimeCol::Received, Millis),
        "exporter" => Target::Addr16(AddrCol::Exporter),
        "observation_domain" => Target::U32(U32Col::ObservationDomain),
        "export_version" => Target::U8(U8Col::ExportVersion),
        "template" => Target::U16(U16Col::Template),
        "sampler" => Target::U64(U64Col::Sampler),
        "sampling_rate" => Target::U32(U32Col::SamplingRate),
        "in_if" => Target::U32(U32Col::InIf),
        "out_if" => Target::U32(U32Col::OutIf),
        "src_addr" => Target::Addr16(AddrCol::SrcAddr),
        "dst_addr" => Target::Addr16(AddrCol::DstAddr),
        "next_hop" => Target::Addr16(AddrCol::NextHop),
        "bgp_next_hop" => Target::Addr16(AddrCol::BgpNextHop),
        "src_port" => Target::U16(U16Col::SrcPort),
        "dst_port" => Target::U16(U16Col::DstPort),
        "protocol" => Target::U8(U8Col::Protocol),
        "tcp_flags" => Target::U16(U16Col::TcpFlags),
        "tos" => Target::U8(U8Col::Tos),
        "icmp_type_code" => Target::U16(U16Col::IcmpTypeCode),
        "flow_label" => Target::U32(U32Col::FlowLabel),
        "src_vlan" => Target::U16(U16Col::SrcVlan),
        "dst_vlan" => Target::U16(U16Col::DstVlan),
        "src_mac" => Target::Mac(MacCol::SrcMac),
        "dst_mac" => Target::Mac(MacCol::DstMac),
        "src_as" => Target::U32(U32Col::SrcAs),
        "dst_as" => Target::U32(U32Col::DstAs),
        "src_mask" => Target::U8(U8Col::SrcMask),
        "dst_mask" => Target::U8(U8Col::DstMask),
        "nat_src_addr" => Target::Addr16(AddrCol::NatSrcAddr),
        "nat_dst_addr" => Target::Addr16(AddrCol::NatDstAddr),
        "nat_src_port" => Target::U16(U16Col::NatSrcPort),
        "nat_dst_port" => Target::U16(U16Col::NatDstPort),
        "nat_event" => Target::U8(U8Col::NatEvent),
        "firewall_event" => Target::U8(U8Col::FirewallEvent),
        "vrf_in" => Target::U32(U32Col::VrfIn),
        "vrf_out" => Target::U32(U32Col::VrfOut),
        "direction" => Target::U8(U8Col::Direction),
        "end_reason" => Target::U8(U8Col::EndReason),
        "forwarding_status" => Target::U8(U8Col::ForwardingStatus),
        "first" => Target::Time(TimeCol::First, Millis),
        "last" => Target::Time(TimeCol::Last, Millis),
        "bytes" => Target::U64(U64Col::Bytes),
        "packets" => Target::U64(U64Col::Packets),
        "bytes_scaled" => Target::U64(U64Col::BytesScaled),
        "packets_scaled" => Target::U64(U64Col::PacketsScaled),
        "reverse_bytes" => Target::U64(U64Col::ReverseBytes),
        "reverse_packets" => Target::U64(U64Col::ReversePackets),
        "notes" => Target::U32(U32Col::Notes),
        _ => return None,
    })
}

// === impl FlowBatcher ===

impl FlowBatcher {
    /// Batches of at most `rows_max` rows whose `extra` holds about `extra_bytes_max` at most.
    pub fn new(domain: &str, rows_max: usize, extra_bytes_max: usize) -> FlowBatcher {
        FlowBatcher {
            columns: Columns::default(),
            schema: model::schema::flows(),
            domain: domain.to_owned(),
            rows_max: rows_max.max(1),
            extra_bytes_max,
            full: Vec::new(),
            units: Gathered::default(),
            datagram_rows: 0,
            names: None,
        }
    }

    /// Has batches joined with names from now on.
    pub fn name_with(&mut self, names: Names) {
        self.names = Some(names);
    }

    /// Rows that the batch still takes, at least 1: a full batch is closed first.
    pub fn room(&mut self) -> usize {
        if self.columns.rows >= self.rows_max || self.columns.extra.size() >= self.extra_bytes_max {
            self.flush();
        }
        self.rows_max - self.columns.rows
    }

    /// A datagram ends, of which `rows` rows are here: the batch that holds its last row holds
    /// what it is of its sequence. The batch is closed where the next one may not fit, so that no
    /// datagram lies in two of which one may be lost.
    pub fn end_datagram(&mut self, rows: u32, units: Units) {
        self.units.add(units);
        self.datagram_rows = self.datagram_rows.max(rows as usize).min(self.rows_max / 2);
        if self.columns.rows + self.datagram_rows > self.rows_max {
            self.flush();
        }
    }

    /// Units that no batch holds because there are no rows: of options and templates alone.
    pub fn take_units(&mut self) -> Vec<Units> {
        if self.columns.rows > 0 { Vec::new() } else { self.units.take() }
    }

    /// Units of batches that were not taken yet.
    pub fn units(&self) -> impl Iterator<Item = &Units> {
        self.units.iter().chain(self.full.iter().flat_map(|batch| &batch.units))
    }

    pub fn waiting_rows(&self) -> usize {
        self.columns.rows
    }

    /// Receive time of the oldest row that is in no batch yet.
    pub fn oldest(&self) -> Option<i64> {
        let times = &self.columns.times[TimeCol::Received as usize];
        times.range().map(|(least, _)| least)
    }

    /// Closes the batch that is being filled.
    pub fn flush(&mut self) {
        let times = &self.columns.times[TimeCol::Received as usize];
        let Some((received_min, received_max)) = times.range() else {
            return;
        };
        let rows = self.columns.rows;
        let mut fields: Vec<FieldRef> = Vec::with_capacity(40);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(40);
        let is_own = |field: &&FieldRef| !is_joined(field.name());
        for field in self.schema.arrow.fields().iter().filter(is_own) {
            if let Some(array) = self.columns.array(field.name(), field, &self.domain) {
                fields.push(field.clone());
                arrays.push(array);
            }
        }
        // They came after all others: the contract grows at its end.
        let mut joined = self.join(&fields, &arrays);
        for field in self.schema.arrow.fields() {
            if let Some(array) = joined.take(field.name()) {
                fields.push(field.clone());
                arrays.push(array);
            }
        }
        self.columns.rows = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)
            .expect("columns have the schema's types and the same rows: a test builds all of them");
        let units = self.units.take();
        self.full.push(FlowBatch { batch, received_min, received_max, units });
    }

    fn join(&self, fields: &[FieldRef], arrays: &[ArrayRef]) -> Joined {
        let at = |name: &str| fields.iter().position(|field| field.name() == name);
        let numbers = Numbers::of(|name| at(name).and_then(|at| arrays.get(at)));
        let joined = self.names.as_ref().zip(numbers).map(|(names, numbers)| names.join(&numbers));
        joined.unwrap_or_default()
    }

    /// The batches closed so far.
    pub fn take(&mut self) -> Vec<FlowBatch> {
        std::mem::take(&mut self.full)
    }
}
