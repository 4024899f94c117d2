//! Benign conversations as an exporter sees them: two flows, one a direction, exported when the
//! conversation is over. Some are not answered, as on every real network.

use std::net::IpAddr;

use rand::Rng;
use rand_distr::{Distribution, LogNormal};

use super::network::{BUSY_SERVER, Network, as_number};
use crate::flow::{ACK, FIN, Family, Flow, ICMP, PSH, RST, SYN, TCP, UDP};

/// About two: only unanswered conversations have one.
pub const RECORDS_PER_CONVERSATION: f64 = 1.98;

/// A TCP conversation that both sides ended well.
const COMPLETE: u8 = SYN | ACK | PSH | FIN;

/// What a conversation is, with its share of all. Rounded from published mixes of enterprise and
/// access traffic; the product must not depend on them.
const MIX: &[(Talk, u32)] = &[
    (Talk::Web, 42),
    (Talk::Busy, 12),
    (Talk::Dns, 20),
    (Talk::Quic, 12),
    (Talk::Mail, 4),
    (Talk::Ssh, 2),
    (Talk::Ntp, 3),
    (Talk::Ping, 1),
    (Talk::Reset, 2),
    (Talk::Unanswered, 2),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Talk {
    Web,
    Busy,
    Dns,
    Quic,
    Mail,
    Ssh,
    Ntp,
    Ping,
    Reset,
    Unanswered,
}

pub struct Benign {
    network: Network,
    /// Duration in ms and octets of the answer: heavy-tailed, medians 400 ms and 9 kB.
    duration: LogNormal<f64>,
    answer: LogNormal<f64>,
    flows: u64,
}

/// One side of a conversation.
#[derive(Clone, Copy)]
struct Side {
    address: IpAddr,
    port: u16,
    interface: u32,
}

/// What went over it, seen from the one who began.
struct Exchange {
    protocol: u8,
    flags: (u8, u8),
    packets: (u64, u64),
    bytes: (u64, u64),
    first_ms: i64,
    last_ms: i64,
}

// === impl Benign ===

impl Benign {
    pub fn new(network: Network) -> Benign {
        let law = |median: f64, sigma: f64| {
            LogNormal::new(median.ln(), sigma).expect("a finite, positive deviation")
        };
        Benign { network, duration: law(400.0, 1.6), answer: law(9_000.0, 1.7), flows: 0 }
    }

    /// A conversation that ended shortly before `now_ms`, handed to `out` flow by flow.
    pub fn conversation(&mut self, now_ms: i64, rng: &mut impl Rng, out: &mut impl FnMut(Flow)) {
        let talk = pick(rng);
        self.talk(talk, now_ms, rng, out);
    }

    /// A completed conversation with the busy server: what a crowd of people does.
    pub fn visit(&mut self, now_ms: i64, rng: &mut impl Rng, out: &mut impl FnMut(Flow)) {
        self.talk(Talk::Busy, now_ms, rng, out);
    }

    fn talk(&mut self, talk: Talk, now_ms: i64, rng: &mut impl Rng, out: &mut impl FnMut(Flow)) {
        self.flows += 1;
        let (client, server) = self.sides(talk, rng);
        let exchange = self.exchange(talk, now_ms, rng);
        let forth = direction(client, server, &exchange, Way::Forth);
        out(forth);
        if talk != Talk::Unanswered {
            out(direction(client, server, &exchange, Way::Back));
        }
    }

    /// Half of the web is ours (clients come in), half is elsewhere (our clients go out).
    fn sides(&self, talk: Talk, rng: &mut impl Rng) -> (Side, Side) {
        let family = if talk == Talk::Busy { Family::V4 } else { self.network.family(rng) };
        let port = rng.random_range(32_768..=60_999);
        let client = Side { address: self.network.client(family, rng), port, interface: 1 };
        let service = match talk {
            Talk::Web | Talk::Busy | Talk::Quic | Talk::Reset => 443,
            Talk::Dns => 53,
            Talk::Mail => 25,
            Talk::Ssh => 22,
            Talk::Ntp => 123,
            Talk::Ping => 0,
            Talk::Unanswered => [23, 80, 443, 445, 8080][rng.random_range(0..5)],
        };
        let (address, interface) = if talk == Talk::Busy {
            (IpAddr::V4(BUSY_SERVER), 2)
        } else if rng.random_bool(0.5) {
            (self.network.server(family, rng), 2)
        } else {
            (self.network.content(family, rng), 3)
        };
        let from = if talk == Talk::Ping { Side { port: 0, ..client } } else { client };
        (from, Side { address, port: service, interface })
    }

    fn exchange(&self, talk: Talk, now_ms: i64, rng: &mut impl Rng) -> Exchange {
        match talk {
            Talk::Web | Talk::Busy | Talk::Mail | Talk::Ssh => self.tcp(now_ms, rng),
            Talk::Dns => small(UDP, now_ms, 20, (60 + rng.random_range(0..30), 150)),
            Talk::Ntp => small(UDP, now_ms, 15, (76, 76)),
            Talk::Ping => small(ICMP, now_ms, 10, (84, 84)),
            Talk::Quic => Exchange { protocol: UDP, flags: (0, 0), ..self.tcp(now_ms, rng) },
            Talk::Reset => Exchange { flags: (SYN, RST | ACK), ..small(TCP, now_ms, 5, (60, 40)) },
            Talk::Unanswered => {
                let tries = rng.random_range(1..=3);
                Exchange {
                    flags: (SYN, 0),
                    packets: (tries, 0),
                    bytes: (60 * tries, 0),
                    ..small(TCP, now_ms, 3_000, (0, 0))
                }
            }
        }
    }

    fn tcp(&self, now_ms: i64, rng: &mut impl Rng) -> Exchange {
        let answered = self.answer.sample(rng).clamp(200.0, 5e7) as u64;
        let asked = 300 + answered / 40;
        let back = 4 + answered / 1_400;
        let forth = 5 + back / 2;
        // A conversation above the active timeout (60 s) is an elephant's, not one of these.
        let duration = self.duration.sample(rng).clamp(2.0, 50_000.0) as i64;
        let last_ms = now_ms - rng.random_range(20..400);
        Exchange {
            protocol: TCP,
            flags: (COMPLETE, COMPLETE),
            packets: (forth, back),
            bytes: (asked + 40 * forth, answered + 40 * back),
            first_ms: last_ms - duration,
            last_ms,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Forth,
    Back,
}

fn direction(client: Side, server: Side, exchange: &Exchange, way: Way) -> Flow {
    let (from, to) = if way == Way::Forth { (client, server) } else { (server, client) };
    let (flags, packets, bytes) = match way {
        Way::Forth => (exchange.flags.0, exchange.packets.0, exchange.bytes.0),
        Way::Back => (exchange.flags.1, exchange.packets.1, exchange.bytes.1),
    };
    Flow {
        src: from.address,
        dst: to.address,
        src_port: from.port,
        dst_port: to.port,
        protocol: exchange.protocol,
        tcp_flags: flags,
        tos: 0,
        in_if: from.interface,
        out_if: to.interface,
        src_as: as_number(from.address),
        dst_as: as_number(to.address),
        first_ms: exchange.first_ms,
        last_ms: exchange.last_ms,
        packets,
        bytes,
    }
}

/// One packet there, one back.
fn small(protocol: u8, now_ms: i64, took_ms: i64, bytes: (u64, u64)) -> Exchange {
    let last_ms = now_ms - 20;
    let first_ms = last_ms - took_ms;
    Exchange { protocol, flags: (0, 0), packets: (1, 1), bytes, first_ms, last_ms }
}

fn pick(rng: &mut impl Rng) -> Talk {
    let total: u32 = MIX.iter().map(|(_, share)| share).sum();
    let mut left = rng.random_range(0..total);
    for (talk, share) in MIX {
        if left < *share {
            return *talk;
        }
        left -= share;
    }
    unreachable!("the draw is below the sum of all shares")
}
