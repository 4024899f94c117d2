//! Real devices, as they were recorded: every interface of a walk is told, by its name.

use std::collections::BTreeMap;
use std::fs;

use model::snmp::{Oid, Value};

use super::super::data;
use super::agent::Agent;
use super::poller::{START, config, device};
use crate::snmp::Poller;

/// A few lines of a walk of an IOS router, for where the recordings are not.
const SAMPLE: &str = "\
1.3.6.1.2.1.1.3.0|67|13866832
1.3.6.1.2.1.2.2.1.2.1|4x|4661737445746865726e6574302f30
1.3.6.1.2.1.2.2.1.2.3|4|Null0
1.3.6.1.2.1.2.2.1.5.1|66|100000000
1.3.6.1.2.1.2.2.1.5.3|66|4294967295
1.3.6.1.2.1.2.2.1.7.1|2|1
1.3.6.1.2.1.2.2.1.7.3|2|1
1.3.6.1.2.1.2.2.1.8.1|2|1
1.3.6.1.2.1.2.2.1.8.3|2|1
1.3.6.1.2.1.2.2.1.10.1|65|24512
1.3.6.1.2.1.2.2.1.10.3|65|0
1.3.6.1.2.1.2.2.1.16.1|65|24512
1.3.6.1.2.1.2.2.1.16.3|65|0
1.3.6.1.2.1.31.1.1.1.1.1|4|Fa0/0
1.3.6.1.2.1.31.1.1.1.1.3|4|Nu0
1.3.6.1.2.1.31.1.1.1.6.1|70|24512
1.3.6.1.2.1.31.1.1.1.10.1|70|24512
1.3.6.1.4.1.9.9.109.1.1.1.1.6.1|66|3
";

/// An agent that answers as a recording does.
fn agent(walk: &str) -> Agent {
    let mut agent = Agent::default();
    for line in walk.lines() {
        let mut parts = line.splitn(3, '|');
        let (Some(oid), Some(kind), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Some((oid, value)) = oid.parse::<Oid>().ok().zip(value(kind, text)) else {
            continue;
        };
        agent.objects.insert(oid, value);
    }
    agent
}

fn value(kind: &str, text: &str) -> Option<Value> {
    let hex = |text: &str| -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks_exact(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    };
    Some(match kind {
        "2" => Value::Integer(text.parse().ok()?),
        "4" => Value::OctetString(text.as_bytes().to_vec()),
        "4x" => Value::OctetString(hex(text)?),
        "6" => Value::ObjectId(text.parse().ok()?),
        "65" => Value::Counter32(text.parse().ok()?),
        "66" => Value::Gauge32(text.parse().ok()?),
        "67" => Value::TimeTicks(text.parse().ok()?),
        "70" => Value::Counter64(text.parse().ok()?),
        _ => return None,
    })
}

/// Interfaces of a walk by name: kept rows, and the metrics of one poll by name and count.
fn told(walk: &str) -> (Vec<String>, BTreeMap<String, usize>) {
    let mut agent = agent(walk);
    let mut poller = Poller::new(config(), "one");
    poller.put(device("edge1"), START, Vec::new);
    let at_ms = poller.next_due().expect("a device");
    let mut next = poller.due(at_ms).pop();
    while let Some(ask) = next {
        let response = agent.ask(&ask.request);
        next = poller.answer(&ask, at_ms, response.as_ref());
    }
    let polled = poller.take().pop().expect("a poll");
    let mut metrics = BTreeMap::new();
    for row in &polled.metrics {
        *metrics.entry(row.metric.clone()).or_insert(0) += 1;
    }
    (polled.interfaces.into_iter().map(|row| row.name).collect(), metrics)
}

#[test]
fn a_router_with_wide_counters_for_some_of_its_interfaces() {
    let (names, metrics) = told(SAMPLE);
    assert_eq!(names, ["Fa0/0", "Nu0"]);
    assert_eq!(metrics.get("ifHCInOctets"), Some(&1));
    assert_eq!(metrics.get("ifInOctets"), Some(&1));
    assert_eq!(metrics.get("ifOperStatus"), Some(&2));
    assert_eq!(metrics.get("cpu_usage"), Some(&1));
}

#[test]
fn recorded_devices_are_told_whole() {
    let Some(walks) = data::folder("snmp/walks") else {
        return;
    };
    // Interfaces, and those with 64-bit counters.
    for (walk, interfaces, wide) in [
        ("ios/7206VXR", 3, 2),
        ("arista_eos/device_1", 4, 4),
        ("comware/VSR1000", 11, 11),
        ("routeros/CHR_1", 32, 32),
        ("routeros/CHR_2", 4, 4),
    ] {
        let text = fs::read_to_string(walks.join(walk).join("public.snmprec")).expect(walk);
        let (names, metrics) = told(&text);
        let count = |metric| metrics.get(metric).copied().unwrap_or(0);
        assert_eq!(names.len(), interfaces, "{walk}: {names:?}");
        assert_eq!(count("ifOperStatus"), interfaces, "{walk}");
        assert_eq!(count("ifHCInOctets"), wide, "{walk}");
        assert_eq!(count("ifHCInOctets") + count("ifInOctets"), interfaces, "{walk}");
    }
}
