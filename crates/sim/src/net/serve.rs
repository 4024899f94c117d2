//! The simulated network on real sockets: each device at its own loopback address with an SNMP
//! agent (v2c over UDP) and a command line (TCP), and its flows and syslog sent when the clock says
//! so. Needs no root. Nothing that comes in can stop it: what is no message is counted and left.
//!
//! The command line: one command a line; the answer is its output, then a line `ok` or
//! `error: REASON`. A device that is dead or cut off takes no connection further.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use model::snmp::{NO_ACCESS, Request, Response};
use serde::{Deserialize, Serialize};

use super::ber::Message;
use super::command::LINE_MAX;
use super::layout::Layout;
use super::world::{Net, Output};
use crate::options::SimError;
use crate::service::Pace;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeOptions {
    pub flows_to: SocketAddr,
    pub syslog_to: SocketAddr,
    /// The same for all devices; 0 is any that is free.
    pub snmp_port: u16,
    pub command_port: u16,
    pub read_community: String,
    /// May read and set.
    pub write_community: String,
    /// Command lines open at a time, over all devices.
    pub connections_max: usize,
    /// How long a command line may say nothing.
    pub idle_ms: u64,
}

/// What was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub snmp_port: u16,
    pub command_port: u16,
}

/// What came and went.
#[derive(Debug, Default)]
pub struct Counts {
    pub flow_datagrams: AtomicU64,
    pub syslog_datagrams: AtomicU64,
    /// Datagrams that the kernel refused.
    pub failed: AtomicU64,
    pub snmp_requests: AtomicU64,
    /// What was no SNMP message of ours, or of an unknown community.
    pub snmp_ignored: AtomicU64,
    pub commands: AtomicU64,
    pub connections_refused: AtomicU64,
    pub lines_too_long: AtomicU64,
}

/// A network that runs until it is told to stop.
pub struct Served {
    pub bound: Bound,
    world: Arc<World>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
struct World {
    net: Mutex<Net>,
    options: ServeOptions,
    pace: Pace,
    begun: Instant,
    stop: Arc<AtomicBool>,
    connections: AtomicUsize,
    counts: Counts,
}

/// How often a waiting thread looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// How finely time passes: datagrams leave this late at most.
const STEP: Duration = Duration::from_millis(10);
/// Ports tried where any will do and some device's address has the first one taken.
const TRIES: usize = 20;
const STACK_BYTES: usize = 256 * 1024;
/// Reads of what comes after the end of a connection.
const DRAINED_MAX: usize = 64;
/// How long a client that does not read may hold its thread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Sockets at every device's address, before there is a network behind them: who must know the
/// ports first (an inventory) binds, and serves later.
pub struct Sockets {
    pub bound: Bound,
    agents: Vec<(&'static str, UdpSocket)>,
    lines: Vec<(&'static str, TcpListener)>,
    senders: BTreeMap<Ipv4Addr, UdpSocket>,
}

/// Puts a network on sockets. It has been advanced to `pace.origin_ms` or less; what lies between
/// leaves at once.
pub fn serve(
    net: Net,
    options: ServeOptions,
    pace: Pace,
    stop: Arc<AtomicBool>,
) -> Result<Served, SimError> {
    Sockets::bind(options.snmp_port, options.command_port)?.serve(net, options, pace, stop)
}

// === impl Sockets ===

impl Sockets {
    /// Binds the devices' addresses to these ports; 0 is any that is free at all of them.
    pub fn bind(snmp_port: u16, command_port: u16) -> Result<Sockets, SimError> {
        let devices = Layout::standard().devices;
        let addresses: Vec<Ipv4Addr> = devices.iter().map(|device| device.address).collect();
        let agents = bind_all(&addresses, snmp_port, |at| {
            let socket = UdpSocket::bind(at)?;
            socket.set_read_timeout(Some(STOP_CHECK))?;
            Ok((socket.local_addr()?.port(), socket))
        })?;
        let lines = bind_all(&addresses, command_port, |at| {
            let listener = TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.port(), listener))
        })?;
        let senders = bind_all(&addresses, 0, |at| {
            // Each may have a port of its own: 0 goes on to the next.
            Ok((0, UdpSocket::bind(at)?))
        })?;
        let names = || devices.iter().map(|device| device.name);
        Ok(Sockets {
            bound: Bound { snmp_port: agents.0, command_port: lines.0 },
            agents: names().zip(agents.1).collect(),
            lines: names().zip(lines.1).collect(),
            senders: addresses.into_iter().zip(senders.1).collect(),
        })
    }

    /// Puts the network behind them.
    pub fn serve(
        self,
        net: Net,
        options: ServeOptions,
        pace: Pace,
        stop: Arc<AtomicBool>,
    ) -> Result<Served, SimError> {
        if pace.speed.is_nan() || pace.speed <= 0.0 {
            return Err(SimError::Speed(pace.speed));
        }
        let Sockets { bound, agents, lines, senders } = self;
        let world = Arc::new(World {
            net: Mutex::new(net),
            options,
            pace,
            begun: Instant::now(),
            stop,
            connections: AtomicUsize::new(0),
            counts: Counts::default(),
        });
        let mut threads = Vec::new();
        for (name, socket) in agents {
            let world = Arc::clone(&world);
            threads.push(spawn("sim-snmp", move || agent(&world, name, &socket))?);
        }
        let (taker, sender) = (Arc::clone(&world), Arc::clone(&world));
        threads.push(spawn("sim-command", move || take_lines(&taker, &lines))?);
        threads.push(spawn("sim-send", move || send(&sender, &senders))?);
        Ok(Served { bound, world, threads })
    }
}

// === impl ServeOptions ===

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            flows_to: SocketAddr::from(([127, 0, 0, 1], 2055)),
            syslog_to: SocketAddr::from(([127, 0, 0, 1], 5514)),
            snmp_port: 0,
            command_port: 0,
            read_community: "public".to_owned(),
            write_community: "private".to_owned(),
            connections_max: 64,
            idle_ms: 30_000,
        }
    }
}

// === impl Served ===

impl Served {
    /// Asks the network itself, between two of its steps.
    pub fn with<T>(&self, ask: impl FnOnce(&mut Net, i64) -> T) -> T {
        let now_ms = self.world.now_ms();
        ask(&mut self.world.net(), now_ms)
    }

    pub fn counts(&self) -> &Counts {
        &self.world.counts
    }

    /// Tells it to stop and waits until it has.
    pub fn stop(self) {
        self.world.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A thread that panicked has said so; the others end all the same.
            let _ = thread.join();
        }
    }
}

// === impl World ===

impl World {
    fn now_ms(&self) -> i64 {
        let passed_ms = self.begun.elapsed().as_secs_f64() * 1_000.0 * self.pace.speed;
        self.pace.origin_ms.saturating_add(passed_ms as i64)
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        // Where a thread panicked, the network is as it was left: better than none.
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Sends what has left the devices, each from its own address.
fn send(world: &World, sockets: &BTreeMap<Ipv4Addr, UdpSocket>) {
    while !world.is_over() {
        let now_ms = world.now_ms();
        let outputs = world.net().advance(now_ms);
        for output in outputs {
            let (bytes, to, counter) = match &output {
                Output::Flows(datagram) => {
                    (&datagram.bytes[..], world.options.flows_to, &world.counts.flow_datagrams)
                }
                Output::Syslog { bytes, .. } => {
                    (&bytes[..], world.options.syslog_to, &world.counts.syslog_datagrams)
                }
            };
            let socket = sockets.get(&output.from());
            match socket.map(|socket| socket.send_to(bytes, to)) {
                Some(Ok(_)) => add(counter),
                _ => add(&world.counts.failed),
            }
        }
        sleep(STEP);
    }
}

/// One device's SNMP agent.
fn agent(world: &World, device: &str, socket: &UdpSocket) {
    let mut buffer = vec![0; 65_535];
    while !world.is_over() {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        match reply(world, device, &buffer[..len]) {
            Some(datagram) => {
                add(&world.counts.snmp_requests);
                if socket.send_to(&datagram, from).is_err() {
                    add(&world.counts.failed);
                }
            }
            None => add(&world.counts.snmp_ignored),
        }
    }
}

fn reply(world: &World, device: &str, datagram: &[u8]) -> Option<Vec<u8>> {
    let message = Message::decode(datagram)?;
    let may_write = message.community == world.options.write_community.as_bytes();
    let may_read = may_write || message.community == world.options.read_community.as_bytes();
    if !may_read {
        return None;
    }
    if let (Request::Set(binds), false) = (&message.request, may_write) {
        let binds = binds.clone();
        let refused = Response { error_status: NO_ACCESS, error_index: 1, binds };
        return world.net().answers(device).then(|| message.answer(&refused));
    }
    let response = world.net().snmp(device, world.now_ms(), &message.request)?;
    Some(message.answer(&response))
}

/// Takes connections to every device's command line; each is served by a thread of its own.
fn take_lines(world: &Arc<World>, listeners: &[(&'static str, TcpListener)]) {
    while !world.is_over() {
        for (device, listener) in listeners {
            while let Ok((stream, _)) = listener.accept() {
                take(world, device, stream);
            }
        }
        sleep(STEP);
    }
}

fn take(world: &Arc<World>, device: &'static str, stream: TcpStream) {
    let is_full = world.connections.load(Ordering::Relaxed) >= world.options.connections_max;
    if is_full || !world.net().answers(device) {
        add(&world.counts.connections_refused);
        return;
    }
    world.connections.fetch_add(1, Ordering::Relaxed);
    let own = Arc::clone(world);
    let served = spawn("sim-line", move || {
        // An end by the other side is as good as any.
        let _ = talk(&own, device, stream);
        own.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if served.is_err() {
        world.connections.fetch_sub(1, Ordering::Relaxed);
        add(&world.counts.connections_refused);
    }
}

fn talk(world: &World, device: &str, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STOP_CHECK))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let idle = Duration::from_millis(world.options.idle_ms);
    let mut heard = Instant::now();
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = [0; 1_024];
    while !world.is_over() && heard.elapsed() < idle {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        heard = Instant::now();
        pending.extend(&buffer[..len]);
        while let Some(end) = pending.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let Some(answer) = run(world, device, &line) else { return Ok(()) };
            stream.write_all(answer.as_bytes())?;
        }
        if pending.len() > LINE_MAX {
            add(&world.counts.lines_too_long);
            stream.write_all(b"error: the line is too long\n")?;
            return hang_up(&mut stream);
        }
    }
    Ok(())
}

/// Ends a connection so that its last words arrive: what is left unread at a close resets it.
fn hang_up(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut buffer = [0; 1_024];
    for _ in 0..DRAINED_MAX {
        if stream.read(&mut buffer)? == 0 {
            break;
        }
    }
    Ok(())
}

/// The whole answer to a line; none where the device has died or was cut off meanwhile.
fn run(world: &World, device: &str, line: &[u8]) -> Option<String> {
    add(&world.counts.commands);
    let line = String::from_utf8_lossy(line);
    let now_ms = world.now_ms();
    let mut net = world.net();
    if !net.answers(device) {
        return None;
    }
    Some(match net.command(device, now_ms, line.trim()) {
        Ok(output) => format!("{output}ok\n"),
        Err(reason) => format!("error: {reason}\n"),
    })
}

/// Binds every address to one port; where any will do, tries until one is free at all of them.
fn bind_all<T>(
    addresses: &[Ipv4Addr],
    port: u16,
    bind: impl Fn(SocketAddr) -> std::io::Result<(u16, T)>,
) -> Result<(u16, Vec<T>), SimError> {
    let mut tries_left = if port == 0 { TRIES } else { 1 };
    loop {
        tries_left -= 1;
        match bind_once(addresses, port, &bind) {
            Err(_) if tries_left > 0 => {}
            result => return result,
        }
    }
}

fn bind_once<T>(
    addresses: &[Ipv4Addr],
    mut port: u16,
    bind: impl Fn(SocketAddr) -> std::io::Result<(u16, T)>,
) -> Result<(u16, Vec<T>), SimError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let failed = |source| SimError::Bind { exporter: *address, source };
        let (got, socket) = bind(SocketAddr::from((*address, port))).map_err(failed)?;
        port = got;
        sockets.push(socket);
    }
    Ok((port, sockets))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SimError> {
    let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run).map_err(|source| SimError::Thread { source })
}
