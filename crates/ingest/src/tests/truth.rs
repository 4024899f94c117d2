//! Captures with the truth beside them: every field of every flow record, compared with what the
//! columns say.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::data;
use crate::decode::decode_files;

/// Elements that the truth names and no column has, with their numbers.
const EXTRA: [(&str, u16); 18] = [
    ("minimumTTL", 52),
    ("maximumTTL", 53),
    ("fragmentIdentification", 54),
    ("ipVersion", 60),
    ("ipv6ExtensionHeaders", 64),
    ("mplsTopLabelType", 46),
    ("mplsTopLabelIPv4Address", 47),
    ("mplsTopLabelPrefixLength", 91),
    ("mplsTopLabelIPv6Address", 140),
    ("octetDeltaSumOfSquares", 198),
    ("dot1qCustomerVlanId", 245),
    ("ipv6ExtensionHeadersFull", 515),
    ("srhFlagsIPv6", 492),
    ("srhTagIPv6", 493),
    ("srhSegmentIPv6", 494),
    ("srhActiveSegmentIPv6", 495),
    ("srhSegmentsIPv6Left", 498),
    ("samplerName", 84),
];

/// A message's words on times.
#[derive(Clone, Copy)]
struct Clock {
    export_ms: i64,
    uptime: Option<i64>,
}

fn ms(value: &Value) -> i64 {
    model::time::parse(value.as_str().expect("a time")).expect("an RFC 3339 time")
}

/// The expected row of one record: columns by name, and `extra` as element to present or not.
fn expected(record: &Value, clock: Clock) -> Map<String, Value> {
    // Of an element that comes twice the first counts, of two samplers the older element.
    let mut fields: BTreeMap<&str, &Value> = BTreeMap::new();
    for field in record["fields"].as_array().expect("fields") {
        for (name, value) in field.as_object().expect("a field") {
            fields.entry(name).or_insert(value);
        }
    }
    if fields.contains_key("samplerId") {
        fields.remove("selectorId");
    }
    let mut row = Map::new();
    let init = fields.get("systemInitTimeMilliseconds").map(|v| ms(v));
    for (&name, &value) in &fields {
        column(&mut row, name, value, clock, init);
    }
    either(&mut row, &fields, "src_addr", "sourceIPv4Address", "sourceIPv6Address");
    either(&mut row, &fields, "dst_addr", "destinationIPv4Address", "destinationIPv6Address");
    either(&mut row, &fields, "next_hop", "ipNextHopIPv4Address", "ipNextHopIPv6Address");
    either(&mut row, &fields, "bgp_next_hop", "bgpNextHopIPv4Address", "bgpNextHopIPv6Address");
    let labels = labels(&fields);
    if !labels.is_empty() {
        row.insert("mpls_labels".into(), json!(labels));
    }
    row
}

/// The IPv4 element, unless it is all zero and the IPv6 element is not.
fn either(
    row: &mut Map<String, Value>,
    fields: &BTreeMap<&str, &Value>,
    column: &str,
    v4: &str,
    v6: &str,
) {
    let value = match (fields.get(v4), fields.get(v6)) {
        (Some(v4), Some(v6)) if *v4 == "0.0.0.0" && *v6 != "::" => v6,
        (Some(v4), _) => v4,
        (None, Some(v6)) => v6,
        (None, None) => return,
    };
    row.insert(column.into(), (*value).clone());
}

fn labels(fields: &BTreeMap<&str, &Value>) -> Vec<u64> {
    let mut labels = Vec::new();
    let names = (2..=10).map(|i| format!("mplsLabelStackSection{i}"));
    for name in std::iter::once("mplsTopLabelStackSection".to_owned()).chain(names) {
        let Some(bytes) = fields.get(name.as_str()) else {
            break;
        };
        let byte = |i: usize| bytes[i].as_u64().expect("a byte");
        let section = byte(0) << 16 | byte(1) << 8 | byte(2);
        if section == 0 {
            break;
        }
        labels.push(section >> 4);
        if section & 1 == 1 {
            break;
        }
    }
    labels
}

fn column(
    row: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    clock: Clock,
    init: Option<i64>,
) {
    let uptime = |value: &Value| {
        let t = value.as_i64().expect("a sysUpTime");
        let base = clock.uptime.map(|uptime| clock.export_ms - uptime).or(init);
        base.map(|base| json!(model::time::rfc3339(base + t)))
    };
    let (column, value) = match name {
        "bgpDestinationAsNumber" => ("dst_as", value.clone()),
        "bgpSourceAsNumber" => ("src_as", value.clone()),
        "destinationIPv4PrefixLength" | "destinationIPv6PrefixLength" => {
            ("dst_mask", value.clone())
        }
        "sourceIPv4PrefixLength" | "sourceIPv6PrefixLength" => ("src_mask", value.clone()),
        "destinationTransportPort" => ("dst_port", value.clone()),
        "sourceTransportPort" => ("src_port", value.clone()),
        "egressInterface" => ("out_if", value.clone()),
        "ingressInterface" => ("in_if", value.clone()),
        "egressVRFID" => ("vrf_out", value.clone()),
        "ingressVRFID" => ("vrf_in", value.clone()),
        "vlanId" => ("src_vlan", value.clone()),
        "postVlanId" => ("dst_vlan", value.clone()),
        "flowLabelIPv6" => ("flow_label", value.clone()),
        "icmpTypeCodeIPv4" | "icmpTypeCodeIPv6" => ("icmp_type_code", value.clone()),
        "ipClassOfService" => ("tos", value.clone()),
        "octetDeltaCount" => ("bytes", value.clone()),
        "packetDeltaCount" => ("packets", value.clone()),
        "samplerId" | "selectorId" => ("sampler", value.clone()),
        "flowDirection" => ("direction", direction(value)),
        "flowEndReason" => ("end_reason", end_reason(value)),
        "forwardingStatus" => ("forwarding_status", forwarding(value)),
        "protocolIdentifier" => ("protocol", protocol(value)),
        "tcpControlBits" => ("tcp_flags", tcp_flags(value)),
        "flowEndMilliseconds" => ("last", json!(model::time::rfc3339(ms(value)))),
        "flowStartMilliseconds" => ("first", json!(model::time::rfc3339(ms(value)))),
        "flowEndSysUpTime" => match uptime(value) {
            Some(time) => ("last", time),
            None => return,
        },
        "flowStartSysUpTime" => match uptime(value) {
            Some(time) => ("first", time),
            None => return,
        },
        _ => return,
    };
    row.insert(column.to_owned(), value);
}

fn direction(value: &Value) -> Value {
    match value {
        Value::String(s) if s == "ingress" => json!(0),
        Value::String(_) => json!(1),
        other => other["Unassigned"].clone(),
    }
}

fn end_reason(value: &Value) -> Value {
    let names =
        ["idletimeout", "activetimeout", "endofFlowdetected", "forcedend", "lackofresources"];
    let at = names.iter().position(|name| value == name).expect("a known reason");
    json!(at + 1)
}

/// IANA's registry of forwarding status: the high two bits, then the reason.
fn forwarding(value: &Value) -> Value {
    if value["Consumed"] == "Forus" {
        return json!(195);
    }
    if value["Forwarded"] == "Unknown" {
        return json!(64);
    }
    value["Unknown"]["Unassigned"].clone()
}

fn protocol(value: &Value) -> Value {
    match value.as_str().expect("a name") {
        "IPv6ICMP" => json!(58),
        "TCP" => json!(6),
        "UDP" => json!(17),
        "IPv4" => json!(4),
        "VRRP" => json!(112),
        other => panic!("unknown protocol {other}"),
    }
}

fn tcp_flags(value: &Value) -> Value {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let bits = names.iter().enumerate().filter(|(_, name)| value[**name] == true);
    json!(bits.map(|(i, _)| 1 << i).sum::<u32>())
}

/// All flow records of a truth file: what is expected, and the names of the elements beside.
fn truth(path: &Path) -> Vec<(Map<String, Value>, Vec<String>)> {
    let text = std::fs::read_to_string(path).expect("a truth file");
    let mut rows = Vec::new();
    for line in text.lines() {
        let datagram: Value = serde_json::from_str(line).expect("a line of JSON");
        let message = datagram.as_object().and_then(|o| o.values().next()).expect("a message");
        let time = ["export_time", "unix_time"].iter().find_map(|n| message.get(*n));
        let clock = Clock {
            export_ms: ms(time.expect("a time")),
            uptime: message.get("sys_up_time").and_then(Value::as_i64),
        };
        let sets = message["sets"].as_array().expect("sets");
        let records = sets.iter().filter_map(|set| set["Data"]["records"].as_array()).flatten();
        for record in records.filter(|r| r["scope_fields"].as_array().is_some_and(Vec::is_empty)) {
            let fields = record["fields"].as_array().expect("fields").iter();
            let names = fields.flat_map(|f| f.as_object().expect("a field").keys().cloned());
            rows.push((expected(record, clock), names.collect()));
        }
    }
    rows
}

/// What ingest itself adds, and what the truth does not know.
const OWN: [&str; 11] = [
    "domain",
    "received",
    "exporter",
    "observation_domain",
    "export_version",
    "template",
    "sampling_rate",
    "bytes_scaled",
    "packets_scaled",
    "notes",
    "extra",
];

fn check(truth_path: &Path) -> usize {
    let capture = truth_path.to_string_lossy().replace("-flow.json", ".pcap");
    let mut out = Vec::new();
    decode_files(&[capture.clone().into()], &mut out).expect("a capture");
    let text = String::from_utf8(out).expect("lines of JSON");
    let mut found: Vec<(Map<String, Value>, Map<String, Value>)> = text
        .lines()
        .map(|line| {
            let mut row: Map<String, Value> = serde_json::from_str(line).expect("a line of JSON");
            let extra = row.get("extra").and_then(Value::as_object).cloned().unwrap_or_default();
            row.retain(|name, _| !OWN.contains(&name.as_str()));
            (row, extra)
        })
        .collect();
    let mut truth = truth(truth_path);
    // Records that waited for their template come later: the order is not what is compared.
    found.sort_by_cached_key(|(row, _)| format!("{row:?}"));
    truth.sort_by_cached_key(|(row, _)| format!("{row:?}"));
    for ((found, extra), (expected, names)) in found.iter().zip(&truth) {
        assert_eq!(found, expected, "{capture}");
        for (name, id) in EXTRA.iter().filter(|(name, _)| names.iter().any(|n| n == name)) {
            assert!(extra.contains_key(&id.to_string()), "{capture}: no {name} in {extra:?}");
        }
    }
    assert_eq!(found.len(), truth.len(), "{capture}");
    truth.len()
}

#[test]
fn captures_give_what_their_truth_says() {
    let Some(folder) = data::folder("flows/pcaps-with-truth") else {
        return;
    };
    let records: usize = data::files(&folder, "-flow.json").iter().map(|path| check(path)).sum();
    println!("{records} records agree with the truth");
    assert!(records > 200);
}
