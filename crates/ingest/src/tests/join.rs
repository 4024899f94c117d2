//! Flows with names beside their numbers, as of their time; what is not known costs no flow.

use std::net::{IpAddr, Ipv4Addr};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;

use super::encode::{Message, field};
use super::names::{device, interface};
use crate::devices::Devices;
use crate::engine::Engine;
use crate::engine::element::Field;
use crate::engine::join::Names;
use crate::engine::limits::Limits;
use crate::interfaces::Interfaces;

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn fields() -> Vec<Field> {
    [(8, 4), (12, 4), (10, 4), (14, 4), (1, 4)].map(|(id, len)| field(id, len)).to_vec()
}

/// Flows that come in by the interfaces 1 to 5 in turn and leave by 7.
fn records(n: u32) -> Vec<u8> {
    let words = |i| [0x0a00_0001, 0x0a00_0002, 1 + i % 5, 7, 1_000 + i];
    (0..n).flat_map(words).flat_map(u32::to_be_bytes).collect()
}

fn engine() -> (Engine, Names) {
    let names = Names { devices: Devices::new(10), interfaces: Interfaces::new(1_000) };
    let mut engine = Engine::new(Limits::default(), "default", "one");
    engine.name_with(names.clone());
    engine.datagram(0, EXPORTER, &Message::new(9, 1, 0).template(256, &fields()).bytes());
    (engine, names)
}

fn flows(engine: &mut Engine, at_ms: i64, sequence: u32, n: u32) -> RecordBatch {
    receive(engine, at_ms, sequence, n);
    engine.flush_flows();
    engine.take_flows().pop().expect("flows").batch
}

fn receive(engine: &mut Engine, at_ms: i64, sequence: u32, n: u32) {
    let message = Message::new(9, 1, sequence).set(256, &records(n));
    engine.datagram(at_ms, EXPORTER, &message.bytes());
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let Some(column) = batch.column_by_name(name) else {
        return vec![None; batch.num_rows()];
    };
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn without_an_inventory_there_are_no_columns_of_names() {
    let (mut engine, _) = engine();
    let batch = flows(&mut engine, 1_000, 1, 20);
    assert_eq!(batch.num_rows(), 20);
    for name in ["exporter_name", "in_if_name", "out_if_name", "in_if_speed", "out_if_speed"] {
        assert!(batch.column_by_name(name).is_none());
    }
}

#[test]
fn a_flow_has_the_names_of_its_time() {
    let (mut engine, names) = engine();
    names.devices.put(device("edge1", "192.0.2.1", None));
    names.interfaces.put(interface("Gi0/1", 3, 5_000));
    names.interfaces.put(interface("Gi0/9", 7, 5_000));
    // Before they were found.
    let batch = flows(&mut engine, 4_999, 1, 20);
    assert_eq!(texts(&batch, "in_if_name"), vec![None; 20]);
    assert_eq!(texts(&batch, "exporter_name"), vec![Some("edge1".to_owned()); 20]);
    let batch = flows(&mut engine, 5_000, 2, 20);
    assert_eq!(texts(&batch, "out_if_name"), vec![Some("Gi0/9".to_owned()); 20]);
    let speeds = batch.column_by_name("in_if_speed").expect("a column");
    let speeds = speeds.as_primitive::<UInt64Type>();
    for (row, name) in texts(&batch, "in_if_name").into_iter().enumerate() {
        let is_it = row % 5 == 2;
        assert_eq!(name.as_deref(), is_it.then_some("Gi0/1"));
        assert_eq!(speeds.is_valid(row), is_it);
    }
    // The number is another interface from 10 s on, in the middle of a batch.
    names.interfaces.put(interface("Gi0/2", 3, 10_000));
    receive(&mut engine, 9_999, 3, 20);
    let batch = flows(&mut engine, 10_000, 4, 20);
    assert_eq!(batch.num_rows(), 40);
    for (row, name) in texts(&batch, "in_if_name").into_iter().enumerate() {
        let then = if row < 20 { "Gi0/1" } else { "Gi0/2" };
        assert_eq!(name.as_deref(), (row % 5 == 2).then_some(then));
    }
    model::schema::flows().conform(&batch).expect("the contract's columns");
}

#[test]
fn exporters_do_not_share_their_numbers() {
    let (mut engine, names) = engine();
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    engine.datagram(0, other, &Message::new(9, 1, 0).template(256, &fields()).bytes());
    names.interfaces.put(interface("Gi0/9", 7, 5));
    for sequence in 1..20 {
        receive(&mut engine, 10, sequence, 2);
        let message = Message::new(9, 1, sequence).set(256, &records(2));
        engine.datagram(10, other, &message.bytes());
    }
    engine.flush_flows();
    let batch = engine.take_flows().pop().expect("flows").batch;
    for (row, name) in texts(&batch, "out_if_name").into_iter().enumerate() {
        assert_eq!(name.is_some(), row / 2 % 2 == 0);
    }
}
