//! Agreement with netflow_parser, a decoder by others, on the fields that both know.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{NetflowPacket, NetflowParser};
use serde_json::{Map, Value};

use super::data;
use super::vendor::{engine, feed, groups};

/// Their names of a field, in lower case, and our column.
const FIELDS: [(&str, &str); 20] = [
    ("ipv4srcaddr", "src_addr"),
    ("ipv6srcaddr", "src_addr"),
    ("ipv4dstaddr", "dst_addr"),
    ("ipv6dstaddr", "dst_addr"),
    ("l4srcport", "src_port"),
    ("l4dstport", "dst_port"),
    ("inbytes", "bytes"),
    ("inpkts", "packets"),
    ("inputsnmp", "in_if"),
    ("outputsnmp", "out_if"),
    ("iana(sourceipv4address)", "src_addr"),
    ("iana(sourceipv6address)", "src_addr"),
    ("iana(destinationipv4address)", "dst_addr"),
    ("iana(destinationipv6address)", "dst_addr"),
    ("iana(sourcetransportport)", "src_port"),
    ("iana(destinationtransportport)", "dst_port"),
    ("iana(octetdeltacount)", "bytes"),
    ("iana(packetdeltacount)", "packets"),
    ("iana(ingressinterface)", "in_if"),
    ("iana(egressinterface)", "out_if"),
];

/// A value behind the names of its types.
fn scalar(value: Value) -> Value {
    match value {
        Value::Object(map) if map.len() == 1 => {
            map.into_iter().next().map_or(Value::Null, |(_, inner)| scalar(inner))
        }
        other => other,
    }
}

/// One record of theirs by our columns; of an element that comes twice the first.
fn record<F: Debug, V: serde::Serialize>(fields: &[(F, V)]) -> Map<String, Value> {
    let mut row = Map::new();
    for (field, value) in fields {
        let name = format!("{field:?}").to_lowercase();
        if let Some((_, column)) = FIELDS.iter().find(|(theirs, _)| *theirs == name) {
            let value = scalar(serde_json::to_value(value).expect("a value"));
            row.entry((*column).to_owned()).or_insert(value);
        }
    }
    row
}

fn theirs(paths: &[PathBuf]) -> Vec<Map<String, Value>> {
    let mut parser = NetflowParser::default();
    let mut rows = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).expect("a file that was listed");
        for packet in parser.parse_bytes(&bytes).packets {
            match packet {
                NetflowPacket::V9(packet) => {
                    for set in packet.flowsets {
                        if let v9::FlowSetBody::Data(data) = set.body {
                            rows.extend(data.fields.iter().map(|fields| record(fields)));
                        }
                    }
                }
                NetflowPacket::IPFix(packet) => {
                    for set in packet.flowsets {
                        if let ipfix::FlowSetBody::Data(data) = set.body {
                            rows.extend(data.fields.iter().map(|fields| record(fields)));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    rows
}

/// Their rows that are not among ours; a row of ours answers one of theirs.
fn missing(theirs: &[Map<String, Value>], ours: &[String]) -> usize {
    let mut rows: Vec<Option<Map<String, Value>>> =
        ours.iter().map(|row| serde_json::from_str(row).expect("a line of JSON")).collect();
    let agree = |our: &Map<String, Value>, their: &Map<String, Value>| {
        // A field of length zero is nothing here, and zero there.
        let same = |column: &String, value: &Value| match our.get(column) {
            Some(our) => our == value,
            None => *value == 0,
        };
        their.iter().all(|(column, value)| same(column, value))
    };
    let mut missing = 0;
    for their in theirs {
        let found = rows.iter_mut().find(|our| our.as_ref().is_some_and(|our| agree(our, their)));
        match found {
            Some(our) => *our = None,
            None => {
                println!("only theirs: {their:?}");
                missing += 1;
            }
        }
    }
    missing
}

#[test]
fn another_decoder_reads_the_same() {
    let Some(folder) = data::folder("flows/vendor-datagrams") else {
        return;
    };
    let mut differ: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut records, mut compared) = (0, 0);
    for (name, mut group) in groups(&folder) {
        if name == "ipfix.dat" {
            // Two messages in one: over UDP a datagram is one message (RFC 7011 §10.3), and the
            // rest is a counted problem; it reads on.
            continue;
        }
        // It keeps no data for a template that comes later.
        group.sort_by_key(|path| (!data::name(path).contains("tpl"), path.clone()));
        let theirs = theirs(&group);
        let ours = feed(&mut engine(), &group);
        compared += theirs.iter().map(Map::len).sum::<usize>();
        records += theirs.len();
        let missing = missing(&theirs, &ours);
        if missing > 0 {
            differ.insert(name, (missing, theirs.len()));
        }
    }
    println!("{records} records and {compared} fields compared, differ: {differ:?}");
    assert!(records > 300 && compared > 1_500);
    assert_eq!(differ, BTreeMap::new());
}
