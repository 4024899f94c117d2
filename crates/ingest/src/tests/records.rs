//! What single records mean: times, sampling, addresses, values that do not fit.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::encode::{Message, field, plain_fields, plain_records, v5, value};
use crate::decode::json;
use crate::engine::Engine;
use crate::engine::element::{Field, VARIABLE};
use crate::engine::limits::Limits;

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5));
/// 2023-11-14T22:13:20Z, the export time of the messages made here.
const NOW: i64 = 1_700_000_000_000;

fn rows(datagrams: &[Vec<u8>]) -> Vec<Value> {
    let mut engine = Engine::new(Limits::default(), "default", "test");
    for datagram in datagrams {
        engine.datagram(NOW, EXPORTER, datagram);
    }
    engine.flush_flows();
    let batches = engine.take_flows();
    let lines =
        batches.iter().flat_map(|b| (0..b.batch.num_rows()).map(|i| json::row(&b.batch, i)));
    lines.map(|line| serde_json::from_str(&line).expect("a line of JSON")).collect()
}

/// The one row of one record of one template.
fn row(version: u16, fields: &[(Field, &[u8])]) -> Value {
    let template: Vec<Field> = fields.iter().map(|(field, _)| *field).collect();
    let mut record = Vec::new();
    fields.iter().for_each(|(field, bytes)| value(&mut record, *field, bytes));
    let message = Message::new(version, 3, 0).template(256, &template).set(256, &record);
    let mut rows = rows(&[message.bytes()]);
    assert_eq!(rows.len(), 1, "{fields:?}");
    rows.remove(0)
}

fn ntp(ms: i64) -> [u8; 8] {
    let seconds = (ms / 1000 + 2_208_988_800) as u64;
    let fraction = ((ms % 1000) as u64) << 32;
    (seconds << 32 | fraction.div_ceil(1000)).to_be_bytes()
}

#[test]
fn a_v5_record_is_read_whole() {
    let row = &rows(&[v5(9, 3_600_000, 2)])[1];
    let expected = json!({
        "domain": "default", "received": "2023-11-14T22:13:20.000Z", "exporter": "192.0.2.5",
        "observation_domain": 258, "export_version": 5, "sampling_rate": 100, "in_if": 3,
        "out_if": 4, "src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "next_hop": "10.0.0.254",
        "src_port": 1, "dst_port": 80, "protocol": 6, "tcp_flags": 18, "tos": 8, "src_as": 65000,
        "dst_as": 65001, "src_mask": 24, "dst_mask": 16, "first": "2023-11-14T22:13:18.000Z",
        "last": "2023-11-14T22:13:19.000Z", "bytes": 700, "packets": 7, "bytes_scaled": 70000,
        "packets_scaled": 700, "notes": 0,
    });
    assert_eq!(*row, expected);
}

#[test]
fn times_in_every_form_are_the_same_instant() {
    let at = NOW - 90_000;
    let uptime = 3_600_000u32 - 90_000;
    let seconds = ((at / 1000) as u32).to_be_bytes();
    let ms = (at as u64).to_be_bytes();
    let init = ((NOW - 3_600_000) as u64).to_be_bytes();
    let forms: Vec<(u16, Vec<(Field, &[u8])>)> = vec![
        (9, vec![(field(22, 4), &[0, 0, 0, 0]), (field(21, 4), &[0, 0, 0, 0])]),
        (10, vec![(field(150, 4), &seconds), (field(151, 4), &seconds)]),
        (10, vec![(field(152, 8), &ms), (field(153, 8), &ms)]),
        (10, vec![(field(160, 8), &init), (field(22, 4), &[]), (field(21, 4), &[])]),
        (10, vec![(field(158, 4), &[]), (field(159, 4), &[])]),
        (10, vec![(field(154, 8), &[]), (field(155, 8), &[])]),
        (10, vec![(field(156, 8), &[]), (field(157, 8), &[])]),
    ];
    for (version, mut fields) in forms {
        let up = uptime.to_be_bytes();
        let delta = 90_000_000u32.to_be_bytes();
        let ntp = ntp(at);
        for (field, bytes) in &mut fields {
            match field.id {
                21 | 22 => *bytes = &up,
                158 | 159 => *bytes = &delta,
                154..=157 => *bytes = &ntp,
                _ => {}
            }
        }
        let row = row(version, &fields);
        let expected = model::time::rfc3339(at);
        assert_eq!(
            (&row["first"], &row["last"]),
            (&json!(expected), &json!(expected)),
            "{fields:?}"
        );
        assert_eq!(row["notes"], 1, "{fields:?}");
    }
}

#[test]
fn lying_clocks_are_kept_and_noted() {
    let four_days = 4 * 86_400_000;
    for (at, bit) in [(NOW + four_days, 2), (NOW - 800 * 86_400_000, 4), (NOW - 3_600_000, 0)] {
        let row = row(10, &[(field(152, 8), &(at as u64).to_be_bytes())]);
        assert_eq!(row["first"], json!(model::time::rfc3339(at)));
        assert_eq!(row["notes"], 1 | bit);
        assert_eq!(row["received"], "2023-11-14T22:13:20.000Z");
    }
    // Without a base the number is kept as it came.
    let row = row(10, &[(field(22, 4), &[0, 0, 1, 0]), (field(4, 1), &[6])]);
    assert_eq!((&row["first"], &row["notes"]), (&Value::Null, &json!(1 | 8)));
    assert_eq!(row["extra"], json!({ "22": "00000100" }));
}

#[test]
fn reduced_lengths_widen_and_longer_ones_are_kept_whole_where_they_do_not_fit() {
    let row = row(
        10,
        &[
            (field(1, 3), &[1, 0, 0]),
            (field(2, 1), &[9]),
            (field(16, 2), &[0xff, 0xfe]),
            (field(10, 8), &[0, 0, 0, 0, 0, 0, 1, 2]),
            (field(4, 2), &[0, 17]),
            (field(5, 2), &[1, 0]),
            (field(7, 4), &[0, 1, 0, 0]),
            (field(56, 8), &[0, 0, 1, 2, 3, 4, 5, 6]),
        ],
    );
    assert_eq!(
        (&row["bytes"], &row["packets"], &row["src_as"]),
        (&json!(65536), &json!(9), &json!(65534))
    );
    assert_eq!((&row["in_if"], &row["protocol"]), (&json!(258), &json!(17)));
    assert_eq!(
        (&row["tos"], &row["src_port"], &row["src_mac"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(row["notes"], 1 | 16);
    assert_eq!(row["extra"], json!({ "5": "0100", "7": "00010000", "56": "0000010203040506" }));
}

#[test]
fn elements_without_a_column_and_second_ones_are_kept_in_extra() {
    let private = Field { enterprise: 9, id: 12_232, len: 4 };
    let reverse = |id, len| Field { enterprise: 29_305, id, len };
    let row = row(
        10,
        &[
            (field(4, 1), &[6]),
            (field(4, 1), &[17]),
            (private, &[1, 2, 3, 4]),
            (field(82, VARIABLE), b"eth0"),
            (reverse(1, 4), &[0, 0, 0, 5]),
            (reverse(2, 4), &[0, 0, 0, 2]),
            (reverse(7, 2), &[0, 9]),
            (field(210, 2), &[0, 0]),
        ],
    );
    assert_eq!((&row["protocol"], &row["reverse_bytes"]), (&json!(6), &json!(5)));
    assert_eq!(row["reverse_packets"], 2);
    let extra = json!({ "4": "11", "9/12232": "01020304", "82": "65746830", "29305/7": "0009" });
    assert_eq!(row["extra"], extra);
}

#[test]
fn of_two_addresses_the_one_that_is_filled_counts() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let both = |v4: [u8; 4], v6: [u8; 16]| row(9, &[(field(8, 4), &v4), (field(27, 16), &v6)]);
    assert_eq!(both([10, 0, 0, 1], [0; 16])["src_addr"], "10.0.0.1");
    assert_eq!(both([0; 4], v6)["src_addr"], "2001:db8::1");
    assert_eq!(both([0; 4], [0; 16])["src_addr"], "0.0.0.0");
    let two = both([10, 0, 0, 1], v6);
    assert_eq!(two["src_addr"], "10.0.0.1");
    assert_eq!(two["extra"]["27"], "20010db8000000000000000000000001");
}

#[test]
fn a_counter_of_zero_is_a_value_and_no_total_takes_its_place() {
    let row = row(10, &[(field(1, 4), &[0; 4]), (field(85, 4), &[0, 0, 1, 0])]);
    assert_eq!((&row["bytes"], &row["extra"]), (&json!(0), &json!({ "85": "00000100" })));
}

#[test]
fn labels_end_at_the_bottom_of_the_stack() {
    let label = |value: u32, bottom: u32| (value << 4 | bottom).to_be_bytes();
    let (a, b, c) = (label(16_065, 0), label(16_033, 1), label(99, 1));
    let row = row(9, &[(field(71, 3), &b[1..]), (field(70, 3), &a[1..]), (field(72, 3), &c[1..])]);
    assert_eq!(row["mpls_labels"], json!([16_065, 16_033]));
}

#[test]
fn nsel_fields_have_their_columns() {
    let row = row(
        9,
        &[
            (field(8, 4), &[10, 0, 0, 1]),
            (field(225, 4), &[198, 51, 100, 1]),
            (field(227, 2), &[0x10, 0]),
            (field(176, 1), &[8]),
            (field(177, 1), &[3]),
            (field(233, 1), &[2]),
            (field(231, 4), &[0, 0, 1, 0]),
            (field(232, 4), &[0, 0, 2, 0]),
            (field(323, 8), &(NOW as u64).to_be_bytes()),
            (field(40_002, 4), &[198, 51, 100, 2]),
        ],
    );
    let expected = json!({ "nat_src_addr": "198.51.100.1", "nat_dst_addr": "198.51.100.2",
        "nat_src_port": 4096, "icmp_type_code": 2051, "firewall_event": 2, "bytes": 256,
        "reverse_bytes": 512, "last": "2023-11-14T22:13:20.000Z" });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(row[name], *value, "{name}");
    }
}

/// Options of a sampler: id and rate, as v9 and IPFIX exporters send them.
fn sampler(message: Message, id: u8, rate: u32) -> Message {
    let scope = if message.version == 9 { field(1, 4) } else { field(143, 4) };
    let mut body = vec![0, 0, 0, 0, id];
    body.extend_from_slice(&rate.to_be_bytes());
    message.options_template(400, 1, &[scope, field(48, 1), field(34, 4)]).set(400, &body)
}

#[test]
fn a_rate_scales_bytes_and_packets_of_its_own_sampler_only() {
    let fields = [field(48, 1), field(1, 4), field(2, 4)];
    let record = |id: u8| [id, 0, 0, 0, 100, 0, 0, 0, 1];
    let data = |m: Message, ids: &[u8]| {
        let body: Vec<u8> = ids.iter().flat_map(|&id| record(id)).collect();
        m.set(256, &body).bytes()
    };
    for version in [9, 10] {
        let m = |sequence| Message::new(version, 3, sequence);
        let before = data(m(0).template(256, &fields), &[7]);
        let told = sampler(sampler(m(1), 7, 1000), 8, 10).bytes();
        let after = data(m(2), &[7, 8, 9]);
        let again = sampler(m(3), 7, 500).bytes();
        let last = data(m(4), &[7]);
        let rows = rows(&[before, told, after, again, last]);
        let found: Vec<(&Value, &Value, &Value)> =
            rows.iter().map(|r| (&r["sampling_rate"], &r["bytes_scaled"], &r["notes"])).collect();
        let none = Value::Null;
        let n = |n: u32| json!(n);
        assert_eq!(
            found,
            vec![
                (&none, &n(100), &n(1)),
                (&n(1000), &n(100_000), &n(0)),
                (&n(10), &n(1000), &n(0)),
                (&none, &n(100), &n(1)),
                (&n(500), &n(50_000), &n(0)),
            ]
        );
        assert!(rows.iter().all(|row| row["bytes"] == 100));
    }
}

#[test]
fn rows_that_waited_say_so_and_have_the_time_at_which_they_could_be_read() {
    let mut engine = Engine::new(Limits::default(), "default", "test");
    let data = Message::new(9, 3, 0).set(256, &plain_records(0, 3)).bytes();
    engine.datagram(NOW, EXPORTER, &data);
    engine.flush_flows();
    assert!(engine.take_flows().is_empty());
    let template = Message::new(9, 3, 1).template(256, &plain_fields()).bytes();
    engine.datagram(NOW + 5_000, EXPORTER, &template);
    engine.flush_flows();
    let flows = engine.take_flows().remove(0);
    assert_eq!((flows.received_min, flows.received_max), (NOW + 5_000, NOW + 5_000));
    let row: Value = serde_json::from_str(&json::row(&flows.batch, 2)).expect("a line of JSON");
    assert_eq!(row["notes"], 32 | 1);
}

#[test]
fn a_withdrawn_template_is_gone_and_another_may_take_its_id() {
    let other = [field(11, 2), field(4, 1)];
    let rows = rows(&[
        Message::new(10, 3, 0)
            .template(256, &plain_fields())
            .set(256, &plain_records(0, 1))
            .bytes(),
        Message::new(10, 3, 1).template(256, &[]).bytes(),
        Message::new(10, 3, 1).set(256, &[0, 53, 17]).bytes(),
        Message::new(10, 3, 2).template(256, &other).bytes(),
    ]);
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[1]["dst_port"], &rows[1]["protocol"]), (&json!(53), &json!(17)));
}

#[test]
fn batches_are_full_and_no_larger() {
    let limits = Limits { batch_rows_max: 10, ..Limits::default() };
    let mut engine = Engine::new(limits, "default", "test");
    let datagram = Message::new(9, 3, 0).template(256, &plain_fields());
    engine.datagram(NOW, EXPORTER, &datagram.set(256, &plain_records(0, 34)).bytes());
    engine.flush_flows();
    let rows: Vec<usize> = engine.take_flows().iter().map(|b| b.batch.num_rows()).collect();
    assert_eq!(rows, [10, 10, 10, 4]);
}
