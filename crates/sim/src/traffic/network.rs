//! The addresses of the simulated network. Only ranges that are reserved for documentation,
//! benchmarks and carrier-grade NAT (RFC 5737, 2544, 6598, 3849), so that no real host is named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng;
use rand_distr::{Distribution, Zipf};

use crate::flow::Family;

/// Who talks to whom: own servers 203.0.113.0/24, clients 100.64.0.0/10, content in 198.18.0.0/15.
#[derive(Clone, Debug)]
pub struct Network {
    servers: Zipf<f64>,
    clients: Zipf<f64>,
    content: Zipf<f64>,
    /// Share of conversations over IPv6.
    v6_share: f64,
}

/// The server that is busier than all others and healthy.
pub const BUSY_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

/// Exponents of the Zipf laws: popularity of web servers is near 1, activity of clients flatter
/// (Breslau et al., INFOCOM 1999: 0.64 to 0.83 for pages; servers above).
const SERVER_SKEW: f64 = 1.0;
const CLIENT_SKEW: f64 = 0.7;

// === impl Network ===

impl Network {
    pub fn new(servers: u32, clients: u32) -> Network {
        let zipf = |n: u32, s: f64| {
            Zipf::new(f64::from(n.max(1)), s).expect("at least one, and a finite exponent")
        };
        Network {
            servers: zipf(servers.min(250), SERVER_SKEW),
            clients: zipf(clients.min(4_000_000), CLIENT_SKEW),
            content: zipf(2_000, SERVER_SKEW),
            v6_share: 0.1,
        }
    }

    pub fn family(&self, rng: &mut impl Rng) -> Family {
        if rng.random_bool(self.v6_share) { Family::V6 } else { Family::V4 }
    }

    /// One of our servers; rank 1 is 203.0.113.1.
    pub fn server(&self, family: Family, rng: &mut impl Rng) -> IpAddr {
        let rank = self.servers.sample(rng) as u32;
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(203, 0, 113, rank as u8)),
            Family::V6 => in_prefix(0x2001_0db8_0001, rank),
        }
    }

    pub fn client(&self, family: Family, rng: &mut impl Rng) -> IpAddr {
        let rank = self.clients.sample(rng) as u32;
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(0x6440_0000 + rank)),
            Family::V6 => in_prefix(0x2001_0db8_0002, rank),
        }
    }

    /// A server somewhere else.
    pub fn content(&self, family: Family, rng: &mut impl Rng) -> IpAddr {
        let rank = self.content.sample(rng) as u32;
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + rank)),
            Family::V6 => in_prefix(0x2001_0db8_0003, rank),
        }
    }
}

/// The nth address of a /48.
fn in_prefix(prefix: u128, nth: u32) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits((prefix << 80) | u128::from(nth)))
}

/// Any address of the IPv4 space that a forged source might bear: unicast, not loopback.
pub fn forged(rng: &mut impl Rng) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from_bits(rng.random());
        let first = address.octets()[0];
        if first != 0 && first != 127 && first < 224 {
            return address;
        }
    }
}

/// An AS number that stays with an address's /16 (or /48): from the documentation range and the
/// private one (RFC 5398, 6996).
pub fn as_number(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) if v4.octets()[0] == 203 => 64_500,
        IpAddr::V4(v4) => 64_512 + (v4.to_bits() >> 16) % 1_000,
        IpAddr::V6(v6) => 64_512 + u32::from(v6.segments()[2]),
    }
}
