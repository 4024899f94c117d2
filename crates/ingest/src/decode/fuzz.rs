//! Entry points for fuzzing: what a hostile device or file can reach. They must return, whatever
//! comes, every batch must be as the contract says, and what was learned must come back from the
//! log as it went there.

use std::net::{IpAddr, Ipv4Addr};

use super::{json, pcap};
use crate::engine::Engine;
use crate::engine::batch::FlowBatch;
use crate::engine::domain::Change;
use crate::engine::limits::Limits;
use crate::store;

/// The largest payload of a UDP datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;
/// Changes of one input that are written and read back: it costs more than decoding.
const CHANGES_MAX: usize = 2;
const STEP_MS: i64 = 1_000;
/// Of so many lengths of inputs, those of one are looked at closely.
const LOOKED_AT_EVERY: usize = 8;

/// One datagram.
pub fn datagram(bytes: &[u8]) {
    feed(std::iter::once(bytes));
}

/// One datagram of NetFlow v5 whose count of records is that of its length.
pub fn v5(bytes: &[u8]) {
    feed(std::iter::once(mended(5, bytes)));
}

/// One of NetFlow v9 whose sets end within it.
pub fn v9(bytes: &[u8]) {
    feed(std::iter::once(mended(9, bytes)));
}

/// One of IPFIX whose length is right and whose sets end within it.
pub fn ipfix(bytes: &[u8]) {
    feed(std::iter::once(mended(10, bytes)));
}

/// Several to one engine, each with its length (2 bytes, big endian) in front. The length's
/// highest bit says that the datagram is mended to the version that it tells.
pub fn datagrams(bytes: &[u8]) {
    let mut rest = bytes;
    feed(std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = u16::from_be_bytes(*length);
        let len = usize::from(length & 0x7fff).min(behind.len());
        let (datagram, behind) = behind.split_at(len);
        rest = behind;
        match (length & 0x8000 != 0, datagram) {
            (true, [_, version @ (5 | 9 | 10), ..]) => Some(mended(*version, datagram)),
            _ => Some(datagram.to_vec()),
        }
    }));
}

/// The datagrams of a capture.
pub fn capture(bytes: &[u8]) {
    if let Ok(found) = pcap::datagrams(bytes) {
        feed(found.datagrams.iter().map(|datagram| datagram.payload.as_slice()));
    }
}

/// The datagram with this version and with lengths that agree: most changes would otherwise end at
/// the first length. Wrong ones are `datagram`'s.
fn mended(version: u8, bytes: &[u8]) -> Vec<u8> {
    let header = match version {
        5 => 24,
        9 => 20,
        _ => 16,
    };
    let mut datagram = bytes.get(..DATAGRAM_MAX).unwrap_or(bytes).to_vec();
    datagram.resize(datagram.len().max(header), 0);
    let len = datagram.len();
    put(&mut datagram, 0, usize::from(version));
    match version {
        5 => put(&mut datagram, 2, (len - header) / 48),
        9 => {}
        _ => put(&mut datagram, 2, len),
    }
    if version != 5 {
        mend_sets(&mut datagram[header..]);
    }
    datagram
}

/// A length that no set here can have becomes that of the rest.
fn mend_sets(mut rest: &mut [u8]) {
    while let [_, _, high, low, ..] = *rest {
        let told = usize::from(u16::from_be_bytes([high, low]));
        let len = if (4..=rest.len()).contains(&told) { told } else { rest.len() };
        put(rest, 2, len);
        rest = &mut rest[len..];
    }
}

fn put(bytes: &mut [u8], at: usize, number: usize) {
    let number = u16::try_from(number).expect("no longer than a datagram");
    bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
}

fn feed<T: AsRef<[u8]>>(datagrams: impl Iterator<Item = T>) {
    let limits = Limits { waiting_ms_max: 10 * STEP_MS, ..Limits::default() };
    let mut engine = Engine::new(limits, "fuzz", "fuzz");
    let (mut now, mut bytes) = (1_700_000_000_000, 0);
    for datagram in datagrams {
        now += STEP_MS;
        bytes += datagram.as_ref().len();
        engine.datagram(now, IpAddr::V4(Ipv4Addr::LOCALHOST), datagram.as_ref());
    }
    engine.flush_flows();
    let batches = engine.take_flows();
    let rows: usize = batches.iter().map(|flows| flows.batch.num_rows()).sum();
    assert_eq!(rows as u64, engine.counts().records);
    // Looking at what came out costs more than decoding.
    if bytes.is_multiple_of(LOOKED_AT_EVERY) {
        batches.iter().for_each(whole);
        kept(&engine.take_changes());
    }
    if engine.usage().waiting_sets > 0 {
        engine.tick(now + 20 * STEP_MS);
    }
    assert_eq!(engine.usage().waiting_bytes, 0, "what waits is given up");
    engine.close();
}

fn whole(flows: &FlowBatch) {
    let whole = model::schema::flows().conform(&flows.batch);
    let rows = whole.expect("a batch is as the contract says").num_rows();
    assert!(json::row(&flows.batch, rows - 1).ends_with('}'));
}

/// Changes as rows of `templates.v1` and back.
fn kept(changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let mut engine = Engine::new(Limits::default(), "fuzz", "fuzz");
    for change in changes.iter().take(CHANGES_MAX) {
        let row = store::row(change).expect("a change is as the contract says");
        let back = row.map(|row| store::change(&row).expect("a row of ours is understood"));
        if let Some(back) = back {
            assert_eq!(&back, change);
            engine.restore(back);
        }
    }
}
