//! An inventory as rows: devices to watch, and the elements of the topology.

use std::collections::BTreeSet;

use model::rows::{Device, Element, ElementKind};

use super::file::{DeviceEntry, Inventory, LinkEntry, MembersEntry, NetworkEntry, end};

pub fn devices(inventory: &Inventory, now_ms: i64) -> Vec<Device> {
    let one = |entry: &DeviceEntry| Device {
        domain: inventory.domain.clone(),
        device: entry.name.clone(),
        address: entry.address.to_string(),
        exporter: entry.exporter.map(|address| address.to_string()),
        role: entry.role.clone(),
        class: entry.class.clone(),
        site: entry.site.clone(),
        snmp_port: entry.snmp.as_ref().map(|snmp| snmp.port),
        snmp_credential: entry.snmp.as_ref().map(|snmp| snmp.credential.clone()),
        updated_ms: now_ms,
    };
    inventory.devices.iter().map(one).collect()
}

/// Nodes first, so that what refers to them finds them.
pub fn elements(inventory: &Inventory, now_ms: i64) -> Vec<Element> {
    let blank = |kind, id: String, name: &str| Element {
        domain: inventory.domain.clone(),
        time_ms: now_ms,
        id,
        kind,
        name: name.to_owned(),
        role: None,
        site: None,
        address: None,
        exporter: None,
        class: None,
        a_device: None,
        a_interface: None,
        b_device: None,
        b_interface: None,
        speed_bps: None,
        management: None,
        members: Vec::new(),
        removed: false,
    };
    let node = |entry: &DeviceEntry| Element {
        role: Some(entry.role.clone()),
        site: entry.site.clone(),
        address: Some(entry.address.to_string()),
        exporter: entry.exporter.map(|address| address.to_string()),
        class: entry.class.clone(),
        management: (inventory.management.as_ref() == Some(&entry.name)).then_some(true),
        ..blank(ElementKind::Node, node_id(&entry.name), &entry.name)
    };
    let network = |entry: &NetworkEntry| Element {
        role: Some("network".to_owned()),
        address: Some(entry.prefix.clone()),
        a_device: Some(end(&entry.at).0.to_owned()),
        a_interface: Some(end(&entry.at).1.to_owned()),
        ..blank(ElementKind::Node, node_id(&entry.name), &entry.name)
    };
    let link = |entry: &LinkEntry| {
        let (a, b) = (end(&entry.a), end(&entry.b));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        Element {
            a_device: Some(a.0.to_owned()),
            a_interface: Some(a.1.to_owned()),
            b_device: Some(b.0.to_owned()),
            b_interface: Some(b.1.to_owned()),
            speed_bps: entry.speed_bps,
            ..blank(ElementKind::Link, link_id(entry), &format!("{} {}--{} {}", a.0, a.1, b.0, b.1))
        }
    };
    let members = |kind, id: String, entry: &MembersEntry| Element {
        members: entry.members.clone(),
        ..blank(kind, id, &entry.name)
    };
    let group = |entry| members(ElementKind::Group, group_id(entry), entry);
    let service = |entry| members(ElementKind::Service, service_id(entry), entry);
    let nodes = inventory.devices.iter().map(node).chain(inventory.networks.iter().map(network));
    let rest = inventory.links.iter().map(link).chain(inventory.groups.iter().map(group));
    nodes.chain(rest).chain(inventory.services.iter().map(service)).collect()
}

/// What is there and no longer in the inventory, as its removal.
pub fn removed(there: &[Element], now: &[Element], now_ms: i64) -> Vec<Element> {
    let kept: BTreeSet<&str> = now.iter().map(|element| element.id.as_str()).collect();
    let gone = there.iter().filter(|element| !kept.contains(element.id.as_str()));
    let gone = gone.filter(|element| !element.removed);
    gone.map(|element| Element { removed: true, time_ms: now_ms, ..element.clone() }).collect()
}

/// Ids that a group or service may name.
pub(super) fn ids(inventory: &Inventory) -> BTreeSet<String> {
    let devices = inventory.devices.iter().map(|entry| node_id(&entry.name));
    let networks = inventory.networks.iter().map(|entry| node_id(&entry.name));
    let links = inventory.links.iter().map(link_id);
    let groups = inventory.groups.iter().map(group_id);
    devices.chain(networks).chain(links).chain(groups).collect()
}

fn node_id(name: &str) -> String {
    format!("node/{name}")
}

fn link_id(entry: &LinkEntry) -> String {
    Element::link_id(end(&entry.a), end(&entry.b))
}

fn group_id(entry: &MembersEntry) -> String {
    format!("group/{}", entry.name)
}

fn service_id(entry: &MembersEntry) -> String {
    format!("service/{}", entry.name)
}
