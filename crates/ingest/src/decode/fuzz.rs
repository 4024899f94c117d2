//! Entry points for fuzzing: what a hostile device or file can reach. They must return, whatever
//! comes, and every batch must be as the contract says.

use std::net::{IpAddr, Ipv4Addr};

use super::pcap;
use crate::engine::Engine;
use crate::engine::limits::Limits;

/// One datagram.
pub fn datagram(bytes: &[u8]) {
    feed(std::iter::once(bytes));
}

/// Several to one engine, each with its length (2 bytes, big endian) in front.
pub fn datagrams(bytes: &[u8]) {
    let mut rest = bytes;
    feed(std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (datagram, behind) = behind.split_at(len);
        rest = behind;
        Some(datagram)
    }));
}

/// The datagrams of a capture.
pub fn capture(bytes: &[u8]) {
    if let Ok(found) = pcap::datagrams(bytes) {
        feed(found.datagrams.iter().map(|datagram| datagram.payload.as_slice()));
    }
}

fn feed<'a>(datagrams: impl Iterator<Item = &'a [u8]>) {
    let mut engine = Engine::new(Limits::default(), "fuzz", "fuzz");
    let mut now = 1_700_000_000_000;
    for datagram in datagrams {
        now += 1_000;
        engine.datagram(now, IpAddr::V4(Ipv4Addr::LOCALHOST), datagram);
    }
    engine.flush_flows();
    let rows: usize = engine
        .take_flows()
        .iter()
        .map(|flows| {
            let whole = model::schema::flows().conform(&flows.batch);
            whole.expect("a batch is as the contract says").num_rows()
        })
        .sum();
    assert_eq!(rows as u64, engine.counts().records);
}
