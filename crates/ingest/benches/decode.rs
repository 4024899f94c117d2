//! Decoding NetFlow v9 beside netflow_parser in the same run: one template of 20 fields and 55
//! bytes, 24 records a datagram. Ours ends in record batches with their nulls, ledger and duplicate
//! check included; the other's result is only walked. Then messages of syslog into events.
//! `cargo bench -p ingest`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ingest::Devices;
use ingest::engine::Engine;
use ingest::engine::join::Names;
use ingest::engine::limits::Limits;
use ingest::interfaces::Interfaces;
use model::rows::{Device, Interface};
use netflow_parser::variable_versions::v9::FlowSetBody;
use netflow_parser::{NetflowPacket, NetflowParser};

/// Element and length: 20 fields, 55 bytes.
const FIELDS: [(u16, u16); 20] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (6, 1),
    (4, 1),
    (5, 1),
    (61, 1),
    (89, 1),
];
const RECORDS: u32 = 24;
const DATAGRAMS: u32 = 20_000;
const ROUNDS: usize = 7;
/// Interfaces that flows name.
const IFS: u32 = 96;

fn header(sequence: u32) -> Vec<u8> {
    let mut out = vec![0, 9, 0, 24];
    for word in [3_600_000u32, 1_700_000_000, sequence, 1] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out
}

fn template() -> Vec<u8> {
    let mut out = header(0);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(8 + FIELDS.len() as u16 * 4).to_be_bytes());
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(FIELDS.len() as u16).to_be_bytes());
    for (id, len) in FIELDS {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
    }
    out
}

/// Every flow is another one.
fn data(sequence: u32) -> Vec<u8> {
    let mut out = header(sequence);
    let stride: u16 = FIELDS.iter().map(|(_, len)| len).sum();
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(4 + RECORDS as u16 * stride).to_be_bytes());
    for i in 0..RECORDS {
        let mut state = (sequence * RECORDS + i).wrapping_mul(2_654_435_761);
        for (id, len) in FIELDS {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = match id {
                21 | 22 => 3_500_000 + state % 100_000,
                10 | 14 => (state >> 8) % IFS,
                _ => state,
            };
            out.extend_from_slice(&value.to_be_bytes()[4 - usize::from(len)..]);
        }
    }
    out
}

/// The exporter in the inventory, with 48 interfaces: those of every other flow.
fn names() -> Names {
    let names = Names { devices: Devices::new(10), interfaces: Interfaces::new(100) };
    let text = |text: &str| Some(text.to_owned());
    names.devices.put(Device {
        domain: "default".to_owned(),
        device: "edge1".to_owned(),
        address: "192.0.2.1".to_owned(),
        exporter: None,
        role: "router".to_owned(),
        class: None,
        site: None,
        snmp_port: None,
        snmp_credential: None,
        updated_ms: 0,
    });
    for if_index in 0..IFS / 2 {
        names.interfaces.put(Interface {
            domain: "default".to_owned(),
            device: "edge1".to_owned(),
            name: format!("Gi0/{if_index}"),
            if_index,
            alias: None,
            descr: None,
            speed_bps: Some(1_000_000_000),
            admin_up: None,
            oper_up: None,
            address: text("192.0.2.1"),
            from_ms: 0,
            received_ms: 0,
        });
    }
    names
}

/// Seconds of decoding all datagrams into record batches.
fn ours(datagrams: &[Vec<u8>], names: Option<&Names>) -> f64 {
    let exporter = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut engine = Engine::new(Limits::default(), "default", "bench");
    if let Some(names) = names {
        engine.name_with(names.clone());
    }
    engine.datagram(1_700_000_000_000, exporter, &template());
    let start = Instant::now();
    let mut rows = 0;
    for datagram in datagrams {
        engine.datagram(1_700_000_000_000, exporter, datagram);
        for flows in engine.take_flows() {
            rows += black_box(&flows.batch).num_rows();
        }
    }
    engine.flush_flows();
    rows +=
        engine.take_flows().iter().map(|flows| black_box(&flows.batch).num_rows()).sum::<usize>();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(rows, datagrams.len() * RECORDS as usize);
    assert_eq!(engine.problems().total(), 0);
    seconds
}

/// Seconds of netflow_parser over the same datagrams, its result walked.
fn theirs(datagrams: &[Vec<u8>]) -> f64 {
    let mut parser = NetflowParser::default();
    assert!(parser.parse_bytes(&template()).error.is_none());
    let start = Instant::now();
    let mut records = 0;
    for datagram in datagrams {
        for packet in &parser.parse_bytes(datagram).packets {
            let NetflowPacket::V9(v9) = packet else {
                continue;
            };
            for set in &v9.flowsets {
                if let FlowSetBody::Data(data) = &set.body {
                    records += black_box(&data.fields).len();
                }
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(records, datagrams.len() * RECORDS as usize);
    seconds
}

/// Messages as routers, switches and hosts send them.
const MESSAGES: [&str; 8] = [
    "<187>94: edge1: *Nov 26 10:00:00.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed \
     state to down",
    "<189>95: edge1: *Nov 26 10:00:00.123: %BGP-5-ADJCHANGE: neighbor 192.0.2.9 Down Peer closed",
    "<187>7: pe1 LC/0/2/CPU0:Nov 26 10:00:00.500 UTC: ifmgr[214]: %PKT_INFRA-LINK-3-UPDOWN : \
     Interface TenGigE0/2/0/4, changed state to Down",
    "<189>2026 Nov 26 10:00:00 leaf1 %ETHPORT-5-IF_UP: Interface Ethernet1/33 is up in mode trunk",
    "<28>Nov 26 10:00:00  core1 rpd[2902]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.9 \
     (External AS 64500) changed state from OpenConfirm to Established (event RecvKeepAlive)",
    "<165>Nov 26 10:00:00 veos1 Ebra: %LINEPROTO-5-UPDOWN: Line protocol on Interface Ethernet28, \
     changed state to up",
    "<86>1 2026-11-26T10:00:00.123Z host1 sshd 1923 - - Accepted publickey for root from 192.0.2.4",
    "<86>Nov 26 10:00:00 host1 sshd[1923]: Accepted publickey for root from 192.0.2.4 port 4022",
];
const ROUNDS_OF_MESSAGES: usize = 40_000;

/// Seconds of reading messages into events.
fn syslog() -> f64 {
    let limit = ingest::syslog::SyslogConfig::default().message_bytes_max;
    let start = Instant::now();
    for _ in 0..ROUNDS_OF_MESSAGES {
        for message in MESSAGES {
            let bytes = message.as_bytes();
            let at = 1_795_687_200_000;
            black_box(ingest::syslog::event("default", "edge1", at, bytes, limit));
        }
    }
    start.elapsed().as_secs_f64()
}

fn main() {
    let datagrams: Vec<Vec<u8>> = (1..=DATAGRAMS).map(data).collect();
    let stride: u16 = FIELDS.iter().map(|(_, len)| len).sum();
    assert_eq!((FIELDS.len(), stride), (20, 55));
    let records = f64::from(DATAGRAMS * RECORDS);
    let (mut best_ours, mut best_named, mut best_theirs) = (f64::MAX, f64::MAX, f64::MAX);
    let names = names();
    for _ in 0..ROUNDS {
        best_ours = best_ours.min(ours(&datagrams, None));
        best_named = best_named.min(ours(&datagrams, Some(&names)));
        best_theirs = best_theirs.min(theirs(&datagrams));
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let (ours, theirs) = (records / best_ours / 1e6, records / best_theirs / 1e6);
    println!("decode: v9, 20 fields, 55 bytes, {RECORDS} records a datagram, best of {ROUNDS}");
    println!("decode: ours into record batches  {ours:6.2} M records/s/core");
    let named = records / best_named / 1e6;
    println!("decode: ours with names joined    {named:6.2} M records/s/core");
    println!("decode: netflow_parser 1.0.6      {theirs:6.2} M records/s/core");
    println!("decode: ratio {:.1}, load {load} (goal: 8 M records/s idle, ratio 6)", ours / theirs);
    let messages = (ROUNDS_OF_MESSAGES * MESSAGES.len()) as f64;
    let best = (0..ROUNDS).map(|_| syslog()).fold(f64::MAX, f64::min);
    // syslog_loose 0.23 parsed 0.71 to 0.79 M messages/s of such devices, without rows
    // (research/ingest.md §1).
    println!("decode: syslog into events        {:6.2} M messages/s/core", messages / best / 1e6);
}
