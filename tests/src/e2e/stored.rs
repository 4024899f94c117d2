//! The first part of the way without a broker: real datagrams over real sockets into ingest, and
//! what stands on the topic then, against what the exporters say they sent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bus::{BusConfig, EmbeddedLog, Log};
use ingest::{IngestConfig, Listeners};
use runtime::shutdown::Shutdown;
use sim::{Curve, Impair, Impaired, Kind, Pace, Params, Pick, Protocol, Scenario};

use super::log::Topics;
use super::pcap::Capture;
use super::softflowd::{self, Adjust, Dialect};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Rows by exporter and what the ledger says was lost, by exporter.
type Counts = BTreeMap<Ipv4Addr, u64>;

/// Runs ingest while `send` sends to it, until so many rows stand and its ledger has spoken.
fn stored(
    rows: impl Fn(&Counts, &Counts) -> bool,
    send: impl FnOnce(SocketAddr),
) -> (Counts, Counts) {
    let bus = BusConfig::default();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory().unwrap());
    bus::topics::apply(log.admin(), &bus::topics::catalogue(&bus)).unwrap();
    let config = IngestConfig {
        listen: vec!["udp://127.0.0.1:0".to_owned()],
        sockets: 1,
        templates_wait_ms: 100,
        ..IngestConfig::default()
    };
    let listeners = Listeners::bind(&config).unwrap();
    let to = listeners.addresses().into_iter().next().unwrap();
    let shutdown = Shutdown::new();
    let topics = Topics::on(&bus, Arc::clone(&log));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| ingest::run(&config, listeners, &log, &bus, "i", &shutdown));
        send(to);
        let deadline = Instant::now() + DEADLINE;
        let (mut flows, mut lost) = (topics.flows().unwrap(), topics.lost().unwrap());
        while !rows(&flows, &lost) && Instant::now() < deadline {
            std::thread::sleep(POLL);
            (flows, lost) = (topics.flows().unwrap(), topics.lost().unwrap());
        }
        shutdown.request();
        running.join().unwrap().unwrap();
        (flows, lost)
    })
}

/// A real exporter, both protocols, with flow times days ahead and years back: all of it is stored.
#[test]
fn every_record_of_softflowd_is_stored() {
    if !Path::new("/usr/sbin/softflowd").exists() {
        println!("skipped: softflowd is not installed (apt-get install softflowd)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.pcap");
    Capture::syn_flood(3, Ipv4Addr::new(10, 10, 10, 10), 9_000, 9.0).write(&path).unwrap();
    let dialects = [(9, Adjust::No), (9, Adjust::Yes), (10, Adjust::No), (10, Adjust::Yes)];
    let mut want = Counts::new();
    let mut exports = Vec::new();
    for (nth, (version, adjust)) in dialects.into_iter().enumerate() {
        let from = Ipv4Addr::new(127, 91, 0, 1 + nth as u8);
        let (exported, datagrams) = softflowd::export(&path, Dialect { version, adjust }).unwrap();
        assert_eq!(datagrams.len() as u64, exported.datagrams);
        assert!(exported.records > 8_900, "{exported:?}");
        want.insert(from, exported.records);
        exports.push((from, datagrams));
    }
    let (flows, lost) = stored(
        |flows, _| *flows == want,
        |to| {
            for (from, datagrams) in &exports {
                softflowd::replay(datagrams, *from, to, Duration::from_millis(500)).unwrap();
            }
        },
    );
    assert_eq!(flows, want);
    assert_eq!(lost.values().sum::<u64>(), 0, "{lost:?}");
}

/// The simulator loses, doubles and reorders on purpose; the ledger says what was lost, by each
/// protocol's own counting, and nothing is stored twice.
#[test]
fn what_is_lost_on_purpose_is_what_the_ledger_says() {
    let params = Params {
        start_ms: 1_790_000_000_000,
        duration_s: Some(20),
        curve: Curve::Flat,
        flows_per_s: 1_500.0,
        ..Params::default()
    };
    let pick = |share| Pick { share, ..Pick::default() };
    let impair =
        Impair { drop: pick(0.05), duplicate: pick(0.03), reorder: pick(0.03), reorder_depth: 3 };
    let scenario = Scenario::new(11, Kind::Benign, params);
    let mut stream = Impaired::new(scenario.datagrams(), impair, 11);
    let arriving: Vec<sim::Datagram> = stream.by_ref().collect();
    let (mut want_flows, mut want_lost) = (Counts::new(), Counts::new());
    for identity in scenario.identities() {
        let counts = stream.ledger().exporters[&identity.address];
        assert!(counts.dropped_datagrams > 0);
        want_flows.insert(identity.address, counts.flows - counts.dropped_flows);
        let lost = match identity.protocol {
            Protocol::V9 => counts.dropped_datagrams - counts.unseen_datagrams,
            Protocol::Ipfix => {
                counts.dropped_flows + counts.dropped_options - counts.unseen_records
            }
        };
        want_lost.insert(identity.address, lost);
    }
    let (flows, lost) = stored(
        |flows, lost| *flows == want_flows && *lost == want_lost,
        |to| {
            let pace = Pace { origin_ms: 1_790_000_000_000, speed: 8.0 };
            let sent = sim::send(arriving.into_iter(), to, pace, &AtomicBool::new(false)).unwrap();
            assert_eq!(sent.total().failed, 0);
        },
    );
    assert_eq!(flows, want_flows);
    assert_eq!(lost, want_lost);
}
