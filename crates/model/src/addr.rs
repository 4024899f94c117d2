//! Addresses as they stand in columns: 16 bytes in network order, IPv4 as IPv4-mapped IPv6
//! (RFC 4291 §2.5.5.2).

use std::net::{IpAddr, Ipv6Addr};

/// Bytes of an address column.
pub const WIDTH: i32 = 16;

/// An address as 16 bytes.
pub fn mapped(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address in 16 bytes, IPv4 where it is mapped; `None` for any other length.
pub fn to_ip(bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.try_into().ok()?;
    Some(Ipv6Addr::from(octets).to_canonical())
}
