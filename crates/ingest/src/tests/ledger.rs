//! The ledger against what a generator really sent, lost, reordered and repeated. The generator
//! keeps its own count; the ledger is never compared with itself.

use std::net::{IpAddr, Ipv4Addr};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::encode::{Message, field, plain_fields, plain_records, v5};
use crate::engine::limits::Limits;
use crate::engine::{DomainReport, Engine};

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    V5,
    V9,
    Ipfix,
    /// IPFIX as softflowd counts: after the message, flow records only.
    Softflowd,
}

/// A datagram and the flow records in it.
#[derive(Clone)]
pub struct Sent {
    pub bytes: Vec<u8>,
    pub flows: u64,
    /// The number of its first flow, which stands in the flow's bytes.
    pub first: u32,
    /// By so much the exporter's sequence goes on.
    pub units: u64,
}

/// What an exporter sends, from `sequence` on; IPFIX has an options record now and then.
pub fn stream(way: Way, sequence: u32, uptime: u32, n: usize, rng: &mut ChaCha8Rng) -> Vec<Sent> {
    let mut sequence = sequence;
    let mut sent: Vec<Sent> = Vec::new();
    for i in 0..n {
        let flows = rng.random_range(1..30u32);
        let first = sent.last().map_or(0, |before| before.first + before.flows as u32);
        let options = u32::from(i % 20 == 0);
        let uptime = uptime + i as u32 * 100;
        if way == Way::V5 {
            let bytes = numbered(v5(sequence, uptime, flows as u16), first);
            sent.push(Sent { bytes, flows: flows.into(), first, units: flows.into() });
            sequence = sequence.wrapping_add(flows);
            continue;
        }
        let version = if way == Way::V9 { 9 } else { 10 };
        let stated = match way {
            Way::Softflowd => sequence.wrapping_add(flows),
            _ => sequence,
        };
        let mut message = Message::new(version, 5, stated);
        message.uptime = uptime;
        message.export_s += i as u32;
        if options == 1 {
            message = message.template(256, &plain_fields());
            let scope = if version == 9 { field(1, 4) } else { field(143, 4) };
            message = message.options_template(257, 1, &[scope, field(34, 4)]);
            message = message.set(257, &[0, 0, 0, 1, 0, 0, 0, 10]);
        }
        message = message.set(256, &plain_records(first, flows));
        let units = match way {
            Way::V9 => 1,
            Way::Softflowd => flows,
            _ => flows + options,
        };
        sent.push(Sent { bytes: message.bytes(), flows: flows.into(), first, units: units.into() });
        sequence = sequence.wrapping_add(units);
    }
    sent
}

/// A v5 datagram whose records count up from `first` in their bytes.
fn numbered(mut datagram: Vec<u8>, first: u32) -> Vec<u8> {
    for (number, record) in (first..).zip(datagram[24..].chunks_exact_mut(48)) {
        record[20..24].copy_from_slice(&number.to_be_bytes());
    }
    datagram
}

fn receive(datagrams: &[Sent]) -> DomainReport {
    let mut engine = Engine::new(Limits::default(), "default", "test");
    for (i, sent) in datagrams.iter().enumerate() {
        engine.datagram(1_700_000_000_000 + i as i64 * 10, EXPORTER, &sent.bytes);
    }
    let mut reports = engine.close();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

/// Loses, repeats and reorders within 50 datagrams; the first and the last 200 are left alone.
/// Gives what arrives and how many datagrams and flow records were lost, and how many were
/// repeated.
fn impair(sent: &[Sent], rng: &mut ChaCha8Rng) -> (Vec<Sent>, u64, u64, u64) {
    let (mut lost, mut lost_flows, mut repeated) = (0, 0, 0);
    let mut arrives: Vec<(usize, Sent)> = Vec::new();
    for (i, datagram) in sent.iter().enumerate() {
        let calm = i < 200 || i + 200 >= sent.len();
        // Those with templates and options arrive: what they hold is another test's.
        let lose = !calm && i % 20 != 0 && rng.random_bool(0.05);
        if lose {
            lost += 1;
            lost_flows += datagram.flows;
            continue;
        }
        let late = if !calm && rng.random_bool(0.05) { rng.random_range(1..50) } else { 0 };
        arrives.push((i + late, datagram.clone()));
        if !calm && rng.random_bool(0.02) {
            repeated += 1;
            arrives.push((i + late + 3, datagram.clone()));
        }
    }
    arrives.sort_by_key(|(at, _)| *at);
    (arrives.into_iter().map(|(_, d)| d).collect(), lost, lost_flows, repeated)
}

#[test]
fn what_was_lost_and_repeated_is_what_the_ledger_says() {
    for way in [Way::V5, Way::V9, Way::Ipfix, Way::Softflowd] {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // Every third wraps at 2^32.
            let first = if seed % 3 == 0 { u32::MAX - 5_000 } else { rng.random() };
            let sent = stream(way, first, 3_600_000, 2_000, &mut rng);
            let (arrives, lost, lost_flows, repeated) = impair(&sent, &mut rng);
            let report = receive(&arrives);
            let expected = if way == Way::V9 { lost } else { lost_flows };
            assert_eq!(report.totals.lost, expected, "{way:?} seed {seed}: {report:?}");
            let units: u64 = sent.iter().map(|s| s.units).sum();
            assert_eq!(report.totals.units + report.totals.lost, units, "{way:?} seed {seed}");
            assert_eq!(report.counts.duplicates, repeated, "{way:?} seed {seed}");
            assert_eq!(report.totals.restarts, 0, "{way:?} seed {seed}");
            let stored: u64 = sent.iter().map(|s| s.flows).sum::<u64>() - lost_flows;
            assert_eq!(report.counts.records, stored, "{way:?} seed {seed}");
        }
    }
}

#[test]
fn a_restart_is_no_loss() {
    for way in [Way::V5, Way::V9, Way::Ipfix, Way::Softflowd] {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut sent = stream(way, 1_000_000, 360_000_000, 300, &mut rng);
        sent.extend(stream(way, 0, 10_000, 300, &mut rng));
        let report = receive(&sent);
        assert_eq!((report.totals.lost, report.totals.restarts), (0, 1), "{way:?}: {report:?}");
        let flows: u64 = sent.iter().map(|s| s.flows).sum();
        assert_eq!(report.counts.records, flows);
    }
}

#[test]
fn a_single_number_out_of_line_is_neither_loss_nor_restart() {
    for stray in [5, 3_000_000_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut sent = stream(Way::Ipfix, 1_000_000, 0, 300, &mut rng);
        let spoofed = Message::new(10, 5, stray).set(256, &plain_records(9, 3)).bytes();
        sent.insert(150, Sent { bytes: spoofed, flows: 3, first: 9, units: 3 });
        let report = receive(&sent);
        assert_eq!((report.totals.lost, report.totals.restarts), (0, 0), "{stray}: {report:?}");
    }
}

#[test]
fn a_long_outage_is_loss_and_no_restart() {
    for (way, units) in [(Way::V9, 500_000), (Way::Ipfix, 500_000), (Way::Softflowd, 500_000)] {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut sent = stream(way, 1_000, 1_000_000, 100, &mut rng);
        let flows: u64 = sent.iter().map(|s| s.flows).sum();
        let next = match way {
            Way::V9 => 1_100,
            Way::Softflowd => 1_000 + flows as u32,
            _ => 1_000 + flows as u32 + 5,
        };
        sent.extend(stream(way, next + units, 2_000_000, 100, &mut rng));
        let report = receive(&sent);
        let found = (report.totals.lost, report.totals.restarts);
        assert_eq!(found, (u64::from(units), 0), "{way:?}: {report:?}");
    }
}

#[test]
fn data_that_waits_is_counted_in_its_own_kind_until_its_template_comes() {
    let data = |sequence, n| Message::new(10, 5, sequence).set(256, &plain_records(0, n)).bytes();
    let template = |sequence| Message::new(10, 5, sequence).template(256, &plain_fields()).bytes();
    let mut engine = Engine::new(Limits::default(), "default", "test");
    let feed = |engine: &mut Engine, bytes: &[u8]| {
        engine.datagram(1_700_000_000_000, EXPORTER, bytes);
        engine.close().remove(0)
    };
    feed(&mut engine, &data(100, 7));
    feed(&mut engine, &data(107, 5));
    let report = feed(&mut engine, &data(112, 3));
    // The last message's records are not yet told by a sequence number.
    assert_eq!((report.totals.unresolved, report.totals.lost), (12, 0));
    assert_eq!((report.counts.records, report.waiting_sets), (0, 3));
    let report = feed(&mut engine, &template(115));
    assert_eq!((report.counts.records, report.waiting_sets), (15, 0));
    assert_eq!((report.totals.unresolved, report.totals.lost), (0, 0), "{report:?}");
    let report = feed(&mut engine, &data(125, 2));
    assert_eq!((report.counts.records, report.totals.lost), (17, 10));
}

#[test]
fn waiting_data_expires_with_a_count() {
    let limits = Limits { waiting_ms_max: 60_000, ..Limits::default() };
    let mut engine = Engine::new(limits, "default", "test");
    let data = |sequence, n| Message::new(10, 5, sequence).set(256, &plain_records(0, n)).bytes();
    engine.datagram(0, EXPORTER, &data(0, 7));
    engine.datagram(1, EXPORTER, &data(7, 5));
    engine.tick(200_000);
    let report = engine.close().remove(0);
    assert_eq!((report.counts.expired_sets, report.waiting_sets), (2, 0));
    assert_eq!((report.totals.expired, report.totals.unresolved), (7, 0));
    assert_eq!((engine.usage().waiting_sets, engine.usage().waiting_bytes), (0, 0));
}

#[test]
fn silence_is_reported_as_zero_every_interval() {
    let mut engine = Engine::new(Limits::default(), "default", "one");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for sent in stream(Way::Ipfix, 0, 0, 10, &mut rng) {
        engine.datagram(5_000, EXPORTER, &sent.bytes);
    }
    engine.tick(40_000);
    let metrics = engine.take_metrics();
    let of = |entity: Option<&str>, name: &str| -> Vec<(i64, f64)> {
        let rows = metrics.iter().filter(|m| m.metric == name && m.entity.as_deref() == entity);
        rows.map(|m| (m.received_ms, m.value)).collect()
    };
    let zero = [(20_000, 0.0), (30_000, 0.0), (40_000, 0.0)];
    let datagrams = of(None, "exporter_datagrams");
    assert_eq!((datagrams[0], &datagrams[1..]), ((10_000, 10.0), &zero[..]));
    assert_eq!(of(Some("domain 5"), "exporter_records").len(), 4);
    assert_eq!(of(Some("domain 5"), "exporter_lost")[1..], zero);
    assert!(metrics.iter().all(|m| m.instance.as_deref() == Some("one")));
    assert!(metrics.iter().all(|m| m.device == "192.0.2.7"));
    let events = engine.take_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].state.as_deref(), Some("heard"));
}

/// A rule's window of the interval's length has one row of each exporter, however late the tick.
#[test]
fn rows_have_the_interval_s_time_and_not_that_of_the_tick() {
    let mut engine = Engine::new(Limits::default(), "default", "one");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    engine.tick(4_321);
    for sent in stream(Way::V9, 0, 0, 10, &mut rng) {
        engine.datagram(5_000, EXPORTER, &sent.bytes);
    }
    for late in [10_007, 19_999, 20_950, 30_000, 43_210, 50_001] {
        engine.tick(late);
    }
    let metrics = engine.take_metrics();
    let of_all = metrics.iter().filter(|m| m.metric == "exporter_records" && m.entity.is_none());
    let times: Vec<i64> = of_all.map(|m| m.received_ms).collect();
    assert_eq!(times, [10_000, 20_000, 30_000, 40_000, 50_000]);
}

#[test]
fn shuffled_windows_lose_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut sent = stream(Way::Ipfix, 77, 0, 1_000, &mut rng);
    for window in sent[100..].chunks_mut(64) {
        window.shuffle(&mut rng);
    }
    let report = receive(&sent);
    assert_eq!((report.totals.lost, report.totals.restarts), (0, 0), "{report:?}");
}
