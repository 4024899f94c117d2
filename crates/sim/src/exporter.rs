//! One flow exporter: packs flows into datagrams, sends templates anew from time to time, numbers
//! what it sends the way its protocol counts, and samples. Bytes are `encode`'s business.

use std::net::Ipv4Addr;

use bytes::Bytes;
use rand::Rng;
use rand_distr::{Binomial, Distribution};
use serde::{Deserialize, Serialize};

use crate::encode::{Header, Message, Protocol, header_len, record_len};
use crate::flow::{Family, Flow};

/// What a datagram may hold: an Ethernet frame less IP and UDP headers and an 802.1Q tag or two.
const PAYLOAD_BYTES_MAX: usize = 1440;
/// Room that templates and the sampler's record take at most (encoded: 212 bytes).
const TEMPLATES_BYTES: usize = 220;
/// Two data sets' headers and padding.
const SETS_BYTES: usize = 16;

/// Who an exporter is and how it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub address: Ipv4Addr,
    pub protocol: Protocol,
    /// v9's source id, IPFIX's observation domain.
    pub domain: u32,
    /// 1 in N packets; 1 is all of them.
    pub sampling: u32,
    pub template_refresh_ms: i64,
    /// A datagram that is not full leaves when its oldest flow has waited this long.
    pub flush_ms: i64,
}

/// What goes over the wire at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Datagram {
    pub time_ms: i64,
    pub exporter: Ipv4Addr,
    pub bytes: Bytes,
    /// Flow records in it.
    pub flows: u32,
    /// Options data records in it, which IPFIX counts in its sequence (RFC 7011 §3.1).
    pub options: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Templates {
    Put,
    Left,
}

pub struct Exporter {
    identity: Identity,
    boot_ms: i64,
    sequence: u32,
    templates_due_ms: i64,
    pending: Vec<Flow>,
    pending_bytes: usize,
    oldest_ms: i64,
}

// === impl Datagram ===

impl Datagram {
    pub fn records(&self) -> u32 {
        self.flows + self.options
    }
}

// === impl Exporter ===

impl Exporter {
    pub fn new(identity: Identity, boot_ms: i64, first_sequence: u32) -> Exporter {
        Exporter {
            identity,
            boot_ms,
            sequence: first_sequence,
            templates_due_ms: i64::MIN,
            pending: Vec::new(),
            pending_bytes: 0,
            oldest_ms: i64::MAX,
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes a flow in (after a first `tick`, which sends the templates); a datagram that is full
    /// goes out.
    pub fn push(
        &mut self,
        mut flow: Flow,
        now_ms: i64,
        rng: &mut impl Rng,
        out: &mut Vec<Datagram>,
    ) {
        if self.identity.sampling > 1 && !sample(&mut flow, self.identity.sampling, rng) {
            return;
        }
        let len = record_len(self.identity.protocol, flow.family());
        if self.pending_bytes + len > self.room() {
            out.push(self.emit(now_ms, Templates::Left));
        }
        self.oldest_ms = self.oldest_ms.min(now_ms);
        self.pending_bytes += len;
        self.pending.push(flow);
    }

    /// Sends what has waited long enough, and templates that are due, alone if need be.
    pub fn tick(&mut self, now_ms: i64, out: &mut Vec<Datagram>) {
        let waited = now_ms.saturating_sub(self.oldest_ms) >= self.identity.flush_ms;
        if now_ms >= self.templates_due_ms {
            if self.pending_bytes + TEMPLATES_BYTES > self.room() {
                out.push(self.emit(now_ms, Templates::Left));
            }
            out.push(self.emit(now_ms, Templates::Put));
        } else if waited && !self.pending.is_empty() {
            out.push(self.emit(now_ms, Templates::Left));
        }
    }

    /// Sends whatever waits.
    pub fn flush(&mut self, now_ms: i64, out: &mut Vec<Datagram>) {
        if !self.pending.is_empty() {
            out.push(self.emit(now_ms, Templates::Left));
        }
    }

    /// The device starts anew: uptime and sequence begin at 0, what waited is gone.
    pub fn restart(&mut self, now_ms: i64) {
        let fresh = Exporter::new(self.identity.clone(), now_ms, 0);
        *self = fresh;
    }

    fn room(&self) -> usize {
        PAYLOAD_BYTES_MAX - header_len(self.identity.protocol) - SETS_BYTES
    }

    fn emit(&mut self, now_ms: i64, templates: Templates) -> Datagram {
        let protocol = self.identity.protocol;
        let mut message = Message::new(protocol, self.boot_ms);
        let mut options = 0;
        if templates == Templates::Put {
            message.put_templates(self.identity.sampling);
            self.templates_due_ms = now_ms + self.identity.template_refresh_ms;
            options = 1;
        }
        for family in [Family::V4, Family::V6] {
            let mut flows = self.pending.iter().filter(|f| f.family() == family).peekable();
            if flows.peek().is_some() {
                message.put_flows(family, flows);
            }
        }
        let flows = self.pending.len() as u32;
        let header = Header { now_ms, sequence: self.sequence, domain: self.identity.domain };
        let bytes = Bytes::from(message.finish(header));
        let step = match protocol {
            Protocol::V9 => 1,
            Protocol::Ipfix => flows + options,
        };
        self.sequence = self.sequence.wrapping_add(step);
        self.pending.clear();
        self.pending_bytes = 0;
        self.oldest_ms = i64::MAX;
        Datagram { time_ms: now_ms, exporter: self.identity.address, bytes, flows, options }
    }
}

/// Thins a flow as a sampler would; false where none of its packets was seen.
fn sample(flow: &mut Flow, rate: u32, rng: &mut impl Rng) -> bool {
    let share = 1.0 / f64::from(rate);
    let binomial = Binomial::new(flow.packets, share).expect("a share lies between 0 and 1");
    let seen = binomial.sample(rng);
    if seen > 0 {
        flow.bytes = (flow.bytes / flow.packets * seen).max(20);
        flow.packets = seen;
    }
    seen > 0
}
