//! The simulator's I/O: one socket an exporter, bound to its address, paced by the clock; and the
//! file of the truth.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::exporter::Datagram;
use crate::impair::Impaired;
use crate::options::{Options, SimError};
use crate::scenario::Scenario;
use crate::truth::Ledger;

/// How often a sleeping sender looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Which instant of the run is now, and how fast its time passes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Datagrams of an earlier time leave at once.
    pub origin_ms: i64,
    pub speed: f64,
}

/// What one exporter's socket took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounts {
    pub datagrams: u64,
    pub flows: u64,
    pub options: u64,
    pub bytes: u64,
    /// Datagrams that the kernel refused.
    pub failed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub exporters: BTreeMap<Ipv4Addr, SentCounts>,
    /// How far the sender was behind its times at worst.
    pub late_max: Duration,
}

/// Runs `gannet sim`: truth first, then datagrams until the end or until `stop`, then the counts.
pub fn run(options: &Options, now_ms: i64, stop: &AtomicBool) -> Result<(Sent, Ledger), SimError> {
    if options.speed.is_nan() || options.speed <= 0.0 {
        return Err(SimError::Speed(options.speed));
    }
    let scenario = Scenario::new(options.seed, options.kind, options.params.clone());
    if let Some(path) = &options.truth {
        write_truth(path, scenario.truth())?;
    }
    let mut stream = Impaired::new(scenario.datagrams(), options.impair, options.seed);
    let pace = Pace { origin_ms: now_ms, speed: options.speed };
    let sent = send(&mut stream, options.to, pace, stop)?;
    let ledger = stream.ledger().clone();
    if let Some(path) = &options.truth {
        write_truth(path, scenario.truth().into_iter().chain(ledger.lines()))?;
    }
    Ok((sent, ledger))
}

/// Sends datagrams at their times over real sockets.
pub fn send(
    datagrams: impl Iterator<Item = Datagram>,
    to: SocketAddr,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<Sent, SimError> {
    let mut sockets: BTreeMap<Ipv4Addr, UdpSocket> = BTreeMap::new();
    let mut sent = Sent::default();
    let begun = Instant::now();
    for datagram in datagrams {
        let ahead_ms = (datagram.time_ms - pace.origin_ms).max(0) as f64 / pace.speed;
        let due = begun + Duration::from_secs_f64(ahead_ms / 1000.0);
        if !sleep_until(due, stop) {
            break;
        }
        if ahead_ms > 0.0 {
            sent.late_max = sent.late_max.max(due.elapsed());
        }
        let socket = match sockets.entry(datagram.exporter) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(bind(&datagram)?),
        };
        sent.count(&datagram, socket.send_to(&datagram.bytes, to).is_ok());
    }
    Ok(sent)
}

/// One line of JSON each: of a scenario's truth or the simulated network's.
pub fn write_truth<T: serde::Serialize>(
    path: &Path,
    lines: impl IntoIterator<Item = T>,
) -> Result<(), SimError> {
    let failed = |source| SimError::Truth { path: path.to_owned(), source };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    for line in lines {
        let json = serde_json::to_string(&line).expect("truth has only text keys");
        writeln!(file, "{json}").map_err(failed)?;
    }
    file.flush().map_err(failed)
}

/// False where it was told to stop.
fn sleep_until(due: Instant, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(STOP_CHECK));
    }
}

fn bind(datagram: &Datagram) -> Result<UdpSocket, SimError> {
    let exporter = datagram.exporter;
    UdpSocket::bind((exporter, 0)).map_err(|source| SimError::Bind { exporter, source })
}

// === impl Sent ===

impl Sent {
    fn count(&mut self, datagram: &Datagram, was_taken: bool) {
        let counts = self.exporters.entry(datagram.exporter).or_default();
        if !was_taken {
            counts.failed += 1;
            return;
        }
        counts.datagrams += 1;
        counts.flows += u64::from(datagram.flows);
        counts.options += u64::from(datagram.options);
        counts.bytes += datagram.bytes.len() as u64;
    }

    pub fn total(&self) -> SentCounts {
        let mut sum = SentCounts::default();
        for counts in self.exporters.values() {
            sum.datagrams += counts.datagrams;
            sum.flows += counts.flows;
            sum.options += counts.options;
            sum.bytes += counts.bytes;
            sum.failed += counts.failed;
        }
        sum
    }
}
