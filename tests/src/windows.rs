//! A window closes by time alone: one exporter whose flows stand in one of twelve partitions, and
//! eleven that only ingest's heartbeats keep going. Real ingest, rollup and score.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{BusConfig, EmbeddedLog, Log, ReadEvent, topics};
use detect::{DetectConfig, RollupStage, ScoreStage, Topics, check_rules};
use ingest::{IngestConfig, Listeners};
use model::rows::Signal;
use runtime::shutdown::Shutdown;
use runtime::task::{LoopOptions, run};

use crate::process::{V5_OCTETS, v5_datagram};

const PARTITIONS: u32 = 12;
const DEADLINE: Duration = Duration::from_secs(60);
const RULES: &str = "
- name: traffic
  from: flows
  window: { size: 1s }
  key: [exporter]
  sql: SELECT exporter, sum(bytes) AS bytes FROM flows GROUP BY exporter
  watch: [{ value: bytes, models: [threshold: { above: 1000000 }] }]
";

/// The first point on `signals`, from whichever partition; `None` where none comes in time.
fn first_signal(log: &dyn Log, topic: &str) -> Option<Signal> {
    let mut reader = log.reader().unwrap();
    let all: Vec<_> = (0..PARTITIONS).map(|partition| (topic.to_owned(), partition, 0)).collect();
    reader.assign(&all).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let ReadEvent::Record(record) = reader.poll(Duration::from_millis(50)).unwrap() else {
            continue;
        };
        if record.header("rows") != Some("0") {
            let payload = record.payload.unwrap();
            let batch = model::ipc::decode(&payload, model::ipc::Limits::default()).unwrap();
            return Signal::from_batch(&batch).unwrap().pop();
        }
    }
    None
}

#[test]
fn with_one_exporter_and_twelve_partitions_windows_close() {
    let mut bus = BusConfig::default();
    bus.topics.partitions = PARTITIONS;
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(&bus).unwrap());
    topics::apply(log.admin(), &topics::catalogue(&bus)).unwrap();
    let rules = Arc::new(check_rules(RULES).unwrap());
    let of_detect = || Topics::new(&bus.prefix, PARTITIONS);
    let rollup =
        RollupStage::new(Arc::clone(&rules), of_detect(), &DetectConfig::default(), "test");
    let score = ScoreStage::new(rules, of_detect(), "test");
    let config = IngestConfig { listen: vec!["udp://:0".to_owned()], ..IngestConfig::default() };
    let listeners = Listeners::bind(&config).unwrap();
    let port = listeners.addresses()[0].port();
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let shutdown = Shutdown::new();
    let options =
        |stage: &str| LoopOptions::new("one", &bus.topic(&format!("snapshots.{stage}.v1")));
    let signal = std::thread::scope(|scope| {
        scope.spawn(|| ingest::run(&config, listeners, &log, &bus, "one", &shutdown).unwrap());
        scope.spawn(|| run(log.clone(), rollup, options("rollup"), &shutdown).unwrap());
        scope.spawn(|| run(log.clone(), score, options("score"), &shutdown).unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&v5_datagram(1, 0), to).unwrap();
        let signal = first_signal(&*log, &bus.topic("signals.v1"));
        shutdown.request();
        signal
    });
    let signal = signal.expect("a window closes");
    assert_eq!((signal.rule.as_str(), signal.value), ("traffic", Some(V5_OCTETS.into())));
}
