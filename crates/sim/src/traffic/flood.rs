//! A SYN flood: single SYN packets from forged sources at one victim, which answers few of them.

use std::net::{IpAddr, Ipv4Addr};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::network::{as_number, forged};
use super::{Purpose, stream};
use crate::flow::{ACK, Flow, SYN, TCP};

/// Share of SYNs that the victim still answers; the rest meets a full backlog.
const ANSWERED: f64 = 0.02;

pub struct Flood {
    victim: Ipv4Addr,
    port: u16,
    sources: Vec<Ipv4Addr>,
}

// === impl Flood ===

impl Flood {
    /// Every exporter sees the same forged sources, for they come from everywhere.
    pub fn new(seed: u64, victim: Ipv4Addr, port: u16, sources: u32) -> Flood {
        let mut rng: ChaCha8Rng = stream(seed, Purpose::Flood, 255);
        let sources = (0..sources.max(1)).map(|_| forged(&mut rng)).collect();
        Flood { victim, port, sources }
    }

    pub fn syn(&self, now_ms: i64, rng: &mut impl Rng, out: &mut impl FnMut(Flow)) {
        let source = self.sources[rng.random_range(0..self.sources.len())];
        let flow = Flow {
            src: IpAddr::V4(source),
            dst: IpAddr::V4(self.victim),
            src_port: rng.random_range(1_024..=65_535),
            dst_port: self.port,
            protocol: TCP,
            tcp_flags: SYN,
            tos: 0,
            in_if: 3,
            out_if: 2,
            src_as: as_number(IpAddr::V4(source)),
            dst_as: as_number(IpAddr::V4(self.victim)),
            first_ms: now_ms - 20,
            last_ms: now_ms - 20,
            packets: 1,
            bytes: 40,
        };
        out(flow);
        if rng.random_bool(ANSWERED) {
            out(answer(&flow));
        }
    }
}

fn answer(syn: &Flow) -> Flow {
    Flow {
        src: syn.dst,
        dst: syn.src,
        src_port: syn.dst_port,
        dst_port: syn.src_port,
        tcp_flags: SYN | ACK,
        in_if: syn.out_if,
        out_if: syn.in_if,
        src_as: syn.dst_as,
        dst_as: syn.src_as,
        bytes: 44,
        ..*syn
    }
}
