//! The generator against an independent decoder, and against its own promises: order, sequence
//! numbers, rates, counts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use netflow_parser::variable_versions::ipfix::FlowSetBody as IpfixBody;
use netflow_parser::variable_versions::ipfix::lookup::IPFixField;
use netflow_parser::variable_versions::v9::FlowSetBody as V9Body;
use netflow_parser::{NetflowPacket, NetflowParser};

use crate::traffic::{Benign, Flood, Network, Purpose, stream};
use crate::*;

const START_MS: i64 = 1_780_000_000_000;
const BOOT_MS: i64 = START_MS - 3 * 86_400_000;

fn params() -> Params {
    Params {
        start_ms: START_MS,
        duration_s: Some(20),
        curve: Curve::Flat,
        event_after_s: 10,
        event_for_s: Some(5),
        ..Params::default()
    }
}

fn identity(protocol: Protocol) -> Identity {
    Identity {
        address: Ipv4Addr::new(127, 77, 0, 1),
        protocol,
        domain: 7,
        sampling: 1,
        template_refresh_ms: 1_000,
        flush_ms: 500,
    }
}

/// Flows of every kind, and the datagrams that carry them.
fn exported(protocol: Protocol) -> (Vec<Flow>, Vec<Datagram>) {
    let mut rng = stream(5, Purpose::Benign, 0);
    let mut benign = Benign::new(Network::new(60, 1_000));
    let flood = Flood::new(5, Ipv4Addr::new(203, 0, 113, 7), 80, 1_000);
    let mut flows = Vec::new();
    for at in 0..2_000 {
        benign.conversation(START_MS + at, &mut rng, &mut |flow| flows.push(flow));
        flood.syn(START_MS + at, &mut rng, &mut |flow| flows.push(flow));
    }
    let mut exporter = Exporter::new(identity(protocol), BOOT_MS, u32::MAX - 3);
    let mut datagrams = Vec::new();
    for (nth, flow) in flows.iter().enumerate() {
        let now_ms = START_MS + nth as i64;
        exporter.tick(now_ms, &mut datagrams);
        exporter.push(*flow, now_ms, &mut rng, &mut datagrams);
    }
    exporter.flush(START_MS + 10_000, &mut datagrams);
    (flows, datagrams)
}

/// Element id → value, big endian, without leading zeros; addresses whole.
pub(crate) type Record = BTreeMap<u16, Vec<u8>>;

fn trimmed(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() == 16 || bytes.is_empty() {
        return bytes.to_vec();
    }
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes[zeros..].to_vec()
}

fn expected(flow: &Flow, protocol: Protocol) -> Record {
    let mut record = Record::new();
    let mut put = |id: u16, value: u64| record.insert(id, trimmed(&value.to_be_bytes()));
    put(7, flow.src_port.into());
    put(11, flow.dst_port.into());
    put(10, flow.in_if.into());
    put(14, flow.out_if.into());
    put(2, flow.packets);
    put(1, flow.bytes);
    put(6, flow.tcp_flags.into());
    put(4, flow.protocol.into());
    put(5, flow.tos.into());
    put(16, flow.src_as.into());
    put(17, flow.dst_as.into());
    match protocol {
        Protocol::V9 => {
            put(22, (flow.first_ms - BOOT_MS) as u64);
            put(21, (flow.last_ms - BOOT_MS) as u64);
            put(48, 1);
        }
        Protocol::Ipfix => {
            put(152, flow.first_ms as u64);
            put(153, flow.last_ms as u64);
            put(302, 1);
        }
    }
    let address = |a| match a {
        std::net::IpAddr::V4(v4) => trimmed(&v4.octets()),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let ids = if flow.family() == flow::Family::V6 { (27, 28) } else { (8, 12) };
    record.insert(ids.0, address(flow.src));
    record.insert(ids.1, address(flow.dst));
    record
}

const IDS: &[u16] =
    &[1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 14, 16, 17, 21, 22, 27, 28, 48, 152, 153, 302];

/// All flow records, and the values of all options records, by the other decoder.
fn decoded(datagrams: &[Datagram]) -> (Vec<Record>, usize) {
    let mut parser = NetflowParser::default();
    let (mut records, mut options) = (Vec::new(), 0);
    for datagram in datagrams {
        let result = parser.parse_bytes(&datagram.bytes);
        assert!(result.is_ok(), "{:?}", result.error);
        for packet in result.packets {
            match packet {
                NetflowPacket::V9(v9) => {
                    for set in v9.flowsets {
                        match set.body {
                            V9Body::Data(data) => records.extend(data.fields.iter().map(|f| {
                                f.iter().map(|(id, v)| (u16::from(*id), bytes(v))).collect()
                            })),
                            V9Body::OptionsData(data) => options += data.fields.len(),
                            V9Body::NoTemplate(_) => panic!("a set without its template"),
                            _ => {}
                        }
                    }
                }
                NetflowPacket::IPFix(ipfix) => {
                    for set in ipfix.flowsets {
                        match set.body {
                            IpfixBody::Data(data) => records.extend(data.fields.iter().map(|f| {
                                f.iter().map(|(field, v)| (id_of(field), bytes(v))).collect()
                            })),
                            IpfixBody::OptionsData(data) => options += data.fields.len(),
                            IpfixBody::NoTemplate(_) => panic!("a set without its template"),
                            _ => {}
                        }
                    }
                }
                other => panic!("neither v9 nor IPFIX: {other:?}"),
            }
        }
    }
    (records, options)
}

pub(crate) fn id_of(field: &IPFixField) -> u16 {
    let of = |id: &&u16| IPFixField::new(**id, None) == *field;
    *IDS.iter().find(of).unwrap_or_else(|| panic!("an element we do not send: {field:?}"))
}

pub(crate) fn bytes(value: &netflow_parser::variable_versions::field_value::FieldValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write_be_bytes(&mut bytes).unwrap();
    trimmed(&bytes)
}

#[test]
fn another_decoder_reads_every_record_field_by_field() {
    for protocol in [Protocol::V9, Protocol::Ipfix] {
        let (flows, datagrams) = exported(protocol);
        let (mut got, options) = decoded(&datagrams);
        let mut want: Vec<Record> = flows.iter().map(|f| expected(f, protocol)).collect();
        got.sort();
        want.sort();
        assert!(want.len() > 4_000, "{}", want.len());
        assert_eq!(got.len(), want.len(), "{protocol:?}");
        assert_eq!(got, want, "{protocol:?}");
        let sent: u32 = datagrams.iter().map(|d| d.options).sum();
        assert_eq!(options, sent as usize, "{protocol:?}");
        assert!(options >= 6, "templates come anew every second");
        let counted: u32 = datagrams.iter().map(|d| d.flows).sum();
        assert_eq!(counted as usize, flows.len());
    }
}

/// (sequence, step) of a datagram by its raw header: v9 counts packets, IPFIX data records.
fn sequence(datagram: &Datagram) -> (u32, u32) {
    let bytes = &datagram.bytes;
    let at = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().unwrap());
    match bytes[1] {
        9 => (at(12), 1),
        _ => (at(8), datagram.records()),
    }
}

#[test]
fn sequence_numbers_count_what_each_protocol_counts() {
    for protocol in [Protocol::V9, Protocol::Ipfix] {
        let (_, datagrams) = exported(protocol);
        let mut next = u32::MAX - 3;
        for datagram in &datagrams {
            let (got, step) = sequence(datagram);
            assert_eq!(got, next, "{protocol:?}");
            next = next.wrapping_add(step);
        }
    }
}

#[test]
fn headers_count_records_and_bytes() {
    let (_, v9) = exported(Protocol::V9);
    for datagram in &v9 {
        let count = u16::from_be_bytes(datagram.bytes[2..4].try_into().unwrap());
        // Three templates beside each record of options data.
        assert_eq!(u32::from(count), datagram.flows + datagram.options * 4);
    }
    let (_, ipfix) = exported(Protocol::Ipfix);
    for datagram in &ipfix {
        let len = u16::from_be_bytes(datagram.bytes[2..4].try_into().unwrap());
        assert_eq!(len as usize, datagram.bytes.len());
    }
}

#[test]
fn datagrams_come_in_order_fit_a_frame_and_follow_from_the_seed() {
    let run = |seed, kind| Scenario::new(seed, kind, params()).datagrams();
    let all: Vec<Datagram> = run(1, Kind::Flood).collect();
    assert!(all.is_sorted_by_key(|d| d.time_ms));
    assert!(all.iter().all(|d| d.bytes.len() <= 1_440));
    assert!(all.iter().map(|d| d.bytes.len()).max() > Some(1_300), "datagrams are filled");
    assert!(all == run(1, Kind::Flood).collect::<Vec<_>>());
    assert!(all != run(2, Kind::Flood).collect::<Vec<_>>());
}

#[test]
fn before_an_event_a_run_is_as_without() {
    let before = |kind| -> Vec<Datagram> {
        let run = Scenario::new(3, kind, params()).datagrams();
        run.take_while(|d| d.time_ms < START_MS + 10_000).collect()
    };
    let benign = before(Kind::Benign);
    assert!(benign.len() > 100);
    assert!(benign == before(Kind::Flood));
    assert!(benign == before(Kind::Crowd));
    assert!(benign == before(Kind::Silence));
}

fn flows_between(kind: Kind, from_s: i64, to_s: i64) -> f64 {
    let run = Scenario::new(4, kind, params()).datagrams();
    let within = |d: &Datagram| (from_s..to_s).contains(&((d.time_ms - START_MS) / 1000));
    let flows: u32 = run.filter(within).map(|d| d.flows).sum();
    f64::from(flows) / (to_s - from_s) as f64
}

#[test]
fn rates_are_those_asked_for() {
    let near = |got: f64, want: f64| assert!((got / want - 1.0).abs() < 0.1, "{got} for {want}");
    near(flows_between(Kind::Benign, 1, 19), 1_000.0);
    near(flows_between(Kind::Quiet, 1, 19), 300.0);
    // 2 % of SYNs are answered.
    near(flows_between(Kind::Flood, 11, 14), 1_000.0 + 4_000.0 * 1.02);
    near(flows_between(Kind::Flood, 16, 19), 1_000.0);
    near(flows_between(Kind::Crowd, 11, 14), 1_000.0 + 500.0 * 2.0);
}

#[test]
fn a_silent_exporter_says_nothing_and_comes_back_restarted() {
    let scenario = Scenario::new(5, Kind::Silence, params());
    let silent = Ipv4Addr::new(127, 77, 0, 3);
    let (mut before, mut during, mut after) = (0, 0, Vec::new());
    for datagram in scenario.datagrams().filter(|d| d.exporter == silent) {
        match datagram.time_ms - START_MS {
            ..10_000 => before += 1,
            10_000..15_000 => during += 1,
            _ => after.push(datagram),
        }
    }
    assert!(before > 20);
    assert_eq!(during, 0);
    assert_eq!(sequence(&after[0]).0, 0);
    assert_eq!(after[0].options, 1, "templates come first");
    let event = scenario.event().unwrap();
    assert!(matches!(event, Truth::Silence { exporter, .. } if exporter == silent));
}

#[test]
fn a_sampler_sees_its_share() {
    let sampled = Params { sampling: vec![10], ..params() };
    let run = Scenario::new(6, Kind::Flood, sampled).datagrams();
    let during = run.filter(|d| (11_000..14_000).contains(&(d.time_ms - START_MS)));
    let datagrams: Vec<Datagram> = during.collect();
    let flows: u32 = datagrams.iter().map(|d| d.flows).sum();
    // One SYN in ten, plus those of 1,000 ordinary flows a second that have a packet seen.
    assert!((1_200..3_200).contains(&flows), "{flows}");
}

#[test]
fn impairments_are_counted_as_they_befall() {
    let impair = Impair {
        drop: Pick { share: 0.1, at_most: 11 },
        duplicate: Pick { share: 0.1, at_most: 7 },
        reorder: Pick { share: 0.1, at_most: 5 },
        reorder_depth: 2,
    };
    let scenario = Scenario::new(7, Kind::Benign, params());
    let mut stream = Impaired::new(scenario.datagrams(), impair, 7);
    let arrived: Vec<Datagram> = stream.by_ref().collect();
    let total = stream.ledger().total();
    let generated: Vec<Datagram> = scenario.datagrams().collect();
    assert_eq!(total.datagrams, generated.len() as u64);
    assert_eq!((total.dropped_datagrams, total.duplicated_datagrams), (11, 7));
    assert_eq!(total.reordered_datagrams, 5);
    assert_eq!(arrived.len() as u64, total.datagrams - 11 + 7);
    let flows: u64 = arrived.iter().map(|d| u64::from(d.flows)).sum();
    assert_eq!(flows, total.flows - total.dropped_flows + total.duplicated_flows);
    assert!(arrived.is_sorted_by_key(|d| d.time_ms), "arrival is in the order of time");
    let swaps = arrived.windows(2).filter(|w| w[0].exporter == w[1].exporter);
    let back = swaps.filter(|w| {
        let (a, b) = (sequence(&w[0]), sequence(&w[1]));
        (b.0.wrapping_sub(a.0) as i32) < 0
    });
    assert!(back.count() > 0, "sequence numbers go back where datagrams were overtaken");
}

#[test]
fn real_sockets_carry_every_datagram_from_its_own_address() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let options = Options {
        to: receiver.local_addr().unwrap(),
        speed: 100.0,
        params: Params { duration_s: Some(4), flows_per_s: 300.0, ..params() },
        ..Options::default()
    };
    let reading = std::thread::spawn(move || read_until_quiet(&receiver));
    let (sent, ledger) = service::run(&options, START_MS, &AtomicBool::new(false)).unwrap();
    let got = reading.join().unwrap();
    let want: BTreeMap<Ipv4Addr, u64> =
        sent.exporters.iter().map(|(address, counts)| (*address, counts.datagrams)).collect();
    assert_eq!(want.len(), 3);
    assert_eq!(got, want);
    assert_eq!(sent.total().flows, ledger.total().flows);
    assert_eq!(sent.total().failed, 0);
}

fn read_until_quiet(receiver: &UdpSocket) -> BTreeMap<Ipv4Addr, u64> {
    let mut counts = BTreeMap::new();
    let mut buffer = [0; 2048];
    while let Ok((_, from)) = receiver.recv_from(&mut buffer) {
        let std::net::IpAddr::V4(address) = from.ip() else { panic!("not IPv4: {from}") };
        *counts.entry(address).or_insert(0) += 1;
        receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    counts
}

#[test]
fn the_truth_is_written_and_read_back() {
    let path = std::env::temp_dir().join(format!("gannet-sim-truth-{}", std::process::id()));
    let scenario = Scenario::new(8, Kind::Flood, params());
    service::write_truth(&path, scenario.truth()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let read: Vec<Truth> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, scenario.truth());
    assert!(read.iter().any(|line| matches!(line, Truth::SynFlood { .. })));
}

#[test]
fn options_are_read_with_defaults_and_refuse_what_they_do_not_know() {
    let text = r#"{"kind":"flood","seed":9,"params":{"syn_per_s":100.0}}"#;
    let options: Options = serde_json::from_str(text).unwrap();
    assert_eq!((options.kind, options.seed), (Kind::Flood, 9));
    assert_eq!(options.params.exporters, 3);
    assert!(serde_json::from_str::<Options>(r#"{"sed":9}"#).is_err());
    let still = Options { speed: 0.0, ..options };
    let stop = AtomicBool::new(false);
    assert!(matches!(service::run(&still, 0, &stop), Err(SimError::Speed(_))));
}

#[test]
fn a_hundred_thousand_records_a_second_are_made_in_less_than_that() {
    let fast = Params { flows_per_s: 200_000.0, duration_s: Some(5), ..params() };
    let begun = Instant::now();
    let run = Scenario::new(9, Kind::Benign, fast).datagrams();
    let flows: u64 = run.map(|d| u64::from(d.flows)).sum();
    let took = begun.elapsed();
    assert!(flows > 900_000, "{flows}");
    assert!(took < Duration::from_secs(9), "{flows} records took {took:?}");
    println!("{:.0} records/s", flows as f64 / took.as_secs_f64());
}
