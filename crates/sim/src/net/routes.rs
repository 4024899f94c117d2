//! Which way traffic goes: the fewest hops over what is usable, ties broken by a hash, so that two
//! conversations may take two ways and neither moves without need.

use super::layout::{DeviceId, Kind, Layout, LinkId, NetworkId, PortId};

/// One device on a way: where traffic enters it and where it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    pub device: DeviceId,
    pub entry: PortId,
    pub exit: PortId,
}

/// Hop distances to one device; `None` is out of reach.
pub type Distances = Vec<Option<u32>>;

/// The network as it is usable now.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Per device: (neighbour, own port, the neighbour's port).
    neighbours: Vec<Vec<(DeviceId, PortId, PortId)>>,
    /// Per device: hops from each other device to it.
    distances: Vec<Distances>,
}

// === impl Routes ===

impl Routes {
    /// `carries` says which links forward.
    pub fn new(layout: &Layout, carries: impl Fn(LinkId) -> bool) -> Routes {
        let mut neighbours = vec![Vec::new(); layout.devices.len()];
        for (id, link) in layout.links.iter().enumerate().filter(|(id, _)| carries(*id)) {
            let _ = id;
            let (a, b) = (layout.ports[link.a].device, layout.ports[link.b].device);
            neighbours[a].push((b, link.a, link.b));
            neighbours[b].push((a, link.b, link.a));
        }
        let distances = (0..layout.devices.len()).map(|to| distances(&neighbours, to)).collect();
        Routes { neighbours, distances }
    }

    pub fn reaches(&self, from: DeviceId, to: DeviceId) -> bool {
        self.distances[to][from].is_some()
    }

    /// The way from one network to another, where there is one and both ports are usable.
    pub fn between(
        &self,
        layout: &Layout,
        from: NetworkId,
        to: NetworkId,
        salt: u64,
    ) -> Option<Vec<Hop>> {
        let (entry, exit) = (layout.networks[from].port, layout.networks[to].port);
        let (mut at, end) = (layout.network_device(from), layout.network_device(to));
        let mut way = Vec::new();
        let mut entered = entry;
        while at != end {
            let (next, leaves, enters) = self.step(at, end, salt)?;
            way.push(Hop { device: at, entry: entered, exit: leaves });
            (at, entered) = (next, enters);
        }
        way.push(Hop { device: at, entry: entered, exit });
        Some(way)
    }

    /// Of the internet's doors that are usable, the nearest to a network; ties by hash.
    pub fn door(
        &self,
        layout: &Layout,
        inside: NetworkId,
        salt: u64,
        is_usable: impl Fn(PortId) -> bool,
    ) -> Option<NetworkId> {
        let end = layout.network_device(inside);
        let doors = layout
            .networks
            .iter()
            .enumerate()
            .filter(|(_, network)| network.kind == Kind::Internet && is_usable(network.port));
        let reachable = doors.filter_map(|(id, network)| {
            let device = layout.ports[network.port].device;
            Some((self.distances[end][device]?, u64::MAX - mix(salt, device as u64), id))
        });
        reachable.min().map(|(_, _, id)| id)
    }

    fn step(&self, at: DeviceId, end: DeviceId, salt: u64) -> Option<(DeviceId, PortId, PortId)> {
        let nearer = self.distances[end][at]?.checked_sub(1)?;
        let next =
            self.neighbours[at].iter().filter(|(n, ..)| self.distances[end][*n] == Some(nearer));
        next.max_by_key(|(n, ..)| mix(salt, *n as u64)).copied()
    }
}

/// Whether every device still reaches every other without this link.
pub fn is_redundant(layout: &Layout, link: LinkId) -> bool {
    let without = Routes::new(layout, |other| other != link);
    (0..layout.devices.len()).all(|device| without.reaches(device, 0))
}

fn distances(neighbours: &[Vec<(DeviceId, PortId, PortId)>], to: DeviceId) -> Distances {
    let mut found = vec![None; neighbours.len()];
    found[to] = Some(0);
    let mut front = vec![to];
    let mut hops = 0;
    while !front.is_empty() {
        hops += 1;
        let mut next = Vec::new();
        for device in front {
            for (neighbour, ..) in &neighbours[device] {
                if found[*neighbour].is_none() {
                    found[*neighbour] = Some(hops);
                    next.push(*neighbour);
                }
            }
        }
        front = next;
    }
    found
}

/// splitmix64 of both (Steele et al., OOPSLA 2014).
pub fn mix(salt: u64, value: u64) -> u64 {
    let mut z = salt.wrapping_add(value.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
