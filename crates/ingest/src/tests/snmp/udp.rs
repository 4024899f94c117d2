//! Over real sockets: agents on loopback, two instances that share them, and one that ends. The
//! agents' form on the wire (BER of RFC 3417) is written here anew, so that no mistake of the
//! library's is made twice.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bus::{BusConfig, Log};
use model::rows::{Device, Metric};
use model::snmp::{Oid, Request, Response, Value, VarBind};
use runtime::shutdown::Shutdown;

use super::super::service::log;
use super::agent::Agent;
use super::feed::{apply, metrics};
use super::poller::{config, device};
use crate::config::IngestConfig;
use crate::listeners::Listeners;
use crate::service::{Report, run};
use crate::snmp::SnmpConfig;

const LIMIT: Duration = Duration::from_secs(60);
const COMMUNITY: &[u8] = b"public";

/// An agent on a socket, until it is dropped.
struct Served {
    address: SocketAddr,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(mut agent: Agent) -> Served {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        let done = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&done);
        let start = Instant::now();
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((n, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                agent.set_uptime(360_000 + start.elapsed().as_millis() as u32 / 10);
                let answer = answer(&mut agent, &buffer[..n]);
                socket.send_to(&answer, from).expect("a socket");
            }
        });
        Served { address, done, thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("an agent");
        }
    }
}

fn answer(agent: &mut Agent, datagram: &[u8]) -> Vec<u8> {
    let (_, message, _) = read(datagram);
    let (_, version, rest) = read(message);
    let (_, community, rest) = read(rest);
    assert_eq!((version, community), (&[1_u8][..], COMMUNITY));
    let (tag, pdu, _) = read(rest);
    let (_, id, rest) = read(pdu);
    let (_, first, rest) = read(rest);
    let (_, second, rest) = read(rest);
    let (_, mut binds, _) = read(rest);
    let mut oids = Vec::new();
    while !binds.is_empty() {
        let (_, bind, behind) = read(binds);
        oids.push(oid(read(bind).1));
        binds = behind;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u32::from(b));
    let request = match tag {
        0xa0 => Request::Get(oids),
        0xa1 => Request::GetNext(oids),
        0xa5 => {
            Request::GetBulk { non_repeaters: number(first), max_repetitions: number(second), oids }
        }
        _ => panic!("request {tag:#x}"),
    };
    let Response { error_status, error_index, binds } = agent.ask(&request).expect("an answer");
    let binds: Vec<u8> = binds.iter().flat_map(written).collect();
    let status = [error_status as u8];
    let index = [error_index as u8];
    let pdu = [tlv(2, id), tlv(2, &status), tlv(2, &index), tlv(0x30, &binds)].concat();
    tlv(0x30, &[tlv(2, &[1]), tlv(4, COMMUNITY), tlv(0xa2, &pdu)].concat())
}

/// Tag, contents and what comes behind.
fn read(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, head) = match bytes[1] {
        short if short < 0x80 => (usize::from(short), 2),
        long => {
            let n = usize::from(long & 0x7f);
            let length = bytes[2..2 + n].iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
            (length, 2 + n)
        }
    };
    (bytes[0], &bytes[head..head + length], &bytes[head + length..])
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u16).to_be_bytes();
    [&[tag, 0x82, length[0], length[1]], contents].concat()
}

fn oid(bytes: &[u8]) -> Oid {
    let mut arcs = vec![u32::from(bytes[0]) / 40, u32::from(bytes[0]) % 40];
    let mut arc = 0;
    for &byte in &bytes[1..] {
        arc = arc << 7 | u32::from(byte & 0x7f);
        if byte < 0x80 {
            arcs.push(arc);
            arc = 0;
        }
    }
    Oid(arcs)
}

fn written(bind: &VarBind) -> Vec<u8> {
    let arcs = &bind.oid.0;
    let mut bytes = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for &arc in &arcs[2..] {
        let groups = (1..5).rev().filter(|i| arc >> (7 * i) > 0);
        bytes.extend(groups.map(|i| (arc >> (7 * i)) as u8 | 0x80));
        bytes.push(arc as u8 & 0x7f);
    }
    let unsigned = |tag, n: u64| tlv(tag, &[&[0][..], &n.to_be_bytes()].concat());
    let value = match &bind.value {
        Value::Integer(n) => tlv(2, &n.to_be_bytes()),
        Value::OctetString(text) => tlv(4, text),
        Value::Counter32(n) => unsigned(0x41, u64::from(*n)),
        Value::Gauge32(n) => unsigned(0x42, u64::from(*n)),
        Value::TimeTicks(n) => unsigned(0x43, u64::from(*n)),
        Value::Counter64(n) => unsigned(0x46, *n),
        Value::EndOfMibView => tlv(0x82, &[]),
        other => panic!("{other:?} is not among these objects"),
    };
    tlv(0x30, &[tlv(6, &bytes), value].concat())
}

fn instance(
    name: &'static str,
    log: &Arc<dyn Log>,
    bus: &BusConfig,
    shutdown: &Shutdown,
) -> JoinHandle<Report> {
    let snmp = SnmpConfig { interval_ms: 1_000, timeout_ms: 500, ..config() };
    let listen = vec!["udp://127.0.0.1:0".to_owned()];
    let config = IngestConfig { listen, snmp, sockets: 1, ..IngestConfig::default() };
    let (log, bus, shutdown) = (Arc::clone(log), bus.clone(), shutdown.clone());
    thread::spawn(move || {
        let listeners = Listeners::bind(&config).expect("a port");
        run(&config, listeners, &log, &bus, name, &shutdown).expect("a run")
    })
}

/// Waits for rows of metrics that are as wanted.
fn until(log: &dyn Log, bus: &BusConfig, what: &str, is_so: impl Fn(&[Metric]) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so(&metrics(log, bus)) {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::yield_now();
    }
}

/// Devices by the instance that told last of them.
fn owners(rows: &[Metric]) -> BTreeMap<&str, &str> {
    let up = rows.iter().filter(|row| row.metric == "snmp_up" && row.value == 1.0);
    up.map(|row| (row.device.as_str(), row.instance.as_deref().unwrap_or_default())).collect()
}

#[test]
fn two_instances_share_the_devices_and_one_takes_all() {
    let (log, bus) = log();
    let agents: Vec<Served> = (0..8).map(|_| Served::start(Agent::with_interfaces(3))).collect();
    for (i, agent) in agents.iter().enumerate() {
        let name = format!("edge{i}");
        let (address, snmp_port) = (agent.address.ip().to_string(), Some(agent.address.port()));
        apply(log.as_ref(), &bus, &Device { address, snmp_port, ..device(&name) });
    }
    let (first, second) = (Shutdown::new(), Shutdown::new());
    let one = instance("one", &log, &bus, &first);
    until(log.as_ref(), &bus, "all by one", |rows| {
        owners(rows).len() == 8 && owners(rows).values().all(|&owner| owner == "one")
    });
    let two = instance("two", &log, &bus, &second);
    until(log.as_ref(), &bus, "shared", |rows| owners(rows).values().any(|&owner| owner == "two"));
    first.request();
    let report = one.join().expect("an instance");
    assert_eq!(report.stored.lost, 0);
    until(log.as_ref(), &bus, "all by two", |rows| {
        owners(rows).len() == 8 && owners(rows).values().all(|&owner| owner == "two")
    });
    until(log.as_ref(), &bus, "rates", |rows| {
        let rate = |row: &&Metric| row.metric == "ifHCInOctets" && row.rate == Some(0.0);
        rows.iter().filter(rate).count() >= 24
    });
    second.request();
    assert_eq!(two.join().expect("an instance").stored.lost, 0);
}
