//! The real exporter: softflowd reads a capture at once and says how much it sent; a relay counts
//! what came, and passes it on at the capture's pace from an address of its own, as the exporter
//! that a collector would see.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The kernel gives what it allows (`net.core.rmem_max`).
const RELAY_BUFFER_BYTES: usize = 16 << 20;

/// What softflowd prints at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
    pub datagrams: u64,
    pub failures: u64,
}

/// How softflowd is told to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// 9 or 10 (IPFIX).
    pub version: u8,
    /// `-a`: flow times as in the capture, which lies years back; else days ahead.
    pub adjust: Adjust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjust {
    Yes,
    No,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let adjust = if self.adjust == Adjust::Yes { " -a" } else { "" };
        write!(f, "-v {}{adjust}", self.version)
    }
}

/// Runs softflowd over a capture and takes every datagram that it sends.
pub fn export(capture: &Path, dialect: Dialect) -> Result<(Exported, Vec<Vec<u8>>)> {
    let relay = UdpSocket::bind("127.0.0.1:0").context("no socket for the relay")?;
    // softflowd sends all of a capture at once: 1,200 datagrams in 40 ms.
    socket2::SockRef::from(&relay).set_recv_buffer_size(RELAY_BUFFER_BYTES)?;
    relay.set_read_timeout(Some(Duration::from_millis(100)))?;
    let to = relay.local_addr()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| take(&relay, &is_over));
        let exported = run(capture, dialect, to);
        is_over.store(true, Ordering::Relaxed);
        let datagrams = taking.join().expect("the relay does not panic")?;
        Ok((exported?, datagrams))
    })
}

fn run(capture: &Path, dialect: Dialect, to: SocketAddr) -> Result<Exported> {
    let dir = capture.parent().context("a capture has a folder")?;
    let mut command = Command::new(softflowd());
    command.arg("-r").arg(capture).args(["-n", &to.to_string()]);
    command.args(["-v", &dialect.version.to_string()]);
    if dialect.adjust == Adjust::Yes {
        command.arg("-a");
    }
    // It gives up root before its end, and hangs there if it cannot remove its control socket.
    command.args(["-c", "none"]).arg("-p").arg(dir.join("softflowd.pid"));
    let output = command.output().context("softflowd does not start: is it installed?")?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "softflowd failed: {text}");
    statistics(&text).with_context(|| format!("softflowd's statistics are not readable: {text}"))
}

/// Debian puts it where only root looks.
fn softflowd() -> &'static str {
    if Path::new("/usr/sbin/softflowd").exists() { "/usr/sbin/softflowd" } else { "softflowd" }
}

/// `Flows exported: 37669 (37669 records) in 1198 packets (0 failures)`.
pub fn statistics(text: &str) -> Option<Exported> {
    let line = text.lines().find_map(|line| line.strip_prefix("Flows exported: "))?;
    let digits = line.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Vec<u64> = digits.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, records, datagrams, failures] = numbers[..] else { return None };
    Some(Exported { records, datagrams, failures })
}

/// Until the exporter has ended and nothing has come for a while.
fn take(relay: &UdpSocket, is_over: &AtomicBool) -> Result<Vec<Vec<u8>>> {
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match relay.recv_from(&mut buffer) {
            Ok((len, _)) => datagrams.push(buffer[..len].to_vec()),
            Err(error) if is_timeout(&error) => {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(datagrams);
                }
            }
            Err(error) => bail!("the relay cannot receive: {error}"),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// Sends datagrams evenly over some time, as the exporter `from`.
pub fn replay(datagrams: &[Vec<u8>], from: Ipv4Addr, to: SocketAddr, over: Duration) -> Result<()> {
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("no socket on {from}"))?;
    let begun = Instant::now();
    let step = over / (datagrams.len().max(1) as u32);
    for (nth, datagram) in datagrams.iter().enumerate() {
        std::thread::sleep((begun + step * nth as u32).saturating_duration_since(Instant::now()));
        socket.send_to(datagram, to).with_context(|| format!("failed to send from {from}"))?;
    }
    Ok(())
}
