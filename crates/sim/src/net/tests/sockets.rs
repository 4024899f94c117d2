//! The same network over real sockets. net-snmp's own tools ask it where they are installed.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::net::serve::{ServeOptions, Served, serve};
use crate::service::Pace;

const EDGE1: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// Longer than a busy machine takes for a packet.
const PATIENCE: Duration = Duration::from_secs(20);

struct Ears {
    flows: UdpSocket,
    syslog: UdpSocket,
}

fn start(params: Params) -> (Served, Ears) {
    let listen = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let ears = Ears { flows: listen(), syslog: listen() };
    let options = ServeOptions {
        flows_to: ears.flows.local_addr().unwrap(),
        syslog_to: ears.syslog.local_addr().unwrap(),
        ..ServeOptions::default()
    };
    let pace = Pace { origin_ms: params.start_ms, speed: 1.0 };
    let served = serve(Net::new(params), options, pace, Arc::new(AtomicBool::new(false)));
    (served.unwrap(), ears)
}

/// A connection to a device's command line.
struct Line {
    reader: BufReader<TcpStream>,
}

impl Line {
    fn open(served: &Served, device: Ipv4Addr) -> Line {
        let stream = TcpStream::connect((device, served.bound.command_port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line { reader: BufReader::new(stream) }
    }

    /// The output and the last line.
    fn run(&mut self, command: &str) -> (String, String) {
        self.reader.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut output = String::new();
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "closed in an answer");
            if line == "ok\n" || line.starts_with("error: ") {
                return (output, line.trim_end().to_owned());
            }
            output += &line;
        }
    }
}

#[test]
fn flows_syslog_and_commands_go_over_real_sockets() {
    let mut params = broken(1, Fault::LinkDown);
    params.faults[0].after_s = 0;
    params.faults[0].at = Some("edge1 Te0/1".to_owned());
    let (served, ears) = start(params);
    let mut buffer = [0; 2_000];
    let (len, from) = ears.flows.recv_from(&mut buffer).unwrap();
    assert!(len > 16 && from.ip().to_string().starts_with("127.77.0."), "{from}");
    let begun = Instant::now();
    loop {
        let (len, from) = ears.syslog.recv_from(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        if from.ip() == EDGE1 && text.contains("administratively down") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "edge1 does not say what happened");
    }
    let mut line = Line::open(&served, EDGE1);
    assert!(line.run("show interfaces").0.starts_with("Te0/1 admin down oper down"));
    assert_eq!(line.run("interface Te0/1 up"), (String::new(), "ok".to_owned()));
    assert!(line.run("show interfaces").0.starts_with("Te0/1 admin up oper up"));
    assert!(line.run("make coffee").1.starts_with("error: unknown command"));
    assert!(served.with(|net, _| net.answers("edge1")));
    served.stop();
}

#[test]
fn hostile_input_is_counted_and_nothing_stops() {
    let (served, _ears) = start(params(1));
    let agent = SocketAddr::from((EDGE1, served.bound.snmp_port));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for bad in [&b""[..], b"0", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0xff; 1_400]] {
        socket.send_to(bad, agent).unwrap();
    }
    let mut line = Line::open(&served, EDGE1);
    line.reader.get_mut().write_all(&[0xff, 0, b'\n']).unwrap();
    let mut answer = String::new();
    line.reader.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("error: "), "{answer}");
    line.reader.get_mut().write_all(&[b'x'; 4_000]).unwrap();
    answer.clear();
    line.reader.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("error: the line is too long"), "{answer}");
    // The agent still answers, in the order of what it was sent.
    let asked = super::protocol::ASKED;
    socket.send_to(asked, agent).unwrap();
    let mut buffer = [0; 2_000];
    let (len, _) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..2], [0x30, (len - 2) as u8]);
    assert_eq!(served.counts().snmp_ignored.load(Ordering::Relaxed), 4);
    served.stop();
}

#[test]
fn net_snmps_tools_walk_get_and_set() {
    if Command::new("snmpget").arg("-V").output().is_err() {
        eprintln!("skipped: net-snmp's tools are not installed");
        return;
    }
    let (served, _ears) = start(params(1));
    let agent = format!("{EDGE1}:{}", served.bound.snmp_port);
    let run = |tool: &str, community: &str, rest: &[&str]| {
        let mut command = Command::new(tool);
        command.args(["-v2c", "-On", "-t", "5", "-c", community, &agent]).args(rest);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (_, name) = run("snmpget", "public", &[".1.3.6.1.2.1.1.5.0"]);
    assert!(name.contains("STRING: \"edge1\""), "{name}");
    let ids = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with(".1.3"));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let (is_well, walked) = run("snmpwalk", "public", &[".1.3"]);
    assert!(is_well && walked.contains("Counter64"), "{walked}");
    let (is_well, bulk) = run("snmpbulkwalk", "public", &[".1.3"]);
    assert!(is_well, "{bulk}");
    assert_eq!(ids(&walked), ids(&bulk));
    assert!(ids(&walked).len() > 60);
    let down = [".1.3.6.1.2.1.2.2.1.7.1", "i", "2"];
    let (is_well, refused) = run("snmpset", "public", &down);
    assert!(!is_well && refused.contains("noAccess"), "{refused}");
    let (is_well, set) = run("snmpset", "private", &down);
    assert!(is_well, "{set}");
    let (_, read) = run("snmpget", "public", &[".1.3.6.1.2.1.2.2.1.8.1"]);
    assert!(read.contains("INTEGER: 2"), "{read}");
    let (is_well, refused) = run("snmpset", "private", &[".1.3.6.1.2.1.1.5.0", "s", "x"]);
    assert!(!is_well && refused.contains("notWritable"), "{refused}");
    served.stop();
}
