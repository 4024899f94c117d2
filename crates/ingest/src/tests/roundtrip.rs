//! Random templates and values through the encoder of the tests and back: every element, any order,
//! reduced lengths, variable lengths, many records, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use proptest::prelude::*;

use super::encode::{Message, field, value};
use crate::engine::Engine;
use crate::engine::element::{Field, VARIABLE};
use crate::engine::extra;
use crate::engine::limits::Limits;

/// Column, element and the lengths that its type allows.
const NUMBERS: [(&str, u16, &[u16]); 18] = [
    ("bytes", 1, &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("packets", 2, &[1, 2, 4, 8]),
    ("protocol", 4, &[1]),
    ("tos", 5, &[1]),
    ("tcp_flags", 6, &[1, 2]),
    ("src_port", 7, &[2]),
    ("src_mask", 9, &[1]),
    ("in_if", 10, &[1, 2, 3, 4]),
    ("dst_port", 11, &[2]),
    ("out_if", 14, &[2, 4]),
    ("src_as", 16, &[2, 4]),
    ("dst_as", 17, &[2, 4]),
    ("flow_label", 31, &[3, 4]),
    ("sampler", 48, &[1, 2, 4, 8]),
    ("direction", 61, &[1]),
    ("vrf_in", 234, &[4]),
    ("end_reason", 136, &[1]),
    ("reverse_bytes", 232, &[4, 8]),
];
const ADDRESSES: [(&str, u16, u16); 4] =
    [("src_addr", 8, 4), ("dst_addr", 28, 16), ("next_hop", 62, 16), ("nat_src_addr", 225, 4)];

/// What a field of the template is, and where its value must be found.
#[derive(Clone, Debug)]
enum Kind {
    Number(&'static str),
    Address(&'static str),
    Millis(&'static str),
    Extra,
}

fn one_field() -> impl Strategy<Value = (Field, Kind)> {
    let number = (0..NUMBERS.len(), any::<prop::sample::Index>()).prop_map(|(i, len)| {
        let (name, id, lens) = NUMBERS[i];
        (field(id, lens[len.index(lens.len())]), Kind::Number(name))
    });
    let address = (0..ADDRESSES.len()).prop_map(|i| {
        let (name, id, len) = ADDRESSES[i];
        (field(id, len), Kind::Address(name))
    });
    let time = any::<bool>().prop_map(|first| {
        let (name, id) = if first { ("first", 152) } else { ("last", 153) };
        (field(id, 8), Kind::Millis(name))
    });
    let private = (1u32..9000, 0u16..0x8000, 1u16..40)
        .prop_map(|(enterprise, id, len)| (Field { enterprise, id, len }, Kind::Extra));
    let text = (400u16..500).prop_map(|id| (field(id, VARIABLE), Kind::Extra));
    prop_oneof![6 => number, 2 => address, 1 => time, 1 => private, 1 => text]
}

/// Distinct fields, and records of values for them.
fn template_and_records() -> impl Strategy<Value = (Vec<(Field, Kind)>, Vec<Vec<Vec<u8>>>)> {
    prop::collection::vec(one_field(), 1..20).prop_flat_map(|mut fields| {
        let mut seen = std::collections::BTreeSet::new();
        fields.retain(|(field, _)| seen.insert((field.enterprise, field.id)));
        // RFC 5103's reverse elements have columns of their own.
        fields.retain(|(field, _)| field.enterprise != 29_305);
        if fields.iter().all(|(_, kind)| matches!(kind, Kind::Extra)) {
            fields.push((field(4, 1), Kind::Number("protocol")));
        }
        let values: Vec<_> = fields
            .iter()
            .map(|(field, _)| match field.len {
                VARIABLE => prop::collection::vec(any::<u8>(), 0..300).boxed(),
                len => prop::collection::vec(any::<u8>(), usize::from(len)).boxed(),
            })
            .collect();
        (Just(fields), prop::collection::vec(values, 1..40))
    })
}

fn decode(datagrams: &[Vec<u8>]) -> Vec<RecordBatch> {
    let mut engine = Engine::new(Limits::default(), "default", "test");
    for datagram in datagrams {
        engine.datagram(1_700_000_000_000, IpAddr::V4(Ipv4Addr::LOCALHOST), datagram);
    }
    engine.flush_flows();
    assert_eq!(engine.problems().total(), 0);
    let flows = engine.take_flows();
    flows
        .iter()
        .map(|f| model::schema::flows().conform(&f.batch).expect("as the contract"))
        .collect()
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<u64> {
    use arrow::datatypes::DataType::{Timestamp, UInt8, UInt16, UInt32};
    let column = batch.column_by_name(name).expect("a column of the contract");
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().value(row) as u64,
        _ => column.as_primitive::<UInt64Type>().value(row),
    })
}

fn wide(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn check(batch: &RecordBatch, row: usize, fields: &[(Field, Kind)], values: &[Vec<u8>]) {
    let extras = batch.column_by_name("extra").expect("a column").as_binary::<i32>();
    let kept: Vec<(Field, &[u8])> =
        if extras.is_null(row) { Vec::new() } else { extra::elements(extras.value(row)).collect() };
    let mut expected_extras = 0;
    for ((field, kind), bytes) in fields.iter().zip(values) {
        match kind {
            Kind::Number(name) => assert_eq!(number(batch, name, row), Some(wide(bytes)), "{name}"),
            Kind::Millis(name) => {
                let expected = wide(bytes).min(i64::MAX as u64);
                assert_eq!(number(batch, name, row), Some(expected), "{name}");
            }
            Kind::Address(name) => {
                let column = batch.column_by_name(name).expect("a column").as_fixed_size_binary();
                let mut expected = [0; 16];
                if bytes.len() == 4 {
                    expected[10..12].copy_from_slice(&[0xff, 0xff]);
                }
                expected[16 - bytes.len()..].copy_from_slice(bytes);
                assert_eq!(column.value(row), expected, "{name}");
            }
            Kind::Extra if bytes.is_empty() => {}
            Kind::Extra => {
                expected_extras += 1;
                let found =
                    kept.iter().find(|(f, _)| (f.enterprise, f.id) == (field.enterprise, field.id));
                assert_eq!(found.map(|(_, b)| *b), Some(bytes.as_slice()), "{field:?}");
            }
        }
    }
    assert_eq!(kept.len(), expected_extras);
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_was_encoded_is_what_stands_in_the_columns(
        (fields, records) in template_and_records(),
        template_first in any::<bool>(),
    ) {
        let template: Vec<Field> = fields.iter().map(|(field, _)| *field).collect();
        let mut sets = Vec::new();
        for record in &records {
            let mut body = Vec::new();
            template.iter().zip(record).for_each(|(field, bytes)| value(&mut body, *field, bytes));
            sets.push(body);
        }
        let declare = Message::new(10, 1, 0).template(256, &template).bytes();
        let mut datagrams = vec![declare];
        // Some records a set, until a datagram is full.
        let mut message = Message::new(10, 1, 0);
        let mut body = Vec::new();
        for set in sets {
            if body.len() + set.len() > 20_000 {
                message = message.set(256, &std::mem::take(&mut body));
                datagrams.push(message.bytes());
                message = Message::new(10, 1, 0);
            }
            body.extend_from_slice(&set);
        }
        datagrams.push(message.set(256, &body).bytes());
        if !template_first {
            datagrams.rotate_left(1);
        }
        let batches = decode(&datagrams);
        let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
        prop_assert_eq!(found, records.len());
        let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| (b, row)));
        for ((batch, row), record) in rows.zip(&records) {
            check(batch, row, &fields, record);
        }
    }
}
