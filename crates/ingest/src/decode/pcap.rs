//! The UDP datagrams of a capture in libpcap's classic format, both byte orders, micro- and
//! nanoseconds (draft-ietf-opsawg-pcap). Fragments are counted, not put together: exporters keep
//! below the MTU.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Datagram;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PcapError {
    #[error("the capture's header is cut short")]
    Header,
    #[error("pcapng is not read, convert it: editcap -F pcap")]
    Pcapng,
    #[error("link type {0} is not read (Ethernet, raw IP, loopback and Linux cooked are)")]
    LinkType(u32),
}

/// Datagrams of a capture in order.
#[derive(Debug, Default)]
pub struct Found {
    pub datagrams: Vec<Datagram>,
    /// Packets that are no whole UDP datagram.
    pub packets_skipped: u64,
}

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const PCAPNG: u32 = 0x0a0d_0d0a;

/// Byte order of the capture and units of a millisecond in its fractions of a second.
#[derive(Clone, Copy)]
struct Form {
    little: bool,
    per_ms: u32,
}

pub fn is_capture(bytes: &[u8]) -> bool {
    form(bytes).is_some() || bytes.first_chunk().is_some_and(|b| u32::from_be_bytes(*b) == PCAPNG)
}

fn form(bytes: &[u8]) -> Option<Form> {
    let magic = *bytes.first_chunk::<4>()?;
    match (u32::from_be_bytes(magic), u32::from_le_bytes(magic)) {
        (MICROS, _) => Some(Form { little: false, per_ms: 1_000 }),
        (NANOS, _) => Some(Form { little: false, per_ms: 1_000_000 }),
        (_, MICROS) => Some(Form { little: true, per_ms: 1_000 }),
        (_, NANOS) => Some(Form { little: true, per_ms: 1_000_000 }),
        _ => None,
    }
}

impl Form {
    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
    }
}

pub fn datagrams(bytes: &[u8]) -> Result<Found, PcapError> {
    let form = form(bytes).ok_or(PcapError::Pcapng)?;
    let link = form.u32(bytes, 20).ok_or(PcapError::Header)? & 0xffff;
    if !matches!(link, 0 | 1 | 12 | 14 | 101 | 113 | 276) {
        return Err(PcapError::LinkType(link));
    }
    let mut found = Found::default();
    let mut rest = bytes.get(24..).unwrap_or_default();
    while let Some((received, packet, behind)) = packet(form, rest) {
        rest = behind;
        match ip(link, packet).and_then(udp) {
            Some((source, payload)) => {
                let payload = payload.to_vec();
                found.datagrams.push(Datagram { received, source, payload });
            }
            None => found.packets_skipped += 1,
        }
    }
    found.packets_skipped += u64::from(!rest.is_empty());
    Ok(found)
}

/// Time, bytes and what is behind the next packet.
fn packet(form: Form, rest: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let seconds = i64::from(form.u32(rest, 0)?);
    let fraction = form.u32(rest, 4)? / form.per_ms;
    let len = usize::try_from(form.u32(rest, 8)?).ok()?;
    let (packet, behind) = rest.get(16..)?.split_at_checked(len)?;
    Some((seconds * 1000 + i64::from(fraction), packet, behind))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// The IP packet in a frame.
fn ip(link: u32, frame: &[u8]) -> Option<&[u8]> {
    let mut at = match link {
        0 => return frame.get(4..),
        12 | 14 | 101 => return Some(frame),
        113 => 14,
        276 => return frame.get(20..),
        _ => 12,
    };
    // VLAN tags (802.1Q, 802.1ad).
    while matches!(be16(frame, at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    matches!(be16(frame, at)?, 0x0800 | 0x86dd).then(|| frame.get(at + 2..))?
}

/// Source and payload of a UDP datagram in one whole IP packet.
fn udp(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (source, segment) = match packet.first()? >> 4 {
        4 => ipv4(packet)?,
        6 => ipv6(packet)?,
        _ => return None,
    };
    let len = usize::from(be16(segment, 4)?);
    Some((source, segment.get(8..len)?))
}

fn ipv4(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    const UDP: u8 = 17;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    // Either a fragment's offset or more fragments to come.
    let fragment = be16(packet, 6)? & 0x3fff != 0;
    let source = *packet.get(12..)?.first_chunk::<4>()?;
    let whole = !fragment && *packet.get(9)? == UDP;
    whole.then(|| Some((IpAddr::V4(Ipv4Addr::from(source)), packet.get(header..)?)))?
}

fn ipv6(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let source = IpAddr::V6(Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?));
    let mut next = *packet.get(6)?;
    let mut rest = packet.get(40..)?;
    loop {
        match next {
            17 => return Some((source, rest)),
            // Hop-by-hop, routing, destination options (RFC 8200 §4): length in 8 bytes beyond the
            // first.
            0 | 43 | 60 => {
                let len = 8 + usize::from(*rest.get(1)?) * 8;
                next = *rest.first()?;
                rest = rest.get(len..)?;
            }
            _ => return None,
        }
    }
}
