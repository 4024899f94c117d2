//! The simulated network's SNMP agents, each behind a socket of its own that notes when it was
//! asked and by whom, and passes on what it is asked.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gannet::inventory::{Inventory, load_text};
use sim::Pace;
use sim::net::{Net, Params, ServeOptions, Served, Sockets};

use super::now_ms;

/// A request as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// Place of the device in the inventory.
    pub device: usize,
    pub at: Instant,
    /// Each instance polls from one socket.
    pub from: SocketAddr,
}

pub struct Relays {
    /// The devices as pollers find them.
    pub inventory: Inventory,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    network: Option<Served>,
}

const LOOK: Duration = Duration::from_millis(50);
/// An agent of the same machine answers within this.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const DATAGRAM_MAX: usize = 65_536;

// === impl Relays ===

impl Relays {
    pub fn start() -> Result<Relays> {
        let sockets = Sockets::bind(0, 0)?;
        let (now, snmp_port) = (now_ms()?, sockets.bound.snmp_port);
        let net = Net::new(Params { start_ms: now, snmp_port, ..Params::default() });
        let mut inventory = load_text("network", &net.inventory())?;
        // Polling alone is looked at: flows and messages go where nobody reads them.
        let nobody = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let options =
            ServeOptions { flows_to: nobody, syslog_to: nobody, ..ServeOptions::default() };
        let stop = Arc::new(AtomicBool::new(false));
        let pace = Pace { origin_ms: now, speed: 1.0 };
        let network = Some(sockets.serve(net, options, pace, Arc::clone(&stop))?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for (device, entry) in inventory.devices.iter_mut().enumerate() {
            let front = socket(Ipv4Addr::new(127, 92, 0, 1 + device as u8), LOOK)?;
            let back = socket(Ipv4Addr::LOCALHOST, ANSWERS_WITHIN)?;
            back.connect((entry.address, snmp_port))?;
            let at = front.local_addr()?;
            entry.address = at.ip();
            entry.snmp.as_mut().context("a device without an agent")?.port = at.port();
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            threads.push(std::thread::spawn(move || relay(device, &front, &back, &stop, &asked)));
        }
        Ok(Relays { inventory, asked, stop, threads, network })
    }

    /// Every request so far, in the order of time for each device.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
        if let Some(network) = self.network.take() {
            network.stop();
        }
    }
}

fn socket(at: Ipv4Addr, timeout: Duration) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((at, 0)).with_context(|| format!("no socket on {at}"))?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

fn relay(
    device: usize,
    front: &UdpSocket,
    back: &UdpSocket,
    stop: &AtomicBool,
    asked: &Mutex<Vec<Asked>>,
) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = front.recv_from(&mut buffer) else { continue };
        let one = Asked { device, at: Instant::now(), from };
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        if back.send(&buffer[..len]).is_err() {
            continue;
        }
        if let Ok(len) = back.recv(&mut buffer) {
            // A poller that was killed hears nothing.
            let _ = front.send_to(&buffer[..len], from);
        }
    }
}
