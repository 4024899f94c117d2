//! How much traffic there is and where it goes: demands between networks, each in a few bundles
//! with a way of its own, the rates of every interface that follow from them, and what does not
//! fit. A bundle is fluid; its conversations, as flow records, are `flows`'.

use std::net::Ipv4Addr;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::layout::{Kind, Layout, NetworkId, PortId};
use super::routes::{Hop, Routes, mix};
use super::state::{Counter, PortState, Rates};
use crate::traffic::Flood;

/// Where a demand begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Inside(NetworkId),
    Internet,
}

/// Conversations that take one way.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Who opens the conversations, and whom with.
    pub client: End,
    pub server: End,
    /// Mean over a working day, of both directions.
    pub forth_bps: f64,
    pub back_bps: f64,
    /// Which of `BUNDLES` it is: its clients are every eighth host.
    pub slice: u32,
    pub salt: u64,
    /// Slow wandering around the day's curve, as a logarithm.
    pub drift: f64,
    /// From client to server.
    pub way: Option<Vec<Hop>>,
    /// The share of what it would send that gets through, forth and back.
    pub carried: (f64, f64),
}

/// One host that sends to another as fast as it gets through.
#[derive(Clone, Debug)]
pub struct Talker {
    pub fault: usize,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub from: End,
    pub to: End,
    pub salt: u64,
    pub offered_bps: f64,
    /// What policies on its way leave it.
    pub limit_bps: Option<f64>,
    pub way: Option<Vec<Hop>>,
    pub carried_bps: f64,
    /// Sent since it began.
    pub octets: f64,
    /// What each connection's last record stood at.
    pub reported: [f64; CONNECTIONS],
    pub reported_ms: [i64; CONNECTIONS],
}

/// A SYN flood as it comes in through both doors.
pub struct Attack {
    pub fault: usize,
    pub victim: Ipv4Addr,
    pub at: NetworkId,
    pub syn_per_s: f64,
    pub flood: Flood,
    pub doors: Vec<Door>,
}

#[derive(Clone, Debug)]
pub struct Door {
    pub network: NetworkId,
    pub way: Option<Vec<Hop>>,
    /// 1, or what trickles through where a policy drops it.
    pub passes: f64,
}

/// Ways of a demand: enough that both edges and both uplinks get about half.
pub const BUNDLES: u32 = 8;
/// Connections of a talker: as many as a browser or a backup agent opens.
pub const CONNECTIONS: usize = 8;
/// What an interface carries at most, of its speed: gaps and headers below the counted octets.
const FULL: f64 = 0.97;
/// What the others keep where a talker takes all it can get.
const KEPT: f64 = 0.95;
/// Mean length of a packet in octets, for packet counters.
const PACKET: f64 = 800.0;
/// Hellos and keepalives on a link, bit/s.
const CONTROL_BPS: f64 = 4_000.0;
/// Length of a SYN in octets.
const SYN_OCTETS: f64 = 60.0;

const MEGA: f64 = 1e6;

/// (client, server, Mbit/s forth, back); "internet" is all that is elsewhere. On the busiest hour
/// (1.5 times the mean) no interface is above 60 % with all links up.
const DEMANDS: &[(&str, &str, f64, f64)] = &[
    ("office", "internet", 24.0, 250.0),
    ("campus", "internet", 24.0, 250.0),
    ("branch", "internet", 3.0, 22.0),
    ("internet", "web", 20.0, 180.0),
    ("office", "web", 6.0, 50.0),
    ("campus", "web", 6.0, 50.0),
    ("branch", "web", 1.0, 6.0),
    ("web", "db", 40.0, 100.0),
    ("office", "db", 8.0, 30.0),
];

pub fn bundles(layout: &Layout, seed: u64) -> Vec<Bundle> {
    let end = |name: &str| match layout.networks.iter().position(|n| n.name == name) {
        Some(id) => End::Inside(id),
        None => End::Internet,
    };
    let mut all = Vec::new();
    for (nth, (client, server, forth, back)) in DEMANDS.iter().enumerate() {
        for slice in 0..BUNDLES {
            all.push(Bundle {
                client: end(client),
                server: end(server),
                forth_bps: forth * MEGA / f64::from(BUNDLES),
                back_bps: back * MEGA / f64::from(BUNDLES),
                slice,
                salt: mix(seed, nth as u64 * 64 + u64::from(slice)),
                drift: 0.0,
                way: None,
                carried: (1.0, 1.0),
            });
        }
    }
    all
}

/// The way between two ends, where there is one now.
pub fn way(
    layout: &Layout,
    routes: &Routes,
    ports: &[PortState],
    (from, to): (End, End),
    salt: u64,
) -> Option<Vec<Hop>> {
    let is_up = |port: PortId| ports[port].oper_up;
    let (from, to) = match (from, to) {
        (End::Inside(from), End::Inside(to)) => (from, to),
        (End::Inside(from), End::Internet) => (from, routes.door(layout, from, salt, is_up)?),
        (End::Internet, End::Inside(to)) => (routes.door(layout, to, salt, is_up)?, to),
        (End::Internet, End::Internet) => return None,
    };
    let usable = [from, to].iter().all(|network| is_up(layout.networks[*network].port));
    if usable { routes.between(layout, from, to, salt) } else { None }
}

/// The internet's doors, each with a way to the victim.
pub fn doors(layout: &Layout) -> Vec<Door> {
    let networks = layout.networks.iter().enumerate();
    let internet = networks.filter(|(_, network)| network.kind == Kind::Internet);
    internet.map(|(network, _)| Door { network, way: None, passes: 1.0 }).collect()
}

/// All that moves, with the interfaces that it moves through.
pub struct Load {
    pub bundles: Vec<Bundle>,
    pub talkers: Vec<Talker>,
    pub attacks: Vec<Attack>,
}

// === impl Load ===

impl Load {
    /// New ways after something failed or came back.
    pub fn reroute(&mut self, layout: &Layout, routes: &Routes, ports: &[PortState]) {
        for bundle in &mut self.bundles {
            let ends = (bundle.client, bundle.server);
            bundle.way = way(layout, routes, ports, ends, bundle.salt);
        }
        for talker in &mut self.talkers {
            talker.way = way(layout, routes, ports, (talker.from, talker.to), talker.salt);
        }
        for attack in &mut self.attacks {
            for door in &mut attack.doors {
                let ends = (End::Inside(door.network), End::Inside(attack.at));
                door.way = way(layout, routes, ports, ends, 0);
            }
        }
    }

    /// A second has passed: every bundle wanders, correlated over about 10 s with a deviation of
    /// 8 %: x' = 0.9 x + 0.035 n.
    pub fn wander(&mut self, rng: &mut impl Rng) {
        for bundle in &mut self.bundles {
            let step: f64 = StandardNormal.sample(rng);
            bundle.drift = 0.9 * bundle.drift + 0.035 * step;
        }
    }

    /// Every interface's rates, at `curve` times a working day's mean.
    pub fn apply(&mut self, layout: &Layout, ports: &mut [PortState], curve: f64) {
        let mut offered = vec![0.0; layout.ports.len()];
        for bundle in &self.bundles {
            let Some(way) = &bundle.way else { continue };
            let level = curve * bundle.drift.exp();
            for hop in way {
                offered[hop.exit] += bundle.forth_bps * level;
                offered[hop.entry] += bundle.back_bps * level;
            }
        }
        let greedy = self.settle_talkers(layout, &offered);
        let mut rates = vec![[0.0; COUNTERS_OF_A_PORT]; layout.ports.len()];
        let full = |port: PortId| FULL * layout.ports[port].speed_bps as f64;
        let fits = |port: PortId| {
            let kept = if greedy[port] { KEPT } else { 1.0 };
            kept.min(full(port) / offered[port].max(1.0))
        };
        for bundle in &mut self.bundles {
            let Some(way) = &bundle.way else { continue };
            let level = curve * bundle.drift.exp();
            let forth = way.iter().map(|hop| fits(hop.exit)).fold(1.0, f64::min);
            let back = way.iter().map(|hop| fits(hop.entry)).fold(1.0, f64::min);
            bundle.carried = (forth, back);
            carry(&mut rates, way, bundle.forth_bps * level * forth, PACKET);
            carry_back(&mut rates, way, bundle.back_bps * level * back);
        }
        for talker in &self.talkers {
            if let Some(way) = &talker.way {
                carry(&mut rates, way, talker.carried_bps, 1_400.0);
            }
        }
        for attack in &self.attacks {
            attack.carry(&mut rates);
        }
        for (id, port) in ports.iter_mut().enumerate() {
            let is_tight = greedy[id] || offered[id] > full(id);
            finish(&mut rates[id], port, is_tight, offered[id]);
        }
    }

    /// What each talker gets; marks the interfaces that it fills.
    fn settle_talkers(&mut self, layout: &Layout, offered: &[f64]) -> Vec<bool> {
        let mut greedy = vec![false; offered.len()];
        for talker in &mut self.talkers {
            let Some(way) = &talker.way else {
                talker.carried_bps = 0.0;
                continue;
            };
            let wanted = talker.offered_bps.min(talker.limit_bps.unwrap_or(f64::INFINITY));
            let room = |port: PortId| {
                let full = FULL * layout.ports[port].speed_bps as f64;
                if offered[port] + wanted <= full { wanted } else { full - KEPT * offered[port] }
            };
            let exits = way.iter().map(|hop| hop.exit);
            let narrow = exits.min_by(|a, b| room(*a).total_cmp(&room(*b)));
            talker.carried_bps = narrow.map_or(0.0, room).max(MEGA / 10.0);
            if let Some(port) = narrow.filter(|_| talker.carried_bps < wanted) {
                greedy[port] = true;
            }
        }
        greedy
    }
}

const COUNTERS_OF_A_PORT: usize = super::state::COUNTERS;

/// Traffic along a way, in at each entry and out at each exit.
fn carry(rates: &mut [Rates], way: &[Hop], bps: f64, packet: f64) {
    for hop in way {
        put(&mut rates[hop.entry], (Counter::InOctets, Counter::InPackets), bps, packet);
        put(&mut rates[hop.exit], (Counter::OutOctets, Counter::OutPackets), bps, packet);
    }
}

fn carry_back(rates: &mut [Rates], way: &[Hop], bps: f64) {
    for hop in way {
        put(&mut rates[hop.exit], (Counter::InOctets, Counter::InPackets), bps, PACKET);
        put(&mut rates[hop.entry], (Counter::OutOctets, Counter::OutPackets), bps, PACKET);
    }
}

fn put(rates: &mut Rates, (octets, packets): (Counter, Counter), bps: f64, packet: f64) {
    rates[octets as usize] += bps / 8.0;
    rates[packets as usize] += bps / 8.0 / packet;
}

/// What no demand says: hellos, what a full queue drops, and nothing where the interface is down.
fn finish(rates: &mut Rates, port: &mut PortState, is_tight: bool, offered_bps: f64) {
    if !port.oper_up {
        port.rates = [0.0; COUNTERS_OF_A_PORT];
        return;
    }
    put(rates, (Counter::InOctets, Counter::InPackets), CONTROL_BPS, 100.0);
    put(rates, (Counter::OutOctets, Counter::OutPackets), CONTROL_BPS, 100.0);
    if is_tight {
        // TCP finds its rate by losing about one packet in a thousand.
        rates[Counter::OutDiscards as usize] = (offered_bps / 8.0 / PACKET / 1_000.0).max(20.0);
    }
    port.rates = *rates;
}

// === impl Attack ===

impl Attack {
    fn carry(&self, rates: &mut [Rates]) {
        let each = self.syn_per_s / self.doors.len().max(1) as f64;
        for door in &self.doors {
            let Some(way) = &door.way else { continue };
            let came = each * SYN_OCTETS * 8.0;
            // A policy drops it behind the first entry: it comes in, and does not go on.
            let first = way[0].entry;
            let dropped = came * (1.0 - door.passes);
            put(&mut rates[first], (Counter::InOctets, Counter::InPackets), dropped, SYN_OCTETS);
            carry(rates, way, came * door.passes, SYN_OCTETS);
        }
    }
}
