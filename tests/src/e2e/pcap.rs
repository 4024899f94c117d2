//! Captures: read, rewritten to another victim and rate, made. Only what softflowd then reads: the
//! classic pcap format with Ethernet frames (IPv4, at most one VLAN tag).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
const TCP: u8 = 6;
/// 2026-01-01: a capture that we make has times that lie in the past, as real ones do.
const MADE_AT_US: i64 = 1_767_225_600_000_000;

#[derive(Clone)]
pub struct Capture {
    packets: Vec<Packet>,
}

#[derive(Clone)]
struct Packet {
    time_us: i64,
    frame: Vec<u8>,
}

/// What a capture is, from its packets alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub packets: usize,
    pub seconds: f64,
    /// The address that most packets go to.
    pub target: Ipv4Addr,
    /// Whether nearly all of them are TCP with SYN and without ACK, from many sources.
    pub is_syn_flood: bool,
}

impl Capture {
    pub fn read(path: &Path) -> Result<Capture> {
        let bytes =
            std::fs::read(path).with_context(|| format!("no capture {}", path.display()))?;
        parse(&bytes).with_context(|| format!("failed to read {}", path.display()))
    }

    /// A SYN flood from forged sources.
    pub fn syn_flood(seed: u64, victim: Ipv4Addr, packets: usize, seconds: f64) -> Capture {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let step_us = seconds * 1e6 / packets.max(1) as f64;
        let one = |nth: usize| Packet {
            time_us: MADE_AT_US + (nth as f64 * step_us) as i64,
            frame: syn(Ipv4Addr::from_bits(rng.random_range(0x0b00_0000..0x6400_0000)), victim),
        };
        Capture { packets: (0..packets).map(one).collect() }
    }

    pub fn summary(&self) -> Result<Summary> {
        let mut targets: BTreeMap<Ipv4Addr, usize> = BTreeMap::new();
        let mut sources = std::collections::BTreeSet::new();
        let mut syns = 0;
        for packet in &self.packets {
            let Some(ip) = ip_at(&packet.frame) else { continue };
            let header = &packet.frame[ip..];
            *targets.entry(address(header, 16)).or_default() += 1;
            sources.insert(address(header, 12));
            let flags = header.get(header_len(header) + 13).copied().unwrap_or(0);
            syns += usize::from(header[9] == TCP && flags & (SYN | ACK) == SYN);
        }
        let target = targets.iter().max_by_key(|(_, n)| **n).context("no IPv4 packet")?;
        let share = |part: usize| part as f64 / self.packets.len() as f64;
        let times = || self.packets.iter().map(|p| p.time_us);
        let span_us = times().max().unwrap_or(0) - times().min().unwrap_or(0);
        Ok(Summary {
            packets: self.packets.len(),
            seconds: span_us as f64 / 1e6,
            target: *target.0,
            is_syn_flood: share(syns) > 0.9 && share(*target.1) > 0.9 && sources.len() > 100,
        })
    }

    /// The same with another victim, and with time running `rate` times as fast.
    pub fn rewritten(&self, old: Ipv4Addr, new: Ipv4Addr, rate: f64) -> Capture {
        let first_us = self.packets.iter().map(|p| p.time_us).min().unwrap_or(0);
        let mut packets = self.packets.clone();
        for packet in &mut packets {
            let since = (packet.time_us - first_us) as f64;
            packet.time_us = first_us + (since / rate) as i64;
            let Some(ip) = ip_at(&packet.frame) else { continue };
            let header = &mut packet.frame[ip..];
            for at in [12, 16] {
                if address(header, at) == old {
                    header[at..at + 4].copy_from_slice(&new.octets());
                }
            }
            sum_header(header);
        }
        Capture { packets }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC_MICROS.to_le_bytes());
        bytes.extend([2, 0, 4, 0]);
        bytes.extend([0; 8]);
        bytes.extend(65_535u32.to_le_bytes());
        bytes.extend(ETHERNET.to_le_bytes());
        for packet in &self.packets {
            let len = packet.frame.len() as u32;
            bytes.extend(((packet.time_us / 1_000_000) as u32).to_le_bytes());
            bytes.extend(((packet.time_us % 1_000_000) as u32).to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(&packet.frame);
        }
        std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))
    }
}

fn parse(bytes: &[u8]) -> Result<Capture> {
    ensure!(bytes.len() >= 24, "too short for a header");
    let magic = u32::from_le_bytes(bytes[..4].try_into()?);
    let (is_swapped, per_us) = match (magic, magic.swap_bytes()) {
        (MAGIC_MICROS, _) => (false, 1),
        (MAGIC_NANOS, _) => (false, 1_000),
        (_, MAGIC_MICROS) => (true, 1),
        (_, MAGIC_NANOS) => (true, 1_000),
        _ => bail!("not a pcap file (pcapng is not read)"),
    };
    let word = |at: usize| {
        let raw = bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        raw.map(|n| if is_swapped { n.swap_bytes() } else { n })
    };
    ensure!(word(20) == Some(ETHERNET), "link type {:?} is not Ethernet", word(20));
    let (mut packets, mut at) = (Vec::new(), 24);
    while let (Some(seconds), Some(part), Some(len)) = (word(at), word(at + 4), word(at + 8)) {
        let Some(frame) = bytes.get(at + 16..at + 16 + len as usize) else { break };
        let time_us = i64::from(seconds) * 1_000_000 + i64::from(part) / per_us;
        packets.push(Packet { time_us, frame: frame.to_vec() });
        at += 16 + len as usize;
    }
    ensure!(!packets.is_empty(), "no packets");
    Ok(Capture { packets })
}

/// Where the IPv4 header of a frame begins.
fn ip_at(frame: &[u8]) -> Option<usize> {
    let kind = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let at = match kind(12)? {
        0x0800 => 14,
        0x8100 if kind(16)? == 0x0800 => 18,
        _ => return None,
    };
    (frame.len() >= at + 20).then_some(at)
}

fn header_len(header: &[u8]) -> usize {
    usize::from(header[0] & 15) * 4
}

fn address(header: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
}

/// RFC 791 §3.1. TCP's own sum is left: softflowd does not look at it.
fn sum_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let end = header_len(header).min(header.len());
    let words = header[..end].chunks_exact(2);
    let mut sum: u32 = words.map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn syn(source: Ipv4Addr, victim: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0];
    ip.extend(source.octets());
    ip.extend(victim.octets());
    sum_header(&mut ip);
    frame.extend(ip);
    let port = 1_024 + (source.to_bits() % 60_000) as u16;
    frame.extend(port.to_be_bytes());
    frame.extend(80u16.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN, 0x20, 0, 0, 0, 0, 0]);
    frame
}
