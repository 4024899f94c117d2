//! What act knows of the network: elements, devices and interfaces as they now are, handed in by
//! the service. Bounded; what does not fit is counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::rows::{Device, Element, ElementKind, Interface};

use super::graph::Graph;
use crate::driver::Target;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Network {
    elements: BTreeMap<String, Element>,
    devices: BTreeMap<(String, String), Device>,
    interfaces: BTreeMap<(String, String, String), Interface>,
    /// Whether what was on the log has been read: nothing is planned before.
    pub is_ready: bool,
    refused: u64,
}

// === impl Network ===

impl Network {
    /// An element as it now is; a full table takes no new one.
    pub fn element(&mut self, element: Element, most: u32) {
        let key = element.record_key();
        if element.removed {
            self.elements.remove(&key);
        } else if fits(self.elements.contains_key(&key), self.elements.len(), most) {
            self.elements.insert(key, element);
        } else {
            self.refused += 1;
        }
    }

    pub fn device(&mut self, device: Device, most: u32) {
        let key = (device.domain.clone(), device.device.clone());
        if fits(self.devices.contains_key(&key), self.devices.len(), most) {
            self.devices.insert(key, device);
        } else {
            self.refused += 1;
        }
    }

    /// A device that was taken out of the inventory (its record's key).
    pub fn device_gone(&mut self, record_key: &str) {
        self.devices.retain(|_, device| device.record_key() != record_key);
    }

    pub fn interface(&mut self, interface: Interface, most: u32) {
        let Interface { domain, device, name, .. } = &interface;
        let key = (domain.clone(), device.clone(), name.clone());
        if fits(self.interfaces.contains_key(&key), self.interfaces.len(), most) {
            self.interfaces.insert(key, interface);
        } else {
            self.refused += 1;
        }
    }

    /// What did not fit since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Where calls for a device go.
    pub fn target(&self, domain: &str, device: &str) -> Option<Target> {
        let found = self.devices.get(&(domain.to_owned(), device.to_owned()))?;
        Some(Target {
            name: found.device.clone(),
            address: found.address.clone(),
            class: found.class.clone(),
            snmp_port: found.snmp_port,
            credential: found.snmp_credential.clone(),
        })
    }

    pub fn role(&self, domain: &str, device: &str) -> Option<&str> {
        let found = self.devices.get(&(domain.to_owned(), device.to_owned()))?;
        Some(&found.role)
    }

    pub fn find_interface(&self, domain: &str, device: &str, name: &str) -> Option<&Interface> {
        self.interfaces.get(&(domain.to_owned(), device.to_owned(), name.to_owned()))
    }

    /// The device with this address, by which it is managed or sends its flows.
    pub fn device_at(&self, domain: &str, address: &str) -> Option<&str> {
        let is_it = |device: &&Device| {
            device.domain == domain
                && (device.address == address
                    || device.exporter.as_deref() == Some(address)
                    || device.device == address)
        };
        self.devices.values().find(is_it).map(|device| device.device.as_str())
    }

    /// The device that a host's address is attached to: the other end of the link of the node that
    /// has the address or the longest prefix around it.
    pub fn attachment(&self, domain: &str, address: &str) -> Option<(&str, &str)> {
        let address: IpAddr = address.parse().ok()?;
        let nodes = self.of(domain).filter(|e| e.kind == ElementKind::Node);
        let around = nodes.filter_map(|node| {
            let bits = prefix_around(node.address.as_deref()?, address)?;
            self.device_row(domain, &node.name).is_none().then_some((bits, node))
        });
        let (_, node) = around.max_by_key(|(bits, _)| *bits)?;
        let is_end = |end: &Option<String>| end.as_deref() == Some(node.name.as_str());
        self.of(domain).filter(|e| e.kind == ElementKind::Link).find_map(|link| {
            let (device, interface) = match (is_end(&link.a_device), is_end(&link.b_device)) {
                (true, false) => (&link.b_device, &link.b_interface),
                (false, true) => (&link.a_device, &link.a_interface),
                _ => return None,
            };
            Some((device.as_deref()?, interface.as_deref().unwrap_or("")))
        })
    }

    fn device_row(&self, domain: &str, device: &str) -> Option<&Device> {
        self.devices.get(&(domain.to_owned(), device.to_owned()))
    }

    pub fn site(&self, domain: &str, device: &str) -> Option<&str> {
        let found = self.devices.get(&(domain.to_owned(), device.to_owned()));
        found.and_then(|device| device.site.as_deref())
    }

    /// The speed of an interface, or of its link; without a name the largest of the device.
    pub fn speed_bps(&self, domain: &str, device: &str, interface: Option<&str>) -> Option<u64> {
        let Some(interface) = interface else {
            let ends = |link: &&Element| {
                [&link.a_device, &link.b_device].iter().any(|end| end.as_deref() == Some(device))
            };
            return self.of(domain).filter(ends).filter_map(|link| link.speed_bps).max();
        };
        let found = self.find_interface(domain, device, interface);
        let own = found.and_then(|found| found.speed_bps).filter(|speed| *speed > 0);
        own.or_else(|| self.link(domain, device, interface)?.speed_bps)
    }

    pub fn link(&self, domain: &str, device: &str, interface: &str) -> Option<&Element> {
        let is = |end: &Option<String>, name: &str| end.as_deref() == Some(name);
        self.of(domain).find(|link| {
            (is(&link.a_device, device) && is(&link.a_interface, interface))
                || (is(&link.b_device, device) && is(&link.b_interface, interface))
        })
    }

    /// Services and groups that one of these elements (ids) is a member of.
    pub fn services_of(&self, domain: &str, ids: &[String]) -> Vec<String> {
        let services = self.of(domain).filter(|e| e.kind == ElementKind::Service);
        let with = services.filter(|s| s.members.iter().any(|member| ids.contains(member)));
        with.map(|service| service.name.clone()).collect()
    }

    /// Whether this is the address of a device, so of the network itself.
    pub fn is_own_address(&self, domain: &str, address: &str) -> bool {
        let own = self.devices.values().filter(|device| device.domain == domain);
        let mut addresses = own.flat_map(|d| [Some(&d.address), d.exporter.as_ref()]).flatten();
        addresses.any(|own| own == address)
            || self
                .of(domain)
                .any(|e| e.management == Some(true) && e.address.as_deref() == Some(address))
    }

    /// The graph of a domain; links with an interface that is known to be down are down.
    pub fn graph(&self, domain: &str) -> Graph {
        let mut graph = Graph::of(self.elements.values().filter(|e| e.domain == domain));
        for link in 0..graph.links().len() {
            let (ends, interfaces) =
                (graph.links()[link].ends, graph.links()[link].interfaces.clone());
            let down = |node: usize, interface: &str| {
                let found = self.find_interface(domain, graph.name(node), interface);
                found.is_some_and(|i| i.oper_up == Some(false) || i.admin_up == Some(false))
            };
            if down(ends.0, &interfaces.0) || down(ends.1, &interfaces.1) {
                graph.link_mut(link).is_up = false;
            }
        }
        graph
    }

    fn of<'a>(&'a self, domain: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
        let domain = domain.to_owned();
        self.elements.values().filter(move |element| element.domain == domain)
    }
}

fn fits(is_known: bool, len: usize, most: u32) -> bool {
    is_known || len < most as usize
}

/// Bits of a prefix (or address) that holds the address.
fn prefix_around(prefix: &str, address: IpAddr) -> Option<u32> {
    let (net, bits) = prefix.split_once('/').unwrap_or((prefix, ""));
    let net: IpAddr = net.parse().ok()?;
    let (net, address, most) = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            (u128::from(u32::from(net)) << 96, u128::from(u32::from(address)) << 96, 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => (u128::from(net), u128::from(address), 128),
        _ => return None,
    };
    let bits: u32 = if bits.is_empty() { most } else { bits.parse().ok()? };
    let differs = (net ^ address).leading_zeros();
    (bits <= most && differs >= bits).then_some(bits)
}
