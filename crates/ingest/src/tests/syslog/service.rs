//! Messages on their way from a device to the log.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use bus::{BusConfig, Log};
use model::rows::{Device, Event};
use runtime::shutdown::Shutdown;

use crate::config::{IngestConfig, Listener};
use crate::listeners::Listeners;
use crate::service::{IngestFeed, Report, run};
use crate::syslog::event_text;
use crate::tests::service::{batches, check_order, log};

const EDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const START: i64 = 1_795_687_200_000;
const LIMIT: Duration = Duration::from_secs(20);
const DOWN: &str = "<187>94: host: *Nov 26 10:00:00.123: %LINK-3-UPDOWN: Interface \
                    GigabitEthernet0/1, changed state to down";

fn events(log: &dyn Log, bus: &BusConfig) -> Vec<Event> {
    let all = batches(log, bus, "events.v1").into_iter();
    let rows = all.filter(|(_, meta, _)| !meta.is_heartbeat());
    rows.flat_map(|(.., batch)| Event::from_batch(&batch).expect("rows of events")).collect()
}

fn edge() -> Device {
    Device {
        domain: "default".to_owned(),
        device: "edge1".to_owned(),
        address: EDGE.to_string(),
        exporter: None,
        role: "router".to_owned(),
        class: None,
        site: None,
        snmp_port: None,
        snmp_credential: None,
        updated_ms: 1,
    }
}

#[test]
fn a_message_is_an_event_of_its_device_within_the_wait() {
    let (log, bus) = log();
    let config = IngestConfig { heartbeat_ms: 60_000, flush_ms: 60_000, ..IngestConfig::default() };
    let mut feed = IngestFeed::new(&config, log.as_ref(), &bus, "one", 1, START).expect("a feed");
    feed.devices().put(edge());
    feed.advance(START).expect("time");
    feed.syslog(START + 10, EDGE, DOWN.as_bytes()).expect("fed");
    let stranger = "2001:db8::7".parse().expect("an address");
    feed.syslog(START + 20, stranger, &[b'x', 0xff, 0]).expect("fed");
    assert_eq!(feed.syslog_rows().oldest_ms(), Some(START + 10), "others may come");
    // The next message comes when the batch is due: the batch does not wait for flows.
    feed.syslog(START + 60, EDGE, b"late").expect("fed");
    assert_eq!(feed.syslog_rows().oldest_ms(), Some(START + 60));
    feed.finish(LIMIT).expect("a report");
    check_order(log.as_ref(), &bus);
    let found = events(log.as_ref(), &bus);
    assert_eq!(found.len(), 3);
    let link = found.iter().find(|event| event.kind == "link").expect("a link's");
    assert_eq!(link.device, "edge1");
    assert_eq!((link.kind.as_str(), link.state.as_deref()), ("link", Some("down")));
    assert_eq!((link.entity.as_deref(), link.severity), (Some("Gi0/1"), Some(3)));
    assert_eq!((link.received_ms, link.device_time_ms), (START + 10, Some(START + 123)));
    assert_eq!(link.text.as_deref(), Some(DOWN));
    let other = found.iter().find(|event| event.device == "2001:db8::7").expect("a stranger's");
    assert_eq!((other.kind.as_str(), other.text.as_deref()), ("syslog", Some("x\\xff\0")));
}

#[test]
fn a_text_over_the_limit_is_cut_and_says_so() {
    let (text, is_cut) = event_text(&[b'a'; 70_000], 65_536);
    assert!(is_cut && text.ends_with("a [cut]"));
    assert_eq!(text.len(), 65_536 + " [cut]".len());
    let binary: Vec<u8> = (0..65_536u32).map(|i| (i * 7) as u8).collect();
    let (text, is_cut) = event_text(&binary, 65_536);
    assert!(!is_cut && text.contains("\\xff"));
    assert!(text.len() < 300_000, "a row fits a message of the log");
}

#[test]
fn listeners_are_told_by_their_scheme() {
    for bad in ["tcp://:2055", "syslog://:5514", "syslog+udp://", "syslog+tcp://host:1"] {
        assert!(Listener::parse(bad).is_err(), "{bad}");
    }
    let names = Listeners::bind(&listening()).expect("sockets").names();
    let schemes: Vec<&str> = names.iter().filter_map(|name| name.split("://").next()).collect();
    assert_eq!(schemes, ["udp", "syslog+udp", "syslog+tcp"]);
}

fn listening() -> IngestConfig {
    let listen = ["udp://127.0.0.1:0", "syslog+udp://127.0.0.1:0", "syslog+tcp://127.0.0.1:0"];
    let listen = listen.map(str::to_owned).to_vec();
    let mut config = IngestConfig { listen, sockets: 1, ..IngestConfig::default() };
    config.syslog.connections_max = 2;
    config
}

/// Runs on loopback what `send` sends, until so many events are stored.
fn stored(wanted: usize, send: impl FnOnce(SocketAddr, SocketAddr)) -> (Vec<Event>, Report) {
    let (log, bus) = log();
    let config = listening();
    let listeners = Listeners::bind(&config).expect("sockets");
    let (datagrams, streams) = listeners.syslog();
    let shutdown = Shutdown::new();
    let report = std::thread::scope(|scope| {
        let running = scope
            .spawn(|| run(&config, listeners, &log, &bus, "one", &shutdown).expect("a report"));
        send(datagrams[0], streams[0]);
        let deadline = Instant::now() + LIMIT;
        while events(log.as_ref(), &bus).len() < wanted && Instant::now() < deadline {
            std::thread::yield_now();
        }
        shutdown.request();
        running.join().expect("no panic")
    });
    check_order(log.as_ref(), &bus);
    (events(log.as_ref(), &bus), report)
}

#[test]
fn datagrams_and_streams_on_loopback_are_stored_to_the_last() {
    let (found, report) = stored(3_001, |datagrams, streams| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut counted = TcpStream::connect(streams).expect("a connection");
        let mut lines = TcpStream::connect(streams).expect("another");
        for i in 0..1_000 {
            let message = format!("<189>{i}: %BGP-5-ADJCHANGE: neighbor 192.0.2.{} Up", i % 250);
            socket.send_to(message.as_bytes(), datagrams).expect("sent");
            write!(counted, "{} {message}", message.len()).expect("sent");
            writeln!(lines, "{message}").expect("sent");
        }
        // What the connection's end, here behind, cuts off is kept, too.
        counted.write_all(b"100 <189>unfinished").expect("sent");
    });
    assert_eq!((report.kernel_drops, report.queue_drops), (0, 0));
    assert_eq!(found.len(), 3_001);
    assert_eq!(found.iter().filter(|event| event.kind == "bgp").count(), 3_000);
    assert!(found.iter().all(|event| event.device == "127.0.0.1"));
    let ends = |event: &&Event| event.text.as_deref() == Some("<189>unfinished");
    assert_eq!(found.iter().filter(ends).count(), 1);
}

#[test]
fn connections_over_the_limit_are_closed_and_the_others_go_on() {
    let (found, _) = stored(2, |_, streams| {
        let mut first = TcpStream::connect(streams).expect("a connection");
        let mut second = TcpStream::connect(streams).expect("another");
        let mut third = TcpStream::connect(streams).expect("accepted by the kernel");
        third.set_read_timeout(Some(LIMIT)).expect("a timeout");
        assert_eq!(third.read(&mut [0; 1]).ok(), Some(0), "ended by the other side");
        first.write_all(b"<13>one\n").expect("sent");
        second.write_all(b"<13>two\n").expect("sent");
    });
    assert_eq!(found.len(), 2);
}
