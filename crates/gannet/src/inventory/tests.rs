//! The file's errors at their places; an inventory applied, and applied again without some of it.

use bus::EmbeddedLog;
use model::rows::ElementKind;

use super::file::load_text;
use super::*;

const FILE: &str = "
management: mgmt1
devices:
  - { name: edge1, address: 192.0.2.1, role: router, class: ios, snmp: { credential: public } }
  - { name: core1, address: 192.0.2.2, role: router }
  - { name: mgmt1, address: 192.0.2.9, role: host }
links:
  - { a: edge1 Gi0/1, b: core1 Gi0/2, speed_bps: 1000000000 }
  - { a: mgmt1 eth0, b: core1 Gi0/9 }
networks:
  - { name: web, prefix: 198.51.100.0/24, at: edge1 Gi0/5 }
groups:
  - { name: conduit-7, members: ['link/core1 Gi0/2--edge1 Gi0/1'] }
services:
  - { name: shop, members: [node/web] }
";

#[test]
fn what_does_not_fit_together_is_told_at_its_place() {
    let bad = FILE.replace("b: core1 Gi0/2", "b: core7 Gi0/2").replace("node/web]", "node/wob]");
    let error = load_text("inventory.yaml", &bad).unwrap_err().to_string();
    assert!(error.contains("there is no device core7"), "{error}");
    assert!(error.contains("inventory.yaml:8:"), "{error}");
    assert!(error.contains("there is no element node/wob"), "{error}");
    let error = load_text("inventory.yaml", "devces: []").unwrap_err().to_string();
    assert!(error.contains("devices"), "{error}");
}

#[test]
fn an_inventory_is_rows_of_devices_and_elements() {
    let inventory = load_text("inventory.yaml", FILE).unwrap();
    let devices = elements::devices(&inventory, 7);
    assert_eq!(devices[0].snmp_port, Some(161));
    assert_eq!(devices[1].snmp_port, None);
    let elements = elements::elements(&inventory, 7);
    let link = elements.iter().find(|e| e.kind == ElementKind::Link).unwrap();
    assert_eq!(link.id, "link/core1 Gi0/2--edge1 Gi0/1");
    assert_eq!(link.a_device.as_deref(), Some("core1"));
    let ids: Vec<&str> = elements.iter().map(|e| e.id.as_str()).collect();
    assert!(ids.contains(&"node/web") && ids.contains(&"service/shop"), "{ids:?}");
    assert_eq!(elements.iter().filter(|e| e.management == Some(true)).count(), 1);
}

#[test]
fn what_is_no_longer_in_the_file_is_taken_out() {
    let config = Config::default();
    let log = EmbeddedLog::in_memory().unwrap();
    bus::topics::apply(log.admin(), &bus::topics::catalogue(&config.bus)).unwrap();
    let mut inventory = load_text("inventory.yaml", FILE).unwrap();
    let applied = apply(&log, &config, &inventory, 1).unwrap();
    assert_eq!((applied.devices, applied.elements), (3, 8));
    inventory.devices.remove(0);
    let applied = apply(&log, &config, &inventory, 2).unwrap();
    assert_eq!((applied.devices, applied.devices_removed), (2, 1));
    let there = latest(&log, &config.bus.topic("inventory.v1"), "default").unwrap();
    assert_eq!(there.keys().collect::<Vec<_>>(), ["default/core1", "default/mgmt1"]);
}
