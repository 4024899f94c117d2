//! Conversations as the exporters on their way see them: who, how long, how much, in at which
//! interface and out at which. Sizes are heavy-tailed around what the bundle carries, so that the
//! records of a minute add up to the interfaces' counters.

use std::net::{IpAddr, Ipv4Addr};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Zipf};

use super::layout::{Kind, Layout, Network};
use super::load::{BUNDLES, Bundle, CONNECTIONS, End, Talker};
use super::routes::Hop;
use crate::flow::{ACK, FIN, Flow, PSH, RST, SYN, TCP, UDP};
use crate::traffic::as_number;

/// A TCP conversation that both sides ended well.
const COMPLETE: u8 = SYN | ACK | PSH | FIN;
/// Rounded from published mixes of enterprise traffic, as `traffic::benign`'s: (talk, share).
const MIX: &[(Talk, u32)] = &[
    (Talk::Bulk { protocol: TCP, port: 443 }, 55),
    (Talk::Bulk { protocol: UDP, port: 443 }, 15),
    (Talk::Small { port: 53 }, 20),
    (Talk::Small { port: 123 }, 5),
    (Talk::Refused, 3),
    (Talk::Unanswered, 2),
];
const MIX_TOTAL: u32 = 100;
/// Share of talks that carry the bundle's octets.
const BULK_SHARE: f64 = 0.70;
/// Deviation of a size's logarithm: a few conversations carry most of the octets.
const SIZE_SIGMA: f64 = 1.3;
/// Activity of clients (Breslau et al., INFOCOM 1999: 0.64 to 0.83).
const SKEW: f64 = 0.7;
/// What a record may say: its fields have 32 bits.
const OCTETS_MAX: f64 = 4e9;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Talk {
    Bulk { protocol: u8, port: u16 },
    Small { port: u16 },
    Refused,
    Unanswered,
}

/// One conversation, seen from its client.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    pub client: Ipv4Addr,
    pub server: Ipv4Addr,
    client_port: u16,
    server_port: u16,
    protocol: u8,
    flags: (u8, u8),
    packets: (u64, u64),
    octets: (u64, u64),
    first_ms: i64,
    last_ms: i64,
}

/// Draws conversations.
pub struct Talks {
    hosts: Vec<Zipf<f64>>,
    size: LogNormal<f64>,
    duration: LogNormal<f64>,
}

// === impl Talks ===

impl Talks {
    pub fn new(layout: &Layout) -> Talks {
        let zipf = |network: &Network| {
            let each = f64::from((network.hosts / BUNDLES).max(1));
            Zipf::new(each, SKEW).expect("at least one host, and a finite exponent")
        };
        let law =
            |mu: f64, sigma: f64| LogNormal::new(mu, sigma).expect("a finite, positive deviation");
        Talks {
            hosts: layout.networks.iter().map(zipf).collect(),
            // A mean of one: exp(mu + sigma² / 2) = 1.
            size: law(-SIZE_SIGMA * SIZE_SIGMA / 2.0, SIZE_SIGMA),
            duration: law(400f64.ln(), 1.6),
        }
    }

    /// A conversation of this bundle that ended shortly before `now_ms`; `octets` is what one
    /// carries on average, forth and back.
    pub fn draw(
        &self,
        layout: &Layout,
        bundle: &Bundle,
        octets: (f64, f64),
        now_ms: i64,
        rng: &mut ChaCha8Rng,
    ) -> Conversation {
        let talk = pick(rng);
        let blank = Conversation {
            client: self.host(layout, bundle.client, bundle.slice, rng),
            server: self.host(layout, bundle.server, rng.random_range(0..BUNDLES), rng),
            client_port: rng.random_range(32_768..=60_999),
            server_port: 443,
            protocol: UDP,
            flags: (0, 0),
            packets: (1, 1),
            octets: (76, 150),
            first_ms: now_ms - 40,
            last_ms: now_ms - 20,
        };
        match talk {
            Talk::Bulk { protocol, port } => self.bulk(blank, (protocol, port), octets, rng),
            Talk::Small { port } => Conversation { server_port: port, ..blank },
            Talk::Refused => {
                Conversation { protocol: TCP, flags: (SYN, RST | ACK), octets: (60, 40), ..blank }
            }
            Talk::Unanswered => Conversation {
                protocol: TCP,
                server_port: [23, 80, 445, 8080][rng.random_range(0..4)],
                flags: (SYN, 0),
                packets: (2, 0),
                octets: (120, 0),
                first_ms: now_ms - 3_000,
                ..blank
            },
        }
    }

    fn bulk(
        &self,
        blank: Conversation,
        (protocol, port): (u8, u16),
        mean: (f64, f64),
        rng: &mut ChaCha8Rng,
    ) -> Conversation {
        let size = self.size.sample(rng) / BULK_SHARE;
        let amount = |mean: f64| (mean * size).clamp(200.0, OCTETS_MAX) as u64;
        let octets = (amount(mean.0), amount(mean.1));
        let flags = if protocol == TCP { (COMPLETE, COMPLETE) } else { (0, 0) };
        // Below the active timeout (60 s): longer ones are talkers.
        let duration = self.duration.sample(rng).clamp(2.0, 50_000.0) as i64;
        Conversation {
            server_port: port,
            protocol,
            flags,
            packets: (4 + octets.0 / 1_400, 4 + octets.1 / 1_400),
            octets,
            first_ms: blank.last_ms - duration,
            ..blank
        }
    }

    fn host(&self, layout: &Layout, end: End, slice: u32, rng: &mut ChaCha8Rng) -> Ipv4Addr {
        let id = match end {
            End::Inside(id) => id,
            End::Internet => internet(layout),
        };
        let network = &layout.networks[id];
        let rank = self.hosts[id].sample(rng) as u32 - 1;
        network.host((rank * BUNDLES + slice) % network.hosts.max(1))
    }
}

// === impl Network ===

impl Network {
    pub fn host(&self, nth: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first_host.to_bits().wrapping_add(nth))
    }
}

// === impl Conversation ===

impl Conversation {
    pub fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    /// Both directions as the exporter at this hop sees them.
    pub fn flows(&self, layout: &Layout, hop: &Hop) -> impl Iterator<Item = Flow> + use<> {
        let (entry, exit) = (layout.ports[hop.entry].index, layout.ports[hop.exit].index);
        let (client, server) = (IpAddr::V4(self.client), IpAddr::V4(self.server));
        let forth = Flow {
            src: client,
            dst: server,
            src_port: self.client_port,
            dst_port: self.server_port,
            protocol: self.protocol,
            tcp_flags: self.flags.0,
            tos: 0,
            in_if: entry,
            out_if: exit,
            src_as: as_number(client),
            dst_as: as_number(server),
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            packets: self.packets.0,
            bytes: self.octets.0,
        };
        let back = Flow {
            tcp_flags: self.flags.1,
            packets: self.packets.1,
            bytes: self.octets.1,
            ..turned(&forth)
        };
        [forth, back].into_iter().filter(|flow| flow.packets > 0)
    }
}

// === impl Talker ===

impl Talker {
    /// What connection `nth` has sent since its last record, at a hop; nothing where too little.
    pub fn report(&mut self, layout: &Layout, hop: &Hop, nth: usize, now_ms: i64) -> Option<Flow> {
        let share = 1.0 / CONNECTIONS as f64;
        let octets = ((self.octets - self.reported[nth]) * share).min(OCTETS_MAX);
        if octets < 1_400.0 {
            return None;
        }
        let (src, dst) = (IpAddr::V4(self.src), IpAddr::V4(self.dst));
        let first_ms = self.reported_ms[nth];
        self.reported[nth] = self.octets;
        self.reported_ms[nth] = now_ms;
        Some(Flow {
            src,
            dst,
            src_port: 40_000 + nth as u16,
            dst_port: 443,
            protocol: TCP,
            tcp_flags: ACK | PSH,
            tos: 0,
            in_if: layout.ports[hop.entry].index,
            out_if: layout.ports[hop.exit].index,
            src_as: as_number(src),
            dst_as: as_number(dst),
            first_ms,
            last_ms: now_ms,
            packets: (octets / 1_400.0) as u64,
            bytes: octets as u64,
        })
    }
}

/// The same conversation's other direction.
fn turned(flow: &Flow) -> Flow {
    Flow {
        src: flow.dst,
        dst: flow.src,
        src_port: flow.dst_port,
        dst_port: flow.src_port,
        in_if: flow.out_if,
        out_if: flow.in_if,
        src_as: flow.dst_as,
        dst_as: flow.src_as,
        ..*flow
    }
}

fn internet(layout: &Layout) -> usize {
    let is_it = |network: &Network| network.kind == Kind::Internet;
    layout.networks.iter().position(is_it).expect("the table has doors to the internet")
}

fn pick(rng: &mut ChaCha8Rng) -> Talk {
    let mut left = rng.random_range(0..MIX_TOTAL);
    for (talk, share) in MIX {
        if left < *share {
            return *talk;
        }
        left -= share;
    }
    MIX[0].0
}
