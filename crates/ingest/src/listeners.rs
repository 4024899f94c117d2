//! The sockets of a configuration, bound before any work begins, so that a port in use is known at
//! once.

use std::net::{SocketAddr, TcpListener};

use metrics::gauge;

use crate::config::{BadListener, IngestConfig, Listener, Transport};
use crate::metrics as names;
use crate::receive::{self, Bound, Kind};
use crate::service::IngestError;

/// Bound sockets, not yet received on.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) bound: Vec<Bound>,
    pub(crate) tcp: Vec<TcpListener>,
}

// === impl Listeners ===

impl Listeners {
    /// Binds all sockets of a configuration.
    pub fn bind(config: &IngestConfig) -> Result<Listeners, IngestError> {
        let mut all = Listeners { bound: Vec::new(), tcp: Vec::new() };
        for entry in &config.listen {
            let listener = Listener::parse(entry)?;
            match listener.transport {
                Transport::Udp => all.bind_udp(&listener, config)?,
                Transport::Tcp => all.tcp.push(first(&listener, receive::listen)?.1),
            }
        }
        all.tell_buffer(config);
        Ok(all)
    }

    /// Where flows are received, ports of 0 resolved.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.udp(Kind::Flows)
    }

    /// Where messages of syslog are received: datagrams, and streams.
    pub fn syslog(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let tcp = self.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        (self.udp(Kind::Syslog), tcp.collect())
    }

    /// All addresses, as `listen` writes them.
    pub fn names(&self) -> Vec<String> {
        let (datagrams, streams) = self.syslog();
        let name = |kind, transport| move |address| Listener::name(kind, transport, address);
        let flows = self.addresses().into_iter().map(name(Kind::Flows, Transport::Udp));
        let datagrams = datagrams.into_iter().map(name(Kind::Syslog, Transport::Udp));
        let streams = streams.into_iter().map(name(Kind::Syslog, Transport::Tcp));
        flows.chain(datagrams).chain(streams).collect()
    }

    fn udp(&self, kind: Kind) -> Vec<SocketAddr> {
        let of_kind = self.bound.iter().filter(|bound| bound.kind == kind);
        let mut all: Vec<SocketAddr> =
            of_kind.filter_map(|bound| bound.socket.local_addr().ok()).collect();
        all.dedup();
        all
    }

    fn bind_udp(&mut self, listener: &Listener, config: &IngestConfig) -> Result<(), IngestError> {
        let bind = |address| receive::bind(listener.kind, address, config.receive_buffer_bytes);
        let (mut address, bound) = first(listener, bind)?;
        // Port 0 was given a number by the first.
        address.set_port(bound.socket.local_addr().map_or(address.port(), |local| local.port()));
        self.bound.push(bound);
        for _ in 1..config.sockets {
            let bound = bind(address).map_err(|source| IngestError::Bind { address, source })?;
            self.bound.push(bound);
        }
        Ok(())
    }

    fn tell_buffer(&self, config: &IngestConfig) {
        let Some(least) = self.bound.iter().map(|bound| bound.buffer_bytes).min() else {
            return;
        };
        gauge!(names::RECEIVE_BUFFER_BYTES).set(least as f64);
        if least < config.receive_buffer_bytes {
            let wanted = config.receive_buffer_bytes;
            tracing::warn!(
                bytes = least,
                wanted,
                "the kernel capped the receive buffer: raise net.core.rmem_max"
            );
        }
    }
}

/// Binds to the first of some addresses that the machine allows.
fn first<T>(
    listener: &Listener,
    bind: impl Fn(SocketAddr) -> std::io::Result<T>,
) -> Result<(SocketAddr, T), IngestError> {
    let mut result = Err(BadListener(String::new()).into());
    for &address in &listener.addresses {
        match bind(address) {
            Ok(bound) => return Ok((address, bound)),
            Err(source) => result = Err(IngestError::Bind { address, source }),
        }
    }
    result
}
