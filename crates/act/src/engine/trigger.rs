//! Whether an incident begins a playbook, and what its templates then see of it.

use model::rows::{Incident, IncidentState, Member};
use serde_json::{Map, Value, json};

use super::network::Network;
use crate::playbook::Playbook;

/// Where an incident's root is, as far as its entity says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    pub device: Option<String>,
    pub interface: Option<String>,
    pub address: Option<String>,
    pub exporter: Option<String>,
}

/// Whether the incident, as it now is, is one that the playbook is for.
pub fn matches(playbook: &Playbook, incident: &Incident) -> bool {
    let is_live = incident.state == IncidentState::Open && incident.merged_into.is_none();
    if !is_live || incident.entity.is_none() {
        return false;
    }
    match (&playbook.trigger.fault, &playbook.trigger.condition) {
        (Some(fault), _) => incident.cause.as_ref().is_some_and(|cause| cause.fault == *fault),
        (None, Some(_)) => {
            let rule = playbook.rule_name();
            incident.members.iter().any(|member| is_open(member) && member.rule == rule)
        }
        (None, None) => false,
    }
}

fn is_open(member: &Member) -> bool {
    member.cleared_ms.is_none()
}

/// The root's place in the network.
pub fn spot(incident: &Incident, network: &Network) -> Spot {
    let Some(entity) = &incident.entity else {
        return Spot::default();
    };
    let (domain, name) = (&incident.domain, entity.name.as_str());
    let known = |address: &str| network.device_at(domain, address).map(str::to_owned);
    match entity.kind.as_str() {
        "interface" => end(name),
        "link" => end(name.split("--").next().unwrap_or(name)),
        "host" => Spot { address: Some(name.to_owned()), ..Spot::default() },
        "exporter" => {
            Spot { exporter: Some(name.to_owned()), device: known(name), ..Spot::default() }
        }
        "device" | "node" => {
            Spot { device: Some(known(name).unwrap_or_else(|| name.to_owned())), ..Spot::default() }
        }
        _ => Spot::default(),
    }
}

/// `edge1 Gi0/1`.
fn end(text: &str) -> Spot {
    match text.split_once(' ') {
        Some((device, interface)) => Spot {
            device: Some(device.to_owned()),
            interface: Some(interface.to_owned()),
            ..Spot::default()
        },
        None => Spot { device: Some(text.to_owned()), ..Spot::default() },
    }
}

/// The variable `trigger`. What is not known is not there, and a template that needs it fails.
pub fn context(playbook: &Playbook, incident: &Incident, network: &Network) -> Value {
    let spot = spot(incident, network);
    let domain = &incident.domain;
    let mut map = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value);
        }
    };
    put("playbook", Some(json!(playbook.name)));
    put("incident", Some(json!(incident.id)));
    put("headline", Some(json!(incident.headline)));
    put("domain", Some(json!(domain)));
    put("entity", incident.entity.as_ref().map(|entity| json!(entity.name)));
    put("kind", incident.entity.as_ref().map(|entity| json!(entity.kind)));
    put("fault", incident.cause.as_ref().map(|cause| json!(cause.fault)));
    put("device", spot.device.as_ref().map(|device| json!(device)));
    put("interface", spot.interface.as_ref().map(|interface| json!(interface)));
    put("address", spot.address.as_ref().map(|address| json!(address)));
    put("exporter", spot.exporter.as_ref().map(|exporter| json!(exporter)));
    let speed = spot
        .device
        .as_ref()
        .and_then(|device| network.speed_bps(domain, device, spot.interface.as_deref()));
    put("speed_bps", speed.map(|speed| json!(speed)));
    let open = incident.members.iter().filter(|member| is_open(member));
    let value = open.chain(&incident.members).find_map(|member| member.value);
    put("value", value.map(|value| json!(value)));
    put("talker", talkers(incident, network, speed).into_iter().next());
    put("edges", Some(Value::Array(edges(incident, network))));
    Value::Object(map)
}

/// Values of the incident's anomalies by metric: what `network.get_device_metrics` answers from.
pub fn metrics(playbook: &Playbook, incident: &Incident) -> Value {
    let mut map = Map::new();
    for member in &incident.members {
        let Some(value) = member.value else {
            continue;
        };
        let name = match playbook.metric() {
            Some(metric) if member.rule == playbook.rule_name() => metric.to_owned(),
            _ => member.rule.trim_start_matches("playbook/").replace('-', "_"),
        };
        map.entry(name).or_insert(json!(value));
    }
    Value::Object(map)
}

/// Who carries most of the traffic, largest first: what `network.get_top_talkers` answers from.
/// `bandwidth` is the talker's share of what the interface carries, in bit/s, where that is known.
pub fn talkers(incident: &Incident, network: &Network, speed_bps: Option<u64>) -> Vec<Value> {
    let used = |member: &&Member| member.rule.contains("utilization") && member.value.is_some();
    let used = incident.members.iter().find(used).and_then(|member| member.value);
    let carried = speed_bps.map(|speed| speed as f64 * used.map_or(1.0, |used| used / 100.0));
    let one = |contributor: &model::rows::Contributor| {
        let mut addresses = addresses_in(&contributor.name);
        let (address, peer) = (addresses.next(), addresses.next());
        let mut talker = json!({
            "name": contributor.name,
            "weight": contributor.weight,
            "share": contributor.share,
        });
        if let Some(carried) = carried {
            talker["bandwidth"] = json!(carried * contributor.share);
        }
        if let Some(peer) = peer {
            talker["peer"] = json!(peer);
        }
        if let Some(address) = address {
            talker["address"] = json!(address);
            if let Some((device, interface)) = network.attachment(&incident.domain, address) {
                talker["device"] = json!(device);
                talker["interface"] = json!(interface);
            }
        }
        talker
    };
    incident.contributors.iter().map(one).collect()
}

/// The addresses in a contributor's name: of a conversation its source, then its destination.
fn addresses_in(name: &str) -> impl Iterator<Item = &str> {
    let words = name.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'));
    let words = words.map(|word| word.trim_end_matches([':', '.']));
    words.filter(|word| word.parse::<std::net::IpAddr>().is_ok())
}

/// The exporters among the contributors that are devices at the edge; all of them where none says
/// that it is one.
fn edges(incident: &Incident, network: &Network) -> Vec<Value> {
    let domain = &incident.domain;
    let mut all = Vec::new();
    for contributor in &incident.contributors {
        let address = addresses_in(&contributor.name).next().unwrap_or(&contributor.name);
        let Some(device) = network.device_at(domain, address) else {
            continue;
        };
        let role = network.role(domain, device).unwrap_or("");
        let is_edge = role.contains("edge") || device.contains("edge");
        all.push((
            is_edge,
            json!({
                "device": device,
                "address": address,
                "role": role,
                "share": contributor.share,
            }),
        ));
    }
    let any_edge = all.iter().any(|(is_edge, _)| *is_edge);
    let wanted = all.into_iter().filter(|(is_edge, _)| *is_edge || !any_edge);
    wanted.map(|(_, edge)| edge).collect()
}
