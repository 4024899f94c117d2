//! Names out of the inventory and of interfaces: whose an address is, and what a number meant when.

use std::net::IpAddr;

use model::rows::{Device, Interface};

use crate::devices::Devices;
use crate::interfaces::{Interfaces, Port};

pub fn device(name: &str, address: &str, exporter: Option<&str>) -> Device {
    Device {
        domain: "default".to_owned(),
        device: name.to_owned(),
        address: address.to_owned(),
        exporter: exporter.map(str::to_owned),
        role: "router".to_owned(),
        class: None,
        site: None,
        snmp_port: Some(161),
        snmp_credential: Some("lab".to_owned()),
        updated_ms: 1,
    }
}

pub fn interface(name: &str, if_index: u32, from_ms: i64) -> Interface {
    Interface {
        domain: "default".to_owned(),
        device: "edge1".to_owned(),
        name: name.to_owned(),
        if_index,
        alias: None,
        descr: None,
        speed_bps: Some(1_000_000_000),
        admin_up: Some(true),
        oper_up: Some(true),
        address: Some("192.0.2.1".to_owned()),
        from_ms,
        received_ms: from_ms,
    }
}

fn name(devices: &Devices, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().expect("an address");
    devices.name_of(address).map(|name| name.to_string())
}

#[test]
fn an_address_has_the_name_of_its_device() {
    let devices = Devices::new(10);
    devices.put(device("edge1", "192.0.2.1", Some("198.51.100.1")));
    devices.put(device("edge2", "2001:db8::2", None));
    assert_eq!(name(&devices, "192.0.2.1").as_deref(), Some("edge1"));
    assert_eq!(name(&devices, "::ffff:192.0.2.1").as_deref(), Some("edge1"));
    assert_eq!(name(&devices, "198.51.100.1").as_deref(), Some("edge1"));
    assert_eq!(name(&devices, "2001:db8::2").as_deref(), Some("edge2"));
    assert_eq!(name(&devices, "203.0.113.9"), None);
    devices.put(device("edge1", "192.0.2.7", None));
    assert_eq!(name(&devices, "192.0.2.1"), None);
    assert_eq!(name(&devices, "192.0.2.7").as_deref(), Some("edge1"));
    devices.remove("default/edge1");
    assert_eq!(name(&devices, "192.0.2.7"), None);
}

#[test]
fn an_address_of_two_goes_to_the_one_that_is_left() {
    let devices = Devices::new(10);
    devices.put(device("edge1", "192.0.2.1", None));
    devices.put(device("edge2", "192.0.2.1", None));
    assert_eq!(name(&devices, "192.0.2.1").as_deref(), Some("edge1"));
    devices.remove("default/edge1");
    assert_eq!(name(&devices, "192.0.2.1").as_deref(), Some("edge2"));
}

#[test]
fn devices_and_interfaces_over_the_limit_are_not_known() {
    let devices = Devices::new(1);
    devices.put(device("edge1", "192.0.2.1", None));
    devices.put(device("edge2", "192.0.2.2", None));
    assert_eq!(name(&devices, "192.0.2.2"), None);
    let interfaces = Interfaces::new(1);
    interfaces.put(interface("Gi0/1", 1, 100));
    interfaces.put(interface("Gi0/2", 2, 100));
    assert_eq!(meaning(&interfaces, 2, 200), None);
}

fn meaning(interfaces: &Interfaces, if_index: u32, at_ms: i64) -> Option<String> {
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    let table = interfaces.read();
    let ports = table.ports(&model::addr::mapped(address))?;
    ports.at(if_index, at_ms).port.map(|port: &Port| port.name.clone())
}

#[test]
fn a_number_means_what_it_meant_at_the_time() {
    let interfaces = Interfaces::new(10);
    interfaces.put(interface("Gi0/1", 1, 100));
    interfaces.put(interface("Gi0/2", 2, 100));
    assert_eq!(meaning(&interfaces, 1, 99), None);
    assert_eq!(meaning(&interfaces, 1, 100).as_deref(), Some("Gi0/1"));
    // The device starts anew and both change places.
    interfaces.put(interface("Gi0/1", 2, 500));
    interfaces.put(interface("Gi0/2", 1, 500));
    for (if_index, at_ms, name) in
        [(1, 499, "Gi0/1"), (2, 499, "Gi0/2"), (1, 500, "Gi0/2"), (2, 500, "Gi0/1")]
    {
        assert_eq!(meaning(&interfaces, if_index, at_ms).as_deref(), Some(name));
    }
    // One moves away and nobody takes its number.
    interfaces.put(interface("Gi0/1", 7, 900));
    assert_eq!(meaning(&interfaces, 2, 899).as_deref(), Some("Gi0/1"));
    assert_eq!(meaning(&interfaces, 2, 900), None);
    assert_eq!(meaning(&interfaces, 7, 900).as_deref(), Some("Gi0/1"));
    interfaces.remove("default/edge1/Gi0/2", 950);
    assert_eq!(meaning(&interfaces, 1, 949).as_deref(), Some("Gi0/2"));
    assert_eq!(meaning(&interfaces, 1, 950), None);
    assert_eq!(interfaces.of_device("default", "edge1").len(), 1);
}
