//! The network of one domain as a graph: nodes, links with an interface at each end, networks
//! behind interfaces, groups that share a risk, services. Made anew from the elements when one of
//! them changes; numbers of nodes and interfaces follow from the elements alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use model::rows::{Element, ElementKind, Entity};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub(super) struct Net {
    pub nodes: Vec<Node>,
    pub ports: Vec<Port>,
    pub links: Vec<Link>,
    pub groups: Vec<Group>,
    services: Vec<(String, Vec<String>)>,
    networks: Vec<Network>,
    management: Option<u32>,
    names: BTreeMap<String, u32>,
    addresses: BTreeMap<String, u32>,
    port_names: BTreeMap<(u32, String), u32>,
    cuts: CutOff,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub name: String,
    /// The address that its flows come from.
    pub exporter: Option<String>,
    pub ports: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Port {
    pub node: u32,
    pub name: String,
    pub link: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub name: String,
    pub ends: [u32; 2],
}

/// What shares a risk, down to nodes and links.
#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub nodes: Vec<u32>,
    pub links: Vec<u32>,
}

#[derive(Debug)]
struct Network {
    name: String,
    prefix: Option<(IpAddr, u8)>,
    port: u32,
}

/// Where something shows or is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Place {
    Node(u32),
    Port(u32),
    /// An interface of a node that the map does not know.
    Loose(u32, String),
    Link(u32),
    Group(u32),
    Host(String),
}

/// Nodes that are cut off from the management station when something of the network is gone.
#[derive(Debug, Default)]
pub(super) struct CutOff {
    /// Nodes in the order of a walk from the management station.
    walk: Vec<u32>,
    /// By node and by link: ranges of the walk.
    by_node: BTreeMap<u32, Vec<(usize, usize)>>,
    by_link: BTreeMap<u32, (usize, usize)>,
}

/// How deep groups within groups are followed.
const NESTED_MAX: usize = 8;

// === impl Net ===

impl Net {
    pub fn new(elements: &BTreeMap<String, Element>) -> Net {
        let mut net = Net::default();
        let of = |kind| elements.values().filter(move |e| e.kind == kind);
        for node in of(ElementKind::Node).filter(|e| e.a_device.is_none()) {
            net.add_node(node);
        }
        for network in of(ElementKind::Node).filter(|e| e.a_device.is_some()) {
            net.add_network(network);
        }
        let mut links = BTreeMap::new();
        for link in of(ElementKind::Link) {
            if let Some(at) = net.add_link(link) {
                links.insert(link.id.clone(), at);
            }
        }
        for group in of(ElementKind::Group) {
            let members = flat(group, elements);
            let nodes =
                members.iter().filter_map(|id| net.names.get(id.strip_prefix("node/")?).copied());
            let (nodes, links) = (nodes.collect(), members.iter().filter_map(|id| links.get(id)));
            let group = Group { name: group.name.clone(), nodes, links: links.copied().collect() };
            net.groups.push(group);
        }
        let service = |e: &Element| (e.name.clone(), flat(e, elements).into_iter().collect());
        net.services = of(ElementKind::Service).map(service).collect();
        net.cuts = net.cut_off();
        net
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What an anomaly's entity is on the map.
    pub fn place(&self, entity: &Entity) -> Option<Place> {
        let node = |name: &str| self.names.get(name).or_else(|| self.addresses.get(name)).copied();
        match entity.kind.as_str() {
            "device" | "exporter" => node(&entity.name).map(Place::Node),
            "interface" => {
                let (device, name) = entity.name.split_once(' ')?;
                let device = node(device)?;
                let port = self.port_names.get(&(device, name.to_owned()));
                Some(
                    port.map_or_else(|| Place::Loose(device, name.to_owned()), |p| Place::Port(*p)),
                )
            }
            "host" => Some(Place::Host(entity.name.clone())),
            _ => None,
        }
    }

    pub fn port(&self, device: &str, name: &str) -> Option<Place> {
        self.place(&Entity { kind: "interface".to_owned(), name: format!("{device} {name}") })
    }

    /// As a person would name it.
    pub fn entity(&self, place: &Place) -> Entity {
        let of = |kind: &str, name: String| Entity { kind: kind.to_owned(), name };
        match place {
            Place::Node(node) => of("device", self.nodes[*node as usize].name.clone()),
            Place::Port(port) => {
                let port = &self.ports[*port as usize];
                of("interface", format!("{} {}", self.nodes[port.node as usize].name, port.name))
            }
            Place::Loose(node, name) => {
                of("interface", format!("{} {name}", self.nodes[*node as usize].name))
            }
            Place::Link(link) => of("link", self.links[*link as usize].name.clone()),
            Place::Group(group) => of("group", self.groups[*group as usize].name.clone()),
            Place::Host(host) => of("host", host.clone()),
        }
    }

    /// The device that a place is at.
    pub fn node_of(&self, place: &Place) -> Option<u32> {
        match place {
            Place::Node(node) | Place::Loose(node, _) => Some(*node),
            Place::Port(port) => Some(self.ports[*port as usize].node),
            Place::Link(_) | Place::Group(_) | Place::Host(_) => None,
        }
    }

    /// The interface at the other end of a link.
    pub fn peer(&self, port: u32) -> Option<u32> {
        let link = self.ports[port as usize].link?;
        let [a, b] = self.links[link as usize].ends;
        Some(if a == port { b } else { a })
    }

    /// `(own interface, link, the other's interface)` of each link of a node.
    pub fn links_of(&self, node: u32) -> impl Iterator<Item = (u32, u32, u32)> {
        let ports = self.nodes[node as usize].ports.iter();
        ports.filter_map(|p| Some((*p, self.ports[*p as usize].link?, self.peer(*p)?)))
    }

    /// The interface that a host is behind: that of the longest prefix.
    pub fn behind(&self, host: &str) -> Option<u32> {
        let address: IpAddr = host.parse().ok()?;
        let holds = |n: &&Network| n.prefix.is_some_and(|prefix| contains(prefix, address));
        let networks = self.networks.iter().filter(holds);
        networks.max_by_key(|n| n.prefix.map(|(_, bits)| bits)).map(|n| n.port)
    }

    /// Networks at these nodes, and services of which a member is among nodes or networks.
    pub fn behind_nodes(&self, nodes: &BTreeSet<u32>) -> Vec<Entity> {
        let of = |kind: &str, name: &str| Entity { kind: kind.to_owned(), name: name.to_owned() };
        let at = |n: &&Network| nodes.contains(&self.ports[n.port as usize].node);
        let networks: Vec<&str> =
            self.networks.iter().filter(at).map(|n| n.name.as_str()).collect();
        let names: BTreeSet<String> = networks
            .iter()
            .copied()
            .chain(nodes.iter().map(|n| self.nodes[*n as usize].name.as_str()))
            .map(|name| format!("node/{name}"))
            .collect();
        let hit = |(_, members): &&(String, Vec<String>)| members.iter().any(|m| names.contains(m));
        let services = self.services.iter().filter(hit).map(|(name, _)| of("service", name));
        networks.iter().map(|name| of("network", name)).chain(services).collect()
    }

    /// Interfaces that send where traffic between the ends of a link goes once it is gone: the
    /// shortest other way, of at most `hops_max` links.
    pub fn detour(&self, link: u32, hops_max: usize) -> Vec<u32> {
        let [a, b] = self.links[link as usize].ends.map(|p| self.ports[p as usize].node);
        let mut came: BTreeMap<u32, (u32, u32, usize)> = BTreeMap::from([(a, (0, 0, 0))]);
        let mut queue = VecDeque::from([a]);
        while let Some(node) = queue.pop_front() {
            let hops = came[&node].2;
            if node == b || hops >= hops_max {
                break;
            }
            for (own, by, other) in self.links_of(node) {
                let next = self.ports[other as usize].node;
                if by != link && !came.contains_key(&next) {
                    came.insert(next, (own, other, hops + 1));
                    queue.push_back(next);
                }
            }
        }
        let (mut ports, mut at) = (Vec::new(), b);
        while at != a
            && let Some((own, other, _)) = came.get(&at)
        {
            ports.extend([*own, *other]);
            at = self.ports[*own as usize].node;
        }
        ports
    }

    /// Nodes that the management station does not reach without these.
    pub fn without(&self, nodes: &[u32], links: &[u32]) -> Vec<u32> {
        let Some(start) = self.management else { return Vec::new() };
        let reach = |nodes: &[u32], links: &[u32]| {
            let mut seen = BTreeSet::from([start]);
            let mut queue = VecDeque::from([start]);
            while let Some(node) = queue.pop_front() {
                for (_, by, other) in self.links_of(node) {
                    let next = self.ports[other as usize].node;
                    if !links.contains(&by) && !nodes.contains(&next) && seen.insert(next) {
                        queue.push_back(next);
                    }
                }
            }
            seen
        };
        if nodes.contains(&start) {
            return Vec::new();
        }
        let (all, left) = (reach(&[], &[]), reach(nodes, links));
        all.into_iter().filter(|n| !left.contains(n) && !nodes.contains(n)).collect()
    }

    pub fn cuts(&self) -> &CutOff {
        &self.cuts
    }

    /// Lowpoints of one walk from the management station (Tarjan 1972): all single cuts at once.
    fn cut_off(&self) -> CutOff {
        let mut cut = CutOff::default();
        let Some(start) = self.management else { return cut };
        let count = self.nodes.len();
        let (mut found, mut low) = (vec![usize::MAX; count], vec![usize::MAX; count]);
        // Node, the link it was entered by, its links, which is next.
        let links = |node: u32| self.links_of(node).collect::<Vec<_>>();
        let mut stack = vec![(start, None::<u32>, links(start), 0)];
        found[start as usize] = 0;
        low[start as usize] = 0;
        cut.walk.push(start);
        while let Some((node, by, all, next)) = stack.last_mut() {
            let (node, by) = (*node, *by);
            if let Some((_, link, other)) = all.get(*next).copied() {
                *next += 1;
                let there = self.ports[other as usize].node;
                if found[there as usize] == usize::MAX {
                    found[there as usize] = cut.walk.len();
                    low[there as usize] = cut.walk.len();
                    cut.walk.push(there);
                    stack.push((there, Some(link), links(there), 0));
                } else if Some(link) != by {
                    low[node as usize] = low[node as usize].min(found[there as usize]);
                }
                continue;
            }
            stack.pop();
            let Some((parent, ..)) = stack.last() else { break };
            let range = (found[node as usize], cut.walk.len());
            low[*parent as usize] = low[*parent as usize].min(low[node as usize]);
            if low[node as usize] >= found[*parent as usize] && *parent != start {
                cut.by_node.entry(*parent).or_default().push(range);
            }
            if let Some(link) = by.filter(|_| low[node as usize] > found[*parent as usize]) {
                cut.by_link.insert(link, range);
            }
        }
        cut
    }

    fn add_node(&mut self, element: &Element) {
        let node = self.node_named(&element.name);
        self.nodes[node as usize].exporter.clone_from(&element.exporter);
        for address in element.address.iter().chain(&element.exporter) {
            self.addresses.insert(address.clone(), node);
        }
        if element.management == Some(true) {
            self.management = Some(node);
        }
    }

    fn add_network(&mut self, element: &Element) {
        let (Some(device), Some(name)) = (&element.a_device, &element.a_interface) else { return };
        let node = self.node_named(device);
        let port = self.port_named(node, name);
        let prefix = element.address.as_deref().and_then(prefix);
        self.networks.push(Network { name: element.name.clone(), prefix, port });
    }

    /// A device that no element tells of is one that nobody watches.
    fn add_link(&mut self, element: &Element) -> Option<u32> {
        let (a, b) = (element.a_device.as_ref()?, element.b_device.as_ref()?);
        let (on_a, on_b) = (element.a_interface.as_ref()?, element.b_interface.as_ref()?);
        let (a, b) = (self.node_named(a), self.node_named(b));
        let ends = [self.port_named(a, on_a), self.port_named(b, on_b)];
        let is_taken = ends.iter().any(|port| self.ports[*port as usize].link.is_some());
        if is_taken || ends[0] == ends[1] {
            return None;
        }
        let at = self.links.len() as u32;
        for end in ends {
            self.ports[end as usize].link = Some(at);
        }
        let name = element.id.strip_prefix("link/").unwrap_or(&element.id).to_owned();
        self.links.push(Link { name, ends });
        Some(at)
    }

    fn node_named(&mut self, name: &str) -> u32 {
        if let Some(node) = self.names.get(name) {
            return *node;
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { name: name.to_owned(), ..Node::default() });
        self.names.insert(name.to_owned(), node);
        node
    }

    fn port_named(&mut self, node: u32, name: &str) -> u32 {
        if let Some(port) = self.port_names.get(&(node, name.to_owned())) {
            return *port;
        }
        let port = self.ports.len() as u32;
        self.ports.push(Port { node, name: name.to_owned(), link: None });
        self.nodes[node as usize].ports.push(port);
        self.port_names.insert((node, name.to_owned()), port);
        port
    }
}

// === impl CutOff ===

impl CutOff {
    pub fn by_node(&self, node: u32) -> Vec<u32> {
        let ranges = self.by_node.get(&node).map_or(&[][..], Vec::as_slice);
        ranges.iter().flat_map(|(from, to)| self.walk[*from..*to].iter().copied()).collect()
    }

    pub fn by_link(&self, link: u32) -> Vec<u32> {
        self.by_link.get(&link).map_or(Vec::new(), |(from, to)| self.walk[*from..*to].to_vec())
    }
}

/// Members of a group or service, those of groups within it too.
fn flat(element: &Element, all: &BTreeMap<String, Element>) -> BTreeSet<String> {
    let mut members: BTreeSet<String> = element.members.iter().cloned().collect();
    for _ in 0..NESTED_MAX {
        let groups = members.iter().filter_map(|id| all.get(id)).map(|e| e.members.iter().cloned());
        let more: BTreeSet<String> = groups.flatten().filter(|id| !members.contains(id)).collect();
        if more.is_empty() {
            break;
        }
        members.extend(more);
    }
    members
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

fn contains((net, bits): (IpAddr, u8), address: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let drop = width.saturating_sub(u32::from(bits));
        a.checked_shr(drop).unwrap_or(0) == b.checked_shr(drop).unwrap_or(0)
    };
    match (net, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}
