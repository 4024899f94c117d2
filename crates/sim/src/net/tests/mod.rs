//! The simulated network against its own promises: what each fault shows and what its repair ends,
//! ordinary days, determinism, SNMP's order, the command line, and all of it over real sockets.

mod faults;
mod ordinary;
mod protocol;
mod sockets;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use model::snmp::{Oid, Request, Value, VarBind};
use netflow_parser::variable_versions::ipfix::FlowSetBody as IpfixBody;
use netflow_parser::variable_versions::v9::FlowSetBody as V9Body;
use netflow_parser::{NetflowPacket, NetflowParser};

use super::faults::{Fault, Placed, Truth};
use super::params::Params;
use super::world::{Net, Output};
use crate::exporter::Datagram;
use crate::tests::{Record, bytes, id_of};

/// A Tuesday, 16:00 UTC: the busiest hour.
const START_MS: i64 = 1_779_811_200_000;
const IF_ENTRY: &str = "1.3.6.1.2.1.2.2.1";
const IFX_ENTRY: &str = "1.3.6.1.2.1.31.1.1.1";

fn params(seed: u64) -> Params {
    Params { seed, start_ms: START_MS, ..Params::default() }
}

fn broken(seed: u64, fault: Fault) -> Params {
    let placed = Placed { fault, after_s: 30, for_s: None, at: None };
    Params { faults: vec![placed], ..params(seed) }
}

fn after(seconds: i64) -> i64 {
    START_MS + seconds * 1_000
}

fn get(net: &mut Net, device: &str, now_ms: i64, oid: &str) -> Option<Value> {
    let request = Request::Get(vec![oid.parse().unwrap()]);
    Some(net.snmp(device, now_ms, &request)?.binds.remove(0).value)
}

fn number(net: &mut Net, device: &str, now_ms: i64, oid: &str) -> u64 {
    get(net, device, now_ms, oid).and_then(|value| value.as_u64()).unwrap()
}

fn set_admin(net: &mut Net, device: &str, now_ms: i64, index: u32, status: i32) -> u32 {
    let oid: Oid = format!("{IF_ENTRY}.7.{index}").parse().unwrap();
    let bind = VarBind { oid, value: Value::Integer(status) };
    net.snmp(device, now_ms, &Request::Set(vec![bind])).unwrap().error_status
}

/// ("edge1", ifIndex) of `edge1 Te0/1`.
fn place(net: &Net, name: &str) -> (String, u32) {
    let (device, port) = name.split_once(' ').unwrap();
    let id = net.layout.device(device).unwrap();
    let port = net.layout.port(id, port).unwrap();
    (device.to_owned(), net.layout.ports[port].index)
}

/// `TenGigabitEthernet0/1` of `Te0/1`: what a device calls it in its messages.
fn long(port: &str) -> String {
    let (kind, number) = port.split_at(2);
    let kind = match kind {
        "Te" => "TenGigabitEthernet",
        "Gi" => "GigabitEthernet",
        _ => "FastEthernet",
    };
    format!("{kind}{number}")
}

/// The one fault of a run.
struct Known {
    root: String,
    kind: String,
    also: Vec<String>,
    may_touch: Vec<String>,
    repair: Option<String>,
    hosts: Vec<String>,
}

fn known(net: &Net) -> Known {
    match net.truth().into_iter().nth(1) {
        Some(Truth::Fault { root, also, may_touch, repair, hosts, .. }) => Known {
            root: root.name,
            kind: root.kind,
            also: also.into_iter().map(|root| root.name).collect(),
            may_touch,
            repair,
            hosts: hosts.iter().map(ToString::to_string).collect(),
        },
        other => panic!("no fault in the truth: {other:?}"),
    }
}

/// (time, device, text) of all that was said.
fn said(net: &Net, outputs: &[Output]) -> Vec<(i64, String, String)> {
    let name = |from| net.devices().find(|(_, address)| *address == from).unwrap().0.to_owned();
    let one = |output: &Output| match output {
        Output::Syslog { time_ms, from, bytes } => {
            Some((*time_ms, name(*from), String::from_utf8(bytes.clone()).unwrap()))
        }
        Output::Flows(_) => None,
    };
    outputs.iter().filter_map(one).collect()
}

/// What an independent decoder reads in the flows.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    exporter: Ipv4Addr,
    time_ms: i64,
    src: String,
    dst: String,
    in_if: u64,
    out_if: u64,
    octets: u64,
    flags: u64,
}

fn flows(outputs: &[Output]) -> Vec<Seen> {
    let mut parsers: BTreeMap<Ipv4Addr, NetflowParser> = BTreeMap::new();
    let mut all = Vec::new();
    for output in outputs {
        let Output::Flows(datagram) = output else { continue };
        let parser = parsers.entry(datagram.exporter).or_default();
        for packet in parser.parse_bytes(&datagram.bytes).packets {
            all.extend(records(packet).iter().map(|record| seen(record, datagram)));
        }
    }
    all
}

fn records(packet: NetflowPacket) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    match packet {
        NetflowPacket::V9(v9) => {
            for set in v9.flowsets {
                if let V9Body::Data(data) = set.body {
                    records.extend(data.fields.iter().map(|fields| {
                        fields.iter().map(|(id, value)| (u16::from(*id), bytes(value))).collect()
                    }));
                }
            }
        }
        NetflowPacket::IPFix(ipfix) => {
            for set in ipfix.flowsets {
                if let IpfixBody::Data(data) = set.body {
                    records.extend(data.fields.iter().map(|fields| {
                        fields.iter().map(|(field, value)| (id_of(field), bytes(value))).collect()
                    }));
                }
            }
        }
        other => panic!("neither v9 nor IPFIX: {other:?}"),
    }
    records
}

fn seen(record: &Record, datagram: &Datagram) -> Seen {
    let number = |id: u16| record[&id].iter().fold(0u64, |n, octet| n << 8 | u64::from(*octet));
    let address = |id: u16| Ipv4Addr::from_bits(number(id) as u32).to_string();
    Seen {
        exporter: datagram.exporter,
        time_ms: datagram.time_ms,
        src: address(8),
        dst: address(12),
        in_if: number(10),
        out_if: number(14),
        octets: number(1),
        flags: number(6),
    }
}
