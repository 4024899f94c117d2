//! One flow as an exporter saw it, before it is put on the wire: what the encoder turns into a
//! record and what the tests compare with the decoded one.

use std::net::IpAddr;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// One direction of a conversation. Both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub src_port: u16,
    pub dst_port: u16,
    pub protocol: u8,
    pub tcp_flags: u8,
    pub tos: u8,
    pub in_if: u32,
    pub out_if: u32,
    pub src_as: u32,
    pub dst_as: u32,
    /// Milliseconds since 1970, by the exporter's clock.
    pub first_ms: i64,
    pub last_ms: i64,
    pub packets: u64,
    pub bytes: u64,
}

// === impl Flow ===

impl Flow {
    pub fn family(&self) -> Family {
        if self.src.is_ipv6() { Family::V6 } else { Family::V4 }
    }
}
