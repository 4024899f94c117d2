//! Ingest dies at any moment, with what it has decoded on the log in part, and a successor goes on.
//! What an exporter sent is then stored or counted as lost, to the last record: the generator says
//! what was sent, the topic what is stored, and the ledger's rows on the log what was lost.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use bus::{Admin, BusConfig, Delivery, Log, LogError, OutRecord, Producer, Reader, Tasks};
use model::rows::{Event, Metric};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::ledger::{Sent, Way, stream};
use super::service::{batches, log};
use crate::config::{IngestConfig, SpoolConfig};
use crate::engine::limits::Limits;
use crate::service::IngestFeed;

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
const START: i64 = 1_700_000_000_000;
/// Between two datagrams, ms of receive time.
const STEP: i64 = 10;
const LIMIT: Duration = Duration::from_secs(20);
const WAYS: [Way; 4] = [Way::V5, Way::V9, Way::Ipfix, Way::Softflowd];

/// A log that takes so many more messages whole; of those behind them only each partition's with an
/// even number, without a word; then nothing.
struct Dying {
    log: Arc<dyn Log>,
    whole: Arc<AtomicI64>,
}

struct DyingProducer {
    inner: Box<dyn Producer>,
    whole: Arc<AtomicI64>,
}

/// Messages of which the even partitions' are still taken.
const HALF: i64 = 9;

impl Log for Dying {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn join(&self, s: &str, i: &str, inputs: &[String]) -> Result<Box<dyn Tasks>, LogError> {
        self.log.join(s, i, inputs)
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        let inner = self.log.producer(stage, instance)?;
        Ok(Box::new(DyingProducer { inner, whole: Arc::clone(&self.whole) }))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

impl Producer for DyingProducer {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        let left = self.whole.fetch_sub(1, Ordering::Relaxed);
        if left > 0 || (left > -HALF && record.partition % 2 == 0) {
            return self.inner.send(record);
        }
        // Taken, and never heard of again: no ticket of the log is so high.
        Ok(Some((1 << 60) + left.unsigned_abs()))
    }

    fn poll(&mut self, timeout: Duration) -> Vec<Delivery> {
        let mut deliveries = self.inner.poll(timeout);
        if self.whole.load(Ordering::Relaxed) <= 0 {
            deliveries.clear();
        }
        deliveries
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

/// What the log has taken is on it before a successor looks.
impl Drop for DyingProducer {
    fn drop(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.inner.in_flight() > 0 && Instant::now() < deadline {
            self.inner.poll(Duration::from_millis(1));
        }
    }
}

/// A network's end of the story, and ingest's.
struct Bed {
    log: Arc<dyn Log>,
    bus: BusConfig,
    config: IngestConfig,
    epoch: u64,
    now: i64,
}

// === impl Bed ===

impl Bed {
    fn new(config: IngestConfig) -> Bed {
        let (log, bus) = log();
        Bed { log, bus, config, epoch: 0, now: START }
    }

    /// A run that takes so many messages to the log before it dies.
    fn start(&mut self, messages: i64) -> IngestFeed {
        self.epoch += 1;
        let whole = Arc::new(AtomicI64::new(messages));
        let dying = Dying { log: Arc::clone(&self.log), whole };
        let (config, bus) = (&self.config, &self.bus);
        IngestFeed::new(config, &dying, bus, "one", self.epoch, self.now).expect("a feed")
    }

    fn feed(&mut self, feed: &mut IngestFeed, sent: &[Sent]) {
        for datagram in sent {
            self.now += STEP;
            feed.datagram(self.now, EXPORTER, &datagram.bytes).expect("fed");
        }
    }

    /// Until the log has the first interval's rows: on a busy machine it counts as away at first.
    fn until_told(&self, feed: &mut IngestFeed) {
        let deadline = Instant::now() + LIMIT;
        while self.told("exporter_records") == 0 {
            assert!(Instant::now() < deadline, "no interval is on the log");
            feed.advance(self.now).expect("time");
        }
    }

    /// The run that lives, to its end: all intervals are told.
    fn finish(&mut self, mut feed: IngestFeed) {
        for _ in 0..3 {
            self.now += 10_000;
            feed.advance(self.now).expect("time");
        }
        feed.finish(LIMIT).expect("a report");
    }

    fn stored(&self) -> BTreeSet<u64> {
        let mut numbers = BTreeSet::new();
        for (_, meta, batch) in batches(self.log.as_ref(), &self.bus, "flows.v1") {
            if meta.is_heartbeat() {
                continue;
            }
            let column = batch.column_by_name("bytes").expect("bytes");
            numbers.extend(column.as_primitive::<UInt64Type>().values().iter().copied());
        }
        numbers
    }

    /// The sum of a ledger's row over all intervals.
    fn told(&self, metric: &str) -> u64 {
        let all = batches(self.log.as_ref(), &self.bus, "metrics.v1").into_iter();
        let rows = all.filter(|(_, meta, _)| !meta.is_heartbeat());
        let rows = rows.flat_map(|(.., batch)| Metric::from_batch(&batch).expect("metrics"));
        let of = rows.filter(|row| row.metric == metric && row.entity.is_none());
        of.map(|row| row.value as u64).sum()
    }

    /// Units of the datagrams that are not on the log; each is there whole or not at all.
    fn lost(&self, sent: &[Sent]) -> u64 {
        let stored = self.stored();
        let mut lost = 0;
        for datagram in sent {
            let numbers = u64::from(datagram.first)..u64::from(datagram.first) + datagram.flows;
            let found = numbers.filter(|number| stored.contains(number)).count() as u64;
            assert!(found == 0 || found == datagram.flows, "half a datagram is stored");
            lost += if found == 0 { datagram.units } else { 0 };
        }
        lost
    }
}

/// Loses one in 20 in the network, and lets one in 20 be overtaken by a few.
fn impaired(sent: &[Sent], rng: &mut ChaCha8Rng) -> Vec<Sent> {
    let mut arrives: Vec<(usize, Sent)> = Vec::new();
    for (i, datagram) in sent.iter().enumerate() {
        if i > 50 && i + 200 < sent.len() && i % 20 != 0 && rng.random_bool(0.05) {
            continue;
        }
        let late = if rng.random_bool(0.05) { rng.random_range(1..20) } else { 0 };
        arrives.push((i + late, datagram.clone()));
    }
    arrives.sort_by_key(|(at, _)| *at);
    arrives.into_iter().map(|(_, datagram)| datagram).collect()
}

#[test]
fn what_a_crash_lost_is_what_its_successor_counts() {
    for way in WAYS {
        for seed in 0..12 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let first = if seed % 3 == 0 { u32::MAX - 9_000 } else { rng.random() };
            let sent = stream(way, first, 3_600_000, 5_000, &mut rng);
            let arrives = if seed % 2 == 0 { sent.clone() } else { impaired(&sent, &mut rng) };
            let mut bed = Bed::new(IngestConfig::default());
            let mut at = 0;
            // Two runs die, the first after an interval, the second at any time; then nobody
            // listens for a while.
            for least in [1_300, 1] {
                let mut feed = bed.start(rng.random_range(least / 8..350));
                let end = at + rng.random_range(least as usize..1_900);
                bed.feed(&mut feed, &arrives[at..end]);
                drop(feed);
                let down = rng.random_range(0..200);
                bed.now += down as i64 * STEP;
                at = end + down;
            }
            let mut feed = bed.start(i64::MAX);
            bed.feed(&mut feed, &arrives[at..]);
            bed.finish(feed);
            let lost = bed.lost(&sent);
            let (network, crash) = (bed.told("exporter_lost"), bed.told("exporter_missed"));
            assert_eq!(network + crash, lost, "{way:?} seed {seed}: {network} and {crash}");
            assert!(crash > 0, "{way:?} seed {seed}: nothing was lost, which proves nothing");
        }
    }
}

#[test]
fn a_stop_between_two_datagrams_loses_nothing() {
    for way in WAYS {
        let sent = stream(way, 77, 3_600_000, 3_000, &mut ChaCha8Rng::seed_from_u64(5));
        let mut bed = Bed::new(IngestConfig::default());
        for part in [&sent[..1_500], &sent[1_500..]] {
            let mut feed = bed.start(i64::MAX);
            bed.feed(&mut feed, part);
            bed.finish(feed);
        }
        let told = (bed.told("exporter_lost"), bed.told("exporter_missed"));
        assert_eq!((bed.lost(&sent), told), (0, (0, 0)), "{way:?}");
        assert_eq!(bed.told("exporter_records"), sent.iter().map(|s| s.flows).sum::<u64>());
    }
}

/// The successor of a run that took everything, in whose place the exporter sends `then`.
fn after_a_clean_run(way: Way, then: impl Fn(&[Sent]) -> Vec<Sent>) -> (u64, u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let sent = stream(way, 1_000_000, 360_000_000, 2_500, &mut rng);
    let mut bed = Bed::new(IngestConfig::default());
    let mut feed = bed.start(i64::MAX);
    bed.feed(&mut feed, &sent[..1_700]);
    feed.finish(LIMIT).expect("a report");
    let mut feed = bed.start(i64::MAX);
    bed.feed(&mut feed, &then(&sent));
    bed.finish(feed);
    (bed.told("exporter_lost"), bed.told("exporter_missed"))
}

#[test]
fn a_datagram_that_comes_twice_or_late_over_a_restart_is_no_loss() {
    for way in WAYS {
        for first in [1_699, 1_650, 1_200] {
            let told = after_a_clean_run(way, |sent| {
                let again = sent[first..=first].iter();
                again.chain(&sent[1_700..]).cloned().collect()
            });
            assert_eq!(told, (0, 0), "{way:?} {first}");
        }
        let told = after_a_clean_run(way, |sent| {
            let mut rest = sent[1_700..].to_vec();
            rest[..64].reverse();
            rest
        });
        assert_eq!(told, (0, 0), "{way:?} reversed");
    }
}

#[test]
fn an_exporter_that_began_anew_meanwhile_has_lost_nothing() {
    for way in WAYS {
        let told = after_a_clean_run(way, |_| {
            stream(way, 0, 10_000, 600, &mut ChaCha8Rng::seed_from_u64(9))
        });
        assert_eq!(told, (0, 0), "{way:?}");
    }
}

#[test]
fn what_is_in_the_spool_is_not_lost() {
    let folder = tempfile::tempdir().expect("a directory");
    for (way, spool) in [(Way::V9, None), (Way::V9, Some(folder.path())), (Way::Ipfix, None)] {
        let sent = stream(way, 5, 3_600_000, 3_000, &mut ChaCha8Rng::seed_from_u64(7));
        let mut bed = Bed::new(spooling(spool));
        let mut feed = bed.start(300);
        bed.feed(&mut feed, &sent[..1_300]);
        bed.until_told(&mut feed);
        bed.feed(&mut feed, &sent[1_300..2_000]);
        // What is in flight when it dies is lost, what is in the spool's directory is not.
        drop(feed);
        let mut feed = bed.start(i64::MAX);
        bed.feed(&mut feed, &sent[2_000..]);
        bed.finish(feed);
        let told = bed.told("exporter_lost") + bed.told("exporter_missed");
        assert_eq!(told, bed.lost(&sent), "{way:?} {spool:?}");
        assert!(told > 0);
    }
}

fn spooling(path: Option<&Path>) -> IngestConfig {
    let spool = SpoolConfig { path: path.map(Path::to_owned), ..SpoolConfig::default() };
    // The log counts as away at once when it acknowledges nothing.
    IngestConfig { spool, away_ms: 1, ..IngestConfig::default() }
}

#[test]
fn an_exporter_not_heard_again_is_still_reported_on() {
    let sent = stream(Way::V9, 1, 3_600_000, 1_500, &mut ChaCha8Rng::seed_from_u64(8));
    let mut bed = Bed::new(IngestConfig::default());
    let mut feed = bed.start(i64::MAX);
    bed.feed(&mut feed, &sent);
    feed.finish(LIMIT).expect("a report");
    bed.now += 60_000;
    for _ in 0..2 {
        let begun = bed.now;
        let feed = bed.start(i64::MAX);
        bed.finish(feed);
        let all = batches(bed.log.as_ref(), &bed.bus, "metrics.v1").into_iter();
        let rows = all.filter(|(_, meta, _)| !meta.is_heartbeat());
        let rows = rows.flat_map(|(.., batch)| Metric::from_batch(&batch).expect("metrics"));
        let zeros = rows
            .filter(|row| row.metric == "exporter_records" && row.entity.is_none())
            .filter(|row| row.received_ms > begun && row.device == "192.0.2.3");
        let zeros: Vec<f64> = zeros.map(|row| row.value).collect();
        assert!(zeros.len() >= 3 && zeros.iter().all(|value| *value == 0.0), "{zeros:?}");
    }
    let events = batches(bed.log.as_ref(), &bed.bus, "events.v1").into_iter();
    let events = events.filter(|(_, meta, _)| !meta.is_heartbeat());
    let heard = events.flat_map(|(.., batch)| Event::from_batch(&batch).expect("events")).count();
    assert_eq!(heard, 1, "it is known: not heard for a first time again");
    // After a day it is forgotten.
    bed.now += Limits::default().exporter_idle_ms;
    let feed = bed.start(i64::MAX);
    let before = bed.told("exporter_waiting");
    bed.finish(feed);
    assert_eq!(bed.told("exporter_waiting"), before);
}

#[test]
fn a_header_that_is_no_ledger_s_is_left_alone() {
    use crate::engine::marks::{marks_text, read_marks, read_units, units_text};
    let text = "192.0.2.1,9,5,packets,12,-3,-,17;2001:db8::1,10,7,-,-,-,99,18";
    let marks = read_marks(text);
    assert_eq!((marks.len(), marks_text(&marks).as_str()), (2, text));
    let text = "192.0.2.1,10,5,25,24,1;2001:db8::1,5,7,1,1,1";
    let units = read_units(text);
    assert_eq!((units.len(), units_text(&units).as_str()), (2, text));
    for bad in ["", ";", "x", "192.0.2.1,9", "192.0.2.1,9,5,odd,1,1", "192.0.2.1,300,5,1,1,1"] {
        assert!(read_units(bad).is_empty() && read_marks(bad).is_empty(), "{bad}");
    }
}
