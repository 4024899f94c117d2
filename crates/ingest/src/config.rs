//! The section `ingest:` of the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::engine::limits::Limits;
use crate::receive::Kind;
use crate::snmp::SnmpConfig;
use crate::syslog::SyslogConfig;

/// Receivers of flows, and what they keep at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Addresses to receive on: flows on `udp://:2055` (IPv4 and IPv6), `udp://192.0.2.1:2055`,
    /// `udp://[2001:db8::1]:2055`; syslog on `syslog+udp://:5514` and `syslog+tcp://:5514`.
    #[garde(length(min = 1), inner(custom(is_listener)))]
    pub listen: Vec<String>,
    /// Sockets for each address; the kernel spreads exporters over them (SO_REUSEPORT).
    #[garde(range(min = 1, max = 64))]
    pub sockets: usize,
    /// Receive buffer asked for, of each socket. Above `net.core.rmem_max` it takes CAP_NET_ADMIN.
    #[garde(range(min = 4096))]
    pub receive_buffer_bytes: usize,
    /// Bytes of datagrams received and not yet decoded; more are dropped and counted.
    #[garde(range(min = 65536))]
    pub queue_bytes_max: usize,
    /// The network whose parts can share a root cause, stamped on every row.
    #[garde(length(min = 1))]
    pub domain: String,
    /// Rows wait for others at most so long, ms.
    #[garde(range(min = 1))]
    pub flush_ms: i64,
    /// Between two heartbeats to every partition, ms.
    #[garde(range(min = 1))]
    pub heartbeat_ms: i64,
    /// Bytes that the log has not yet acknowledged; more go to the spool.
    #[garde(range(min = 1_000_000))]
    pub in_flight_bytes_max: usize,
    /// The log is away when it acknowledges nothing for so long, ms.
    #[garde(range(min = 1))]
    pub away_ms: u64,
    #[garde(dive)]
    pub spool: SpoolConfig,
    /// How long to read templates back before receiving begins, ms.
    #[garde(skip)]
    pub templates_wait_ms: u64,
    /// Devices of the inventory that are known by name.
    #[garde(range(min = 1))]
    pub devices_max: usize,
    /// Interfaces that flows are joined with.
    #[garde(range(min = 1))]
    pub interfaces_max: usize,
    /// Undecodable datagrams that go whole to the dead letters, a second; more are counted only.
    #[garde(skip)]
    pub dead_letters_per_second: u32,
    /// How long stopping may take, ms.
    #[garde(skip)]
    pub drain_ms: u64,
    /// What the decoder keeps at most.
    #[garde(dive)]
    pub limits: Limits,
    /// Polling of devices.
    #[garde(dive)]
    pub snmp: SnmpConfig,
    /// Messages of syslog and their senders.
    #[garde(dive)]
    pub syslog: SyslogConfig,
}

/// Where messages wait while the log is away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// A directory, in which each instance has one of its own. Without it messages wait in memory,
    /// 64 MB of them.
    #[garde(skip)]
    pub path: Option<PathBuf>,
    /// Bytes on disk; what comes then is dropped and counted.
    #[garde(range(min = 1_000_000))]
    pub bytes_max: u64,
}

/// An entry of `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub kind: Kind,
    pub transport: Transport,
    /// What it may be bound to; the first that the machine allows is.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "not an address to listen on: {0:?} (udp://:2055, udp://192.0.2.1:2055, syslog+udp://:5514, \
     syslog+tcp://:5514)"
)]
pub struct BadListener(pub String);

impl Default for IngestConfig {
    fn default() -> IngestConfig {
        IngestConfig {
            listen: vec!["udp://:2055".to_owned()],
            sockets: 2,
            receive_buffer_bytes: 32 << 20,
            queue_bytes_max: 64 << 20,
            domain: model::DEFAULT_DOMAIN.to_owned(),
            flush_ms: 200,
            heartbeat_ms: 1_000,
            in_flight_bytes_max: 32 << 20,
            away_ms: 2_000,
            spool: SpoolConfig::default(),
            templates_wait_ms: 10_000,
            devices_max: 20_000,
            interfaces_max: 500_000,
            dead_letters_per_second: 100,
            drain_ms: 5_000,
            limits: Limits::default(),
            snmp: SnmpConfig::default(),
            syslog: SyslogConfig::default(),
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> SpoolConfig {
        SpoolConfig { path: None, bytes_max: 1 << 30 }
    }
}

// === impl Listener ===

impl Listener {
    pub fn parse(entry: &str) -> Result<Listener, BadListener> {
        let (scheme, text) = entry.split_once("://").unwrap_or(("udp", entry));
        let (kind, transport) = match scheme {
            "udp" => (Kind::Flows, Transport::Udp),
            "syslog+udp" => (Kind::Syslog, Transport::Udp),
            "syslog+tcp" => (Kind::Syslog, Transport::Tcp),
            _ => return Err(BadListener(entry.to_owned())),
        };
        let addresses = addresses(text).ok_or_else(|| BadListener(entry.to_owned()))?;
        Ok(Listener { kind, transport, addresses })
    }

    /// The address as an entry of `listen`.
    pub fn name(kind: Kind, transport: Transport, address: SocketAddr) -> String {
        let scheme = match (kind, transport) {
            (Kind::Flows, _) => "udp",
            (Kind::Syslog, Transport::Udp) => "syslog+udp",
            (Kind::Syslog, Transport::Tcp) => "syslog+tcp",
        };
        format!("{scheme}://{address}")
    }
}

/// The address of an entry, or both of a port alone.
fn addresses(text: &str) -> Option<Vec<SocketAddr>> {
    let Some(port) = text.strip_prefix(':') else {
        return Some(vec![text.parse().ok()?]);
    };
    let port = port.parse().ok()?;
    // Both families by one socket, IPv4 alone where there is no IPv6.
    let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    Some(any.iter().map(|&ip| SocketAddr::new(ip, port)).collect())
}

/// For garde, whose custom checks get the value as it is kept.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
fn is_listener(listener: &String, _: &()) -> garde::Result {
    Listener::parse(listener).map(|_| ()).map_err(|e| garde::Error::new(e))
}
