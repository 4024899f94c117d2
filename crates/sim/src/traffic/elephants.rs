//! Long flows (backups, streams) that an exporter reports every active timeout, not only at their
//! end: the same five numbers again and again.

use std::net::IpAddr;

use rand::Rng;
use rand_distr::{Distribution, LogNormal};

use super::network::{Network, as_number};
use crate::flow::{ACK, Family, Flow, PSH, TCP};

/// NetFlow's usual active timeout on software exporters (routers: up to 30 minutes).
const ACTIVE_TIMEOUT_MS: i64 = 60_000;

pub struct Elephants {
    network: Network,
    running: Vec<Elephant>,
}

struct Elephant {
    flow: Flow,
    bytes_per_s: f64,
    next_ms: i64,
    end_ms: i64,
}

// === impl Elephants ===

impl Elephants {
    pub fn new(network: Network, count: u32, now_ms: i64, rng: &mut impl Rng) -> Elephants {
        let mut running = Vec::new();
        for _ in 0..count {
            let mut elephant = start(&network, now_ms, rng);
            elephant.next_ms = now_ms + rng.random_range(0..ACTIVE_TIMEOUT_MS);
            running.push(elephant);
        }
        Elephants { network, running }
    }

    /// Reports those that are due before `until_ms`; one that is over makes place for another.
    pub fn tick(&mut self, until_ms: i64, rng: &mut impl Rng, out: &mut impl FnMut(i64, Flow)) {
        for elephant in &mut self.running {
            while elephant.next_ms < until_ms {
                let now_ms = elephant.next_ms;
                out(now_ms, elephant.report(now_ms));
                elephant.next_ms = now_ms + ACTIVE_TIMEOUT_MS;
                if now_ms >= elephant.end_ms {
                    *elephant = start(&self.network, now_ms, rng);
                }
            }
        }
    }
}

// === impl Elephant ===

impl Elephant {
    fn report(&mut self, now_ms: i64) -> Flow {
        let span_ms = (now_ms - self.flow.last_ms).max(1);
        let bytes = (self.bytes_per_s * span_ms as f64 / 1000.0).clamp(1_500.0, 4e9) as u64;
        self.flow.first_ms = self.flow.last_ms;
        self.flow.last_ms = now_ms;
        self.flow.bytes = bytes;
        self.flow.packets = (bytes / 1_400).max(1);
        self.flow
    }
}

fn start(network: &Network, now_ms: i64, rng: &mut impl Rng) -> Elephant {
    let (src, dst) = (network.server(Family::V4, rng), network.content(Family::V4, rng));
    // Median 0.6 MB/s and 20 minutes.
    let rate = LogNormal::new(6e5f64.ln(), 1.0).expect("a positive deviation").sample(rng);
    let minutes = LogNormal::new(20f64.ln(), 1.0).expect("a positive deviation").sample(rng);
    Elephant {
        flow: blank(src, dst, rng.random_range(32_768..=60_999), now_ms),
        bytes_per_s: rate,
        next_ms: now_ms + ACTIVE_TIMEOUT_MS,
        end_ms: now_ms + (minutes * 60_000.0).clamp(6e4, 8.64e7) as i64,
    }
}

fn blank(src: IpAddr, dst: IpAddr, src_port: u16, now_ms: i64) -> Flow {
    Flow {
        src,
        dst,
        src_port,
        dst_port: 873,
        protocol: TCP,
        tcp_flags: ACK | PSH,
        tos: 0,
        in_if: 2,
        out_if: 3,
        src_as: as_number(src),
        dst_as: as_number(dst),
        first_ms: now_ms,
        last_ms: now_ms,
        packets: 0,
        bytes: 0,
    }
}
