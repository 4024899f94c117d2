//! What the simulated network is made of and never changes: devices, interfaces, links, networks
//! behind them, links that share a conduit. Two sites, two edges, a core with two ways between
//! them, and one access switch that hangs by a single link on purpose.

use std::net::Ipv4Addr;

use crate::encode::Protocol;

pub type DeviceId = usize;
pub type PortId = usize;
pub type LinkId = usize;
pub type NetworkId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Router,
    Switch,
}

#[derive(Clone, Debug)]
pub struct Device {
    pub name: &'static str,
    /// Of its loopback interface: SNMP, command line, syslog and flows use it.
    pub address: Ipv4Addr,
    pub role: Role,
    pub site: &'static str,
    /// What it exports flows with, where it can.
    pub exports: Option<Protocol>,
    pub ports: Vec<PortId>,
}

#[derive(Clone, Debug)]
pub struct Port {
    pub device: DeviceId,
    /// ifIndex.
    pub index: u32,
    /// ifName, such as `Te0/1`.
    pub name: String,
    /// ifDescr, such as `TenGigabitEthernet0/1`.
    pub descr: String,
    pub alias: String,
    pub speed_bps: u64,
    pub at: At,
}

/// What an interface leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Link(LinkId),
    Network(NetworkId),
    Loopback,
}

#[derive(Clone, Debug)]
pub struct Link {
    pub a: PortId,
    pub b: PortId,
    pub speed_bps: u64,
    /// Whether the two routers have a BGP session over it.
    pub session: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All that is not ours; both edges lead to it.
    Internet,
    Servers,
    Clients,
    /// Where the management station stands, with its collectors and pollers.
    Management,
}

/// Hosts behind one interface.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: &'static str,
    pub kind: Kind,
    pub port: PortId,
    pub prefix: &'static str,
    pub first_host: Ipv4Addr,
    pub hosts: u32,
}

/// Links that break together.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: &'static str,
    pub links: Vec<LinkId>,
}

#[derive(Clone, Debug)]
pub struct Layout {
    pub devices: Vec<Device>,
    pub ports: Vec<Port>,
    pub links: Vec<Link>,
    pub networks: Vec<Network>,
    pub groups: Vec<Group>,
}

/// (name, role, site, exports)
const DEVICES: &[(&str, Role, &str, Option<Protocol>)] = &[
    ("edge1", Role::Router, "north", Some(Protocol::V9)),
    ("edge2", Role::Router, "south", Some(Protocol::Ipfix)),
    ("core1", Role::Router, "north", None),
    ("core2", Role::Router, "north", None),
    ("core3", Role::Router, "south", None),
    ("core4", Role::Router, "south", None),
    ("dist1", Role::Router, "north", None),
    ("dist2", Role::Router, "south", None),
    ("acc1", Role::Switch, "north", Some(Protocol::V9)),
    ("acc2", Role::Switch, "north", Some(Protocol::V9)),
    ("acc3", Role::Switch, "south", Some(Protocol::V9)),
    ("acc4", Role::Switch, "south", Some(Protocol::V9)),
    ("acc5", Role::Switch, "branch", Some(Protocol::V9)),
    ("mgmt1", Role::Switch, "north", None),
];

const GIGA: u64 = 1_000_000_000;

/// (one end, other end, speed, whether a BGP session runs over it)
const LINKS: &[(&str, &str, u64, bool)] = &[
    ("edge1", "core1", 10 * GIGA, true),
    ("edge1", "core2", 10 * GIGA, true),
    ("edge2", "core3", 10 * GIGA, true),
    ("edge2", "core4", 10 * GIGA, true),
    ("core1", "core2", 10 * GIGA, false),
    ("core3", "core4", 10 * GIGA, false),
    ("core1", "core3", 10 * GIGA, false),
    ("core2", "core4", 10 * GIGA, false),
    ("core1", "dist1", 10 * GIGA, false),
    ("core3", "dist1", 10 * GIGA, false),
    ("core2", "dist2", 10 * GIGA, false),
    ("core4", "dist2", 10 * GIGA, false),
    ("dist1", "dist2", 10 * GIGA, false),
    ("dist1", "acc1", GIGA, false),
    ("dist2", "acc1", GIGA, false),
    ("dist1", "acc2", GIGA, false),
    ("dist2", "acc2", GIGA, false),
    ("dist1", "acc3", GIGA, false),
    ("dist2", "acc3", GIGA, false),
    ("dist1", "acc4", GIGA, false),
    ("dist2", "acc4", GIGA, false),
    // The branch: no second way.
    ("dist2", "acc5", GIGA / 10, false),
    ("core1", "mgmt1", GIGA, false),
    ("core2", "mgmt1", GIGA, false),
];

/// The two ways between the sites lie in one conduit.
const GROUPS: &[(&str, &[(&str, &str)])] =
    &[("conduit-river", &[("core1", "core3"), ("core2", "core4")])];

/// (name, kind, at, speed, prefix, first host, hosts)
type Spec = (&'static str, Kind, &'static str, u64, &'static str, Ipv4Addr, u32);

const NETWORKS: &[Spec] = &[
    ("transit-a", Kind::Internet, "edge1", 10 * GIGA, "0.0.0.0/0", INTERNET, 2_000),
    ("transit-b", Kind::Internet, "edge2", 10 * GIGA, "0.0.0.0/0", INTERNET, 2_000),
    ("web", Kind::Servers, "acc1", 10 * GIGA, "203.0.113.0/26", v4(203, 0, 113, 1), 40),
    ("db", Kind::Servers, "acc2", 10 * GIGA, "203.0.113.64/26", v4(203, 0, 113, 65), 20),
    ("office", Kind::Clients, "acc3", 10 * GIGA, "100.64.0.0/18", v4(100, 64, 0, 10), 4_000),
    ("campus", Kind::Clients, "acc4", 10 * GIGA, "100.64.64.0/18", v4(100, 64, 64, 10), 4_000),
    ("branch", Kind::Clients, "acc5", 10 * GIGA, "100.64.128.0/20", v4(100, 64, 128, 10), 200),
    ("station", Kind::Management, "mgmt1", GIGA, "10.255.0.0/24", v4(10, 255, 0, 10), 1),
];

/// Benchmarking addresses (RFC 2544) stand for hosts elsewhere, so that no real one is named.
const INTERNET: Ipv4Addr = v4(198, 18, 0, 1);
/// ifIndex of Loopback0: behind those of the hardware, with a gap, as on many a device.
const LOOPBACK_INDEX: u32 = 100;
const LOOPBACK_BPS: u64 = 4 * GIGA;

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

// === impl Layout ===

impl Layout {
    pub fn standard() -> Layout {
        let mut layout = Layout {
            devices: Vec::new(),
            ports: Vec::new(),
            links: Vec::new(),
            networks: Vec::new(),
            groups: Vec::new(),
        };
        for (nth, (name, role, site, exports)) in DEVICES.iter().enumerate() {
            let address = Ipv4Addr::new(127, 77, 0, nth as u8 + 1);
            let ports = Vec::new();
            let exports = *exports;
            layout.devices.push(Device { name, address, role: *role, site, exports, ports });
        }
        for (a, b, speed_bps, session) in LINKS {
            let id = layout.links.len();
            let a_port = layout.add(a, *speed_bps, At::Link(id), format!("to {b}"));
            let b_port = layout.add(b, *speed_bps, At::Link(id), format!("to {a}"));
            let (speed_bps, session) = (*speed_bps, *session);
            layout.links.push(Link { a: a_port, b: b_port, speed_bps, session });
        }
        for (name, kind, at, speed_bps, prefix, first_host, hosts) in NETWORKS {
            let id = layout.networks.len();
            let port = layout.add(at, *speed_bps, At::Network(id), format!("network {name}"));
            let (kind, first_host, hosts) = (*kind, *first_host, *hosts);
            layout.networks.push(Network { name, kind, port, prefix, first_host, hosts });
        }
        for (name, _, _, _) in DEVICES {
            layout.add(name, LOOPBACK_BPS, At::Loopback, "management".to_owned());
        }
        for (name, links) in GROUPS {
            let links = links.iter().map(|(a, b)| layout.between(a, b)).collect();
            layout.groups.push(Group { name, links });
        }
        layout
    }

    pub fn device(&self, name: &str) -> Option<DeviceId> {
        self.devices.iter().position(|device| device.name == name)
    }

    pub fn port(&self, device: DeviceId, name: &str) -> Option<PortId> {
        self.devices[device].ports.iter().copied().find(|port| self.ports[*port].name == name)
    }

    /// The device that the management station hangs on.
    pub fn management(&self) -> DeviceId {
        let station = self.networks.iter().find(|network| network.kind == Kind::Management);
        self.ports[station.expect("the table has one").port].device
    }

    pub fn network_device(&self, network: NetworkId) -> DeviceId {
        self.ports[self.networks[network].port].device
    }

    /// The other end of the link that leaves here, if one does.
    #[cfg(test)]
    pub fn peer(&self, port: PortId) -> Option<PortId> {
        let At::Link(link) = self.ports[port].at else { return None };
        let Link { a, b, .. } = self.links[link];
        Some(if a == port { b } else { a })
    }

    /// `edge1 Te0/1`.
    pub fn port_name(&self, port: PortId) -> String {
        let Port { device, name, .. } = &self.ports[port];
        format!("{} {name}", self.devices[*device].name)
    }

    /// `core1 Te0/1--edge1 Te0/1`, the lesser end first, as in `topology.v1`.
    pub fn link_name(&self, link: LinkId) -> String {
        let Link { a, b, .. } = self.links[link];
        let (a, b) = (self.port_name(a), self.port_name(b));
        if a <= b { format!("{a}--{b}") } else { format!("{b}--{a}") }
    }

    /// The link between two devices that the tables name.
    fn between(&self, a: &str, b: &str) -> LinkId {
        let is_it = |link: &Link| {
            let ends = [link.a, link.b].map(|port| self.devices[self.ports[port].device].name);
            ends == [a, b] || ends == [b, a]
        };
        self.links.iter().position(is_it).expect("groups are made of links in the table")
    }

    fn add(&mut self, device: &str, speed_bps: u64, at: At, alias: String) -> PortId {
        let device = self.device(device).expect("links are made of devices in the table");
        let nth = self.devices[device].ports.len() as u32 + 1;
        let (short, long) = match speed_bps {
            _ if at == At::Loopback => ("Lo", "Loopback"),
            speed if speed >= 10 * GIGA => ("Te", "TenGigabitEthernet"),
            speed if speed >= GIGA => ("Gi", "GigabitEthernet"),
            _ => ("Fa", "FastEthernet"),
        };
        let place = if at == At::Loopback { "0".to_owned() } else { format!("0/{nth}") };
        let index = if at == At::Loopback { LOOPBACK_INDEX } else { nth };
        let id = self.ports.len();
        let (name, descr) = (format!("{short}{place}"), format!("{long}{place}"));
        self.ports.push(Port { device, index, name, descr, alias, speed_bps, at });
        self.devices[device].ports.push(id);
        id
    }
}
