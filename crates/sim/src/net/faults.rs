//! What can break, where a seed puts it, and what the truth file says about it. The place is chosen
//! when the network is made, so that the truth is known before anything happens.

use std::net::Ipv4Addr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::layout::{DeviceId, Kind, Layout, LinkId, NetworkId, PortId};
use super::load::{End, way};
use super::routes::{Hop, Routes, is_redundant};
use super::state::PortState;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A quiet run.
    None,
    /// An interface administratively shut by mistake.
    LinkDown,
    /// A link cut: nobody can repair it from afar.
    Cut,
    /// A conduit cut, with all links in it.
    GroupDown,
    /// One host that sends to another as fast as it can, over 90 % of an interface.
    Saturation,
    /// A device's CPU above 90 %.
    Cpu,
    /// A dirty connector: a redundant link that comes and goes every few seconds, with errors.
    Flapping,
    SynFlood,
    /// A device that stops to export flows, and is otherwise well.
    SilentExporter,
    NodeDown,
}

/// A fault with its time, and its place where it is not the seed's to choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    pub fault: Fault,
    /// Counted from the start.
    pub after_s: u64,
    /// Without: until it is repaired.
    #[serde(default)]
    pub for_s: Option<u64>,
    /// The interface (`edge1 Te0/1`), link, group, device or network (of a talker or victim).
    #[serde(default)]
    pub at: Option<String>,
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Port(PortId),
    Link(LinkId),
    Group(usize),
    Device(DeviceId),
    Talk(Talk),
    Victim { network: NetworkId, host: Ipv4Addr },
}

/// A talker before it talks.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    pub inside: NetworkId,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub from: End,
    pub to: End,
    pub salt: u64,
    /// The interface that it fills, its speed, and the door that it passes.
    pub narrow: PortId,
    pub door: DeviceId,
}

/// A fault that is settled: what, where, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub fault: Fault,
    pub place: Place,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
}

/// One line of the truth file. Only tests read it, and only at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "truth", rename_all = "kebab-case")]
pub enum Truth {
    Network {
        seed: u64,
        start_ms: i64,
        deaf: bool,
    },
    Fault {
        fault: Fault,
        /// The word for it in an incident (`admin-down`, `saturated`, …).
        cause: String,
        root: Root,
        /// Other names for the same thing, as right as the first.
        also: Vec<Root>,
        start_ms: i64,
        end_ms: Option<i64>,
        /// Devices that a repair may write to; any other is a wrong one.
        may_touch: Vec<String>,
        /// The repair that fits; without one, telling a person is all that is right.
        repair: Option<String>,
        /// Source and destination of the talker; the victim of a flood.
        hosts: Vec<Ipv4Addr>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub kind: String,
    pub name: String,
}

// === impl Cause ===

impl Cause {
    /// Settles where a fault is: at the named place, or drawn from all that fit. `None` where
    /// nothing breaks, and where no place has the name.
    pub fn settle(
        placed: &Placed,
        start_ms: i64,
        layout: &Layout,
        ports: &[PortState],
        rng: &mut ChaCha8Rng,
    ) -> Option<Cause> {
        let mut places = places(placed.fault, layout, ports, rng);
        if let Some(name) = &placed.at {
            places.retain(|place| place.has_name(layout, name));
        }
        if places.is_empty() {
            return None;
        }
        let place = places.swap_remove(rng.random_range(0..places.len()));
        let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let start_ms = start_ms.saturating_add(ms(placed.after_s));
        let end_ms = placed.for_s.map(|seconds| start_ms.saturating_add(ms(seconds)));
        Some(Cause { fault: placed.fault, place, start_ms, end_ms })
    }

    pub fn truth(&self, layout: &Layout) -> Truth {
        let (cause, repair) = words(self.fault);
        let (root, also) = self.place.roots(layout);
        let hosts = match &self.place {
            Place::Talk(talk) => vec![talk.src, talk.dst],
            Place::Victim { host, .. } => vec![*host],
            _ => Vec::new(),
        };
        let may_touch = if repair.is_some() { self.place.touchable(layout) } else { Vec::new() };
        Truth::Fault {
            fault: self.fault,
            cause: cause.to_owned(),
            root: if self.fault == Fault::SilentExporter {
                exporter_of(layout, &root)
            } else {
                root
            },
            also,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            may_touch,
            repair: repair.map(str::to_owned),
            hosts,
        }
    }
}

/// The incident's word and the repair that fits.
fn words(fault: Fault) -> (&'static str, Option<&'static str>) {
    match fault {
        Fault::None => ("none", None),
        Fault::LinkDown => ("admin-down", Some("interface.up")),
        Fault::Cut => ("link-down", None),
        Fault::GroupDown => ("group-down", None),
        Fault::Saturation => ("saturated", Some("traffic.rate_limit")),
        Fault::Cpu => ("cpu", None),
        Fault::Flapping => ("flapping", Some("interface.down")),
        Fault::SynFlood => ("flood", Some("traffic.drop")),
        Fault::SilentExporter => ("exporter-silent", None),
        Fault::NodeDown => ("node-down", None),
    }
}

fn exporter_of(layout: &Layout, device: &Root) -> Root {
    let address = layout.device(&device.name).map(|id| layout.devices[id].address.to_string());
    Root { kind: "exporter".to_owned(), name: address.unwrap_or_default() }
}

// === impl Place ===

impl Place {
    fn has_name(&self, layout: &Layout, name: &str) -> bool {
        match self {
            Place::Talk(talk) => layout.networks[talk.inside].name == name,
            Place::Victim { network, host } => {
                layout.networks[*network].name == name || host.to_string() == name
            }
            _ => self.roots(layout).0.name == name,
        }
    }

    /// The root's name, and others for the same thing.
    fn roots(&self, layout: &Layout) -> (Root, Vec<Root>) {
        let root = |kind: &str, name: String| Root { kind: kind.to_owned(), name };
        let port = |port: PortId| root("interface", layout.port_name(port));
        match self {
            Place::Port(id) => (port(*id), Vec::new()),
            Place::Link(id) => {
                let link = &layout.links[*id];
                (root("link", layout.link_name(*id)), vec![port(link.a), port(link.b)])
            }
            Place::Group(id) => (root("group", layout.groups[*id].name.to_owned()), Vec::new()),
            Place::Device(id) => (root("device", layout.devices[*id].name.to_owned()), Vec::new()),
            Place::Talk(talk) => (port(talk.narrow), Vec::new()),
            Place::Victim { host, .. } => (root("host", host.to_string()), Vec::new()),
        }
    }

    fn touchable(&self, layout: &Layout) -> Vec<String> {
        let of_port = |port: PortId| layout.ports[port].device;
        let devices: Vec<DeviceId> = match self {
            Place::Port(port) => vec![of_port(*port)],
            Place::Link(link) => {
                vec![of_port(layout.links[*link].a), of_port(layout.links[*link].b)]
            }
            Place::Talk(talk) => vec![talk.door, of_port(talk.narrow)],
            Place::Victim { .. } => doors(layout).collect(),
            Place::Device(device) => vec![*device],
            Place::Group(_) => Vec::new(),
        };
        devices.into_iter().map(|device| layout.devices[device].name.to_owned()).collect()
    }
}

/// Devices that lead to the internet.
fn doors(layout: &Layout) -> impl Iterator<Item = DeviceId> + '_ {
    let internet = layout.networks.iter().filter(|network| network.kind == Kind::Internet);
    internet.map(|network| layout.ports[network.port].device)
}

/// Every place that a fault can have. Never the management station's own switch or links: a network
/// that cannot be seen shows nothing.
fn places(fault: Fault, layout: &Layout, ports: &[PortState], rng: &mut ChaCha8Rng) -> Vec<Place> {
    let management = layout.management();
    let links = (0..layout.links.len()).filter(|link| {
        let ends = [layout.links[*link].a, layout.links[*link].b];
        ends.iter().all(|port| layout.ports[*port].device != management)
    });
    let devices = (0..layout.devices.len()).filter(|device| *device != management);
    match fault {
        Fault::None => Vec::new(),
        Fault::LinkDown => {
            links.flat_map(|link| shut_ends(layout, link)).map(Place::Port).collect()
        }
        Fault::Cut => links.map(Place::Link).collect(),
        Fault::Flapping => links.filter(|id| is_redundant(layout, *id)).map(Place::Link).collect(),
        Fault::GroupDown => (0..layout.groups.len()).map(Place::Group).collect(),
        Fault::Cpu => devices.map(Place::Device).collect(),
        // An edge that dies takes its flows with it: a silent exporter too, and still one root.
        Fault::NodeDown => devices.map(Place::Device).collect(),
        Fault::SilentExporter => doors(layout).map(Place::Device).collect(),
        Fault::SynFlood => victims(layout, rng),
        Fault::Saturation => talks(layout, ports, rng),
    }
}

/// The ends of a link that may be shut and opened again from afar: both where there is another
/// way, else only the one that is nearer to the station.
fn shut_ends(layout: &Layout, link: LinkId) -> Vec<PortId> {
    let without = Routes::new(layout, |other| other != link);
    let ends = [layout.links[link].a, layout.links[link].b];
    let reached = |port: &PortId| without.reaches(layout.ports[*port].device, layout.management());
    ends.into_iter().filter(reached).collect()
}

fn victims(layout: &Layout, rng: &mut ChaCha8Rng) -> Vec<Place> {
    let servers = layout.networks.iter().enumerate();
    let servers = servers.filter(|(_, network)| network.kind == Kind::Servers);
    let one = |(id, network): (usize, &super::layout::Network)| Place::Victim {
        network: id,
        host: network.host(rng.random_range(0..network.hosts)),
    };
    servers.map(one).collect()
}

/// A download and an upload for every network.
fn talks(layout: &Layout, ports: &[PortState], rng: &mut ChaCha8Rng) -> Vec<Place> {
    let routes = Routes::new(layout, |_| true);
    let mut found = Vec::new();
    for (id, network) in layout.networks.iter().enumerate() {
        if !matches!(network.kind, Kind::Servers | Kind::Clients) {
            continue;
        }
        let elsewhere = &layout.networks[0];
        for ends in [(End::Internet, End::Inside(id)), (End::Inside(id), End::Internet)] {
            let ours = network.host(rng.random_range(0..network.hosts));
            let theirs = elsewhere.host(rng.random_range(0..elsewhere.hosts));
            let salt: u64 = rng.random();
            let Some(way) = way(layout, &routes, ports, ends, salt) else { continue };
            let speed = |hop: &&Hop| layout.ports[hop.exit].speed_bps;
            let Some(narrow) = way.iter().min_by_key(speed).map(|hop| hop.exit) else { continue };
            let is_download = ends.0 == End::Internet;
            let (src, dst) = if is_download { (theirs, ours) } else { (ours, theirs) };
            let door = if is_download { way[0].device } else { way[way.len() - 1].device };
            let (from, to) = ends;
            found.push(Place::Talk(Talk { inside: id, src, dst, from, to, salt, narrow, door }));
        }
    }
    found
}
