//! Ingest killed with -9: how long time stands still behind it, and what it has lost. Two instances
//! of the real binary with an exporter each, one rollup behind them, real Kafka. With one of two
//! killed, rollup's watermark must go on by the other's tenth heartbeat at the latest; with the
//! only one killed, by the first word of its successor (DESIGN §4). Both are read from the log,
//! where an output's name says which message moved time; no clock is compared. And what the
//! successor's ledger says was missed is what the exporter sent and the topic does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus::{BusConfig, Log, Name, ReadEvent, Record, Writer};
use model::rows::Metric;
use tempfile::TempDir;

use crate::process::{binary, page, v5_datagram};

/// Heartbeats of another after which a writer is not waited for (DESIGN §4).
pub const HEARTBEATS_MAX: usize = 10;
const SOURCES: [&str; 3] = ["flows.v1", "metrics.v1", "events.v1"];
const LIMIT: Duration = Duration::from_secs(90);
/// Two beats of a second each.
const ABREAST_MS: i64 = 2_000;
const POLL: Duration = Duration::from_millis(100);
/// Before the first kill: an interval of the ledger, and some.
const BEFORE: Duration = Duration::from_secs(13);
/// With nobody alive: a few heartbeats' time.
const NOBODY: Duration = Duration::from_secs(4);
/// Between two datagrams of an exporter.
const STEP: Duration = Duration::from_millis(5);
const EXPORTERS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 91, 0, 1), Ipv4Addr::new(127, 91, 0, 2)];

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Partitions of all three topics.
    pub partitions: usize,
    /// The most heartbeats of the survivor for which time stood still, over all partitions.
    pub of_two: usize,
    /// Partitions in which time did not stop with the last instance, or not go on with the first
    /// word of its successor.
    pub of_one: usize,
    /// Flows that the killed instance's exporter sent, that are stored, and that the ledger counts.
    pub sent: u64,
    pub stored: u64,
    pub counted: u64,
}

pub fn run(bootstrap: &str) -> Result<Found> {
    let bed = Bed::new(bootstrap)?;
    let _detect = bed.spawn("detect", "d", None)?;
    let (a, b) = (bed.spawn("ingest", "a", Some(0))?, bed.spawn("ingest", "b", Some(1))?);
    let stop = AtomicBool::new(false);
    let sent = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for nth in 0..2 {
            let (bed, stop, sent) = (&bed, &stop, &sent[nth]);
            scope.spawn(move || send(EXPORTERS[nth], bed.listen[nth], stop, sent));
        }
        let found = bed.kills(a, b, &stop, &sent[0]);
        stop.store(true, Ordering::Relaxed);
        found
    })
}

/// A v5 exporter, one flow a datagram; nothing minds whether anyone listens.
fn send(from: Ipv4Addr, to: SocketAddr, stop: &AtomicBool, sent: &AtomicU32) -> Result<()> {
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("no socket on {from}"))?;
    while !stop.load(Ordering::Relaxed) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let number = sent.fetch_add(1, Ordering::Relaxed);
        // A port without a listener is told to the next call of a socket: no failure here.
        let _ = socket.send_to(&v5_datagram(number, u32::try_from(now.as_secs())?), to);
        std::thread::sleep(STEP);
    }
    Ok(())
}

struct Bed {
    bus: BusConfig,
    log: Arc<dyn Log>,
    listen: [SocketAddr; 2],
    config: PathBuf,
    dir: TempDir,
}

/// A process, killed with -9 when it goes out of scope.
struct Process {
    child: Child,
    output: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended by itself is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Bed ===

impl Bed {
    fn new(bootstrap: &str) -> Result<Bed> {
        let dir = tempfile::tempdir()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let bus = BusConfig {
            engine: bus::config::Engine::Kafka,
            prefix: format!("stall-{}-{}.", now.as_millis(), std::process::id()),
            kafka: bus::config::KafkaConfig {
                bootstrap: bootstrap.to_owned(),
                ..bus::config::KafkaConfig::default()
            },
            ..BusConfig::default()
        };
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules.yaml");
        std::fs::copy(rules, dir.path().join("rules.yaml"))?;
        let config = dir.path().join("gannet.yaml");
        let text = format!(
            "bus: {{ engine: kafka, prefix: '{}', kafka: {{ bootstrap: '{bootstrap}' }} }}\n\
             detect: {{ rules: !include rules.yaml }}\n",
            bus.prefix
        );
        std::fs::write(&config, text)?;
        let applied =
            Command::new(binary()?).args(["topics", "apply", "--config"]).arg(&config).output()?;
        let said = String::from_utf8_lossy(&applied.stderr);
        ensure!(applied.status.success(), "gannet topics apply failed: {said}");
        // The two sockets together, so that they differ.
        let free = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
        let listen = [free[0].local_addr()?, free[1].local_addr()?];
        let log = bus::open(&bus)?;
        Ok(Bed { bus, log, listen, config, dir })
    }

    /// A stage, ready. Ingest listens on the nth address.
    fn spawn(&self, stage: &str, instance: &str, nth: Option<usize>) -> Result<Process> {
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let output = self.dir.path().join(format!("{stage}-{instance}-{}", admin.port()));
        let file = File::create(&output)?;
        let mut command = Command::new(binary()?);
        command.arg(stage).arg("--config").arg(&self.config).args(["--instance", instance]);
        if let Some(nth) = nth {
            command.args(["--listen", &format!("udp://{}", self.listen[nth])]);
        }
        command.env("GANNET__ADMIN__LISTEN", admin.to_string());
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut process = Process { child: command.spawn()?, output };
        let deadline = Instant::now() + LIMIT;
        while page(admin, "/-/ready").is_err() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(&process.output)?;
                bail!("{stage} {instance} is not ready ({ended:?}):\n{said}");
            }
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    fn kills(&self, a: Process, b: Process, stop: &AtomicBool, sent: &AtomicU32) -> Result<Found> {
        self.until("time goes", |seen| seen.parts.values().all(|part| part.has_time()))?;
        std::thread::sleep(BEFORE);
        self.until("both are abreast", |seen| seen.parts.values().all(Part::is_abreast))?;
        drop(b);
        let seen = self.until("time goes on without b", |seen| {
            seen.parts.values().all(|part| part.gone_on_without("b").is_some())
        })?;
        let beats = seen.parts.values().filter_map(|part| part.gone_on_without("b"));
        let (of_two, partitions) = (beats.max().unwrap_or(usize::MAX), seen.parts.len());
        drop(a);
        std::thread::sleep(NOBODY);
        let _successor = self.spawn("ingest", "a", Some(0))?;
        let seen = self.until("time goes on with a's successor", |seen| {
            seen.parts.values().all(|part| part.gone_on_with_successor("a").is_some())
        })?;
        let bad = seen.parts.values().filter(|part| part.gone_on_with_successor("a") != Some(true));
        let of_one = bad.count();
        std::thread::sleep(NOBODY);
        stop.store(true, Ordering::Relaxed);
        // The one that was just being sent is numbered then.
        std::thread::sleep(POLL);
        let sent = u64::from(sent.load(Ordering::Relaxed));
        let (stored, counted) = self.ledger(sent)?;
        Ok(Found { partitions, of_two, of_one, sent, stored, counted })
    }

    /// Flows of the first exporter on the topic, and what the ledger says of it, as soon as they
    /// add up; as they are after a while if they do not.
    fn ledger(&self, sent: u64) -> Result<(u64, u64)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let stored = self.stored(EXPORTERS[0])?;
            let counted = self.counted(EXPORTERS[0])?;
            // The last datagrams may be on their way still: then they are not counted yet either.
            if stored + counted >= sent || Instant::now() > deadline {
                return Ok((stored, counted));
            }
            std::thread::sleep(POLL * 10);
        }
    }

    fn stored(&self, exporter: Ipv4Addr) -> Result<u64> {
        let mut rows = 0;
        self.read(&["flows.v1"], |record| {
            let batch = match record.header("rows") {
                Some("0") | None => return Ok(()),
                _ => bus::frame::read(record, &self.bus.limits)?.1,
            };
            let column = batch.column_by_name("exporter").context("no exporter")?;
            let column = arrow::array::AsArray::as_fixed_size_binary(column);
            let wanted = model::addr::mapped(exporter.into());
            rows += column.iter().flatten().filter(|address| *address == wanted).count() as u64;
            Ok(())
        })?;
        Ok(rows)
    }

    fn counted(&self, exporter: Ipv4Addr) -> Result<u64> {
        let (mut sum, device) = (0, exporter.to_string());
        self.read(&["metrics.v1"], |record| {
            if record.header("rows") == Some("0") {
                return Ok(());
            }
            let (_, batch) = bus::frame::read(record, &self.bus.limits)?;
            let of = |row: &Metric| {
                let loss = ["exporter_lost", "exporter_missed"].contains(&row.metric.as_str());
                loss && row.device == device && row.entity.is_none()
            };
            let rows = Metric::from_batch(&batch)?;
            sum += rows.iter().filter(|row| of(row)).map(|row| row.value as u64).sum::<u64>();
            Ok(())
        })?;
        Ok(sum)
    }

    /// What stands on the log once something holds of it.
    fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let seen = self.seen()?;
            if holds(&seen) {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                bail!("{what}: not within {LIMIT:?}: {:?}", seen.outline());
            }
            std::thread::sleep(POLL * 5);
        }
    }

    fn seen(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut ids = BTreeMap::new();
        for (nth, source) in SOURCES.iter().enumerate() {
            let topic = self.bus.topic(source);
            let info = self.log.admin().describe(&topic)?.context("no topic")?;
            ids.insert(info.id, nth);
            for partition in 0..info.partitions {
                seen.parts.insert((nth, partition), Part::default());
            }
        }
        self.read(&SOURCES, |record| seen.input(&self.bus, record))?;
        self.read(&["partials.v1"], |record| seen.output(&ids, record))?;
        Ok(seen)
    }

    /// Topics from their beginning to what is committed now.
    fn read(&self, topics: &[&str], mut each: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        let mut reader = self.log.reader()?;
        let mut from = Vec::new();
        for name in topics.iter().map(|topic| self.bus.topic(topic)) {
            let info = self.log.admin().describe(&name)?.context("no topic")?;
            for partition in 0..info.partitions {
                from.push((name.clone(), partition, reader.range(&name, partition)?.0));
            }
        }
        reader.assign(&from)?;
        // A partition that is written to ends more than once.
        let mut open: BTreeSet<(String, u32)> =
            from.into_iter().map(|(topic, partition, _)| (topic, partition)).collect();
        while !open.is_empty() {
            match reader.poll(POLL)? {
                ReadEvent::Record(record) => each(&record)?,
                ReadEvent::End { topic, partition, .. } => {
                    open.remove(&(topic.to_string(), partition));
                }
                ReadEvent::Idle => {}
            }
        }
        Ok(())
    }
}

/// A message of an ingest instance.
#[derive(Clone, Debug)]
struct Word {
    offset: i64,
    instance: String,
    epoch: u64,
    /// Nothing older comes from this instance here.
    wm: i64,
    is_heartbeat: bool,
}

/// One partition of an input: what ingest said, and where rollup's time moved.
#[derive(Clone, Debug, Default)]
struct Part {
    words: Vec<Word>,
    /// Input offset → the watermark that rollup sent at it.
    moved: BTreeMap<i64, i64>,
}

/// The log, by topic and partition.
#[derive(Debug, Default)]
struct Seen {
    parts: BTreeMap<(usize, u32), Part>,
}

/// The time that rollup would say of a promise: a grace behind it, in whole seconds (DESIGN §4).
fn said_at(wm: i64) -> i64 {
    let graced = wm - 1_000;
    graced - graced.rem_euclid(1_000)
}

// === impl Seen ===

impl Seen {
    fn input(&mut self, bus: &BusConfig, record: &Record) -> Result<()> {
        let nth = SOURCES.iter().position(|source| bus.topic(source) == *record.topic);
        let name: Name = record.header("name").context("no name")?.parse()?;
        let Writer::Instance { instance, epoch, .. } = name.writer else {
            return Ok(());
        };
        let is_heartbeat = record.header("schema") == Some(bus::meta::HEARTBEAT);
        let wm = record.header("wm").context("no watermark")?.parse()?;
        let word = Word { offset: record.offset, instance, epoch, wm, is_heartbeat };
        let place = (nth.context("another topic")?, record.partition);
        self.parts.entry(place).or_default().words.push(word);
        Ok(())
    }

    fn output(&mut self, ids: &BTreeMap<String, usize>, record: &Record) -> Result<()> {
        let name: Name = record.header("name").context("no name")?.parse()?;
        let Writer::Task { topic_id, partition, .. } = name.writer else {
            return Ok(());
        };
        let nth = ids.get(&topic_id).context("another source")?;
        let part = self.parts.entry((*nth, partition)).or_default();
        if let Some(wm) = record.header("wm") {
            let moved = part.moved.entry(name.offset).or_insert(i64::MIN);
            *moved = wm.parse::<i64>()?.max(*moved);
        }
        Ok(())
    }

    /// For a failure's message: messages, the last one's offset, the one with which time moved
    /// last, and by how much `a` promises more than `b`, in ms.
    fn outline(&self) -> Vec<(usize, u32, usize, Option<i64>, Option<i64>, Option<i64>)> {
        let of = |((nth, partition), part): (&(usize, u32), &Part)| {
            let last = part.words.last().map(|word| word.offset);
            let moved = part.moved.last_key_value().map(|(offset, _)| *offset);
            (*nth, *partition, part.words.len(), last, moved, part.lead_ms())
        };
        self.parts.iter().map(of).collect()
    }
}

// === impl Part ===

impl Part {
    fn has_time(&self) -> bool {
        self.moved.len() > 3
    }

    /// By how much the last promise of `a` is above that of `b`.
    fn lead_ms(&self) -> Option<i64> {
        let last = |instance: &str| self.words.iter().rfind(|word| word.instance == instance);
        Some(last("a")?.wm - last("b")?.wm)
    }

    /// Whether both promise the same but for a beat or two: one that is behind holds time back in
    /// its own name.
    fn is_abreast(&self) -> bool {
        self.lead_ms().is_some_and(|lead| lead.abs() <= ABREAST_MS)
    }

    /// The offset at which time first passed a promise, as rollup said it.
    fn passed(&self, wm: i64) -> Option<i64> {
        self.moved.iter().find(|(_, moved)| **moved > wm).map(|(offset, _)| *offset)
    }

    /// Heartbeats of others for which time stood still behind an instance that died: those that
    /// promised more than its last word, to the message with which time passed that.
    fn gone_on_without(&self, dead: &str) -> Option<usize> {
        let last = self.words.iter().rfind(|word| word.instance == dead)?;
        let passed = self.passed(last.wm)?;
        let between = |word: &&Word| word.offset > last.offset && word.offset <= passed;
        let beats = self.words.iter().filter(between).filter(|word| word.is_heartbeat);
        Some(beats.filter(|word| said_at(word.wm) > last.wm).count())
    }

    /// Whether time passed the promise of an instance's last run with the first word of its next.
    fn gone_on_with_successor(&self, instance: &str) -> Option<bool> {
        let own = || self.words.iter().filter(|word| word.instance == instance);
        let epoch = own().map(|word| word.epoch).max()?;
        let first = own().find(|word| word.epoch == epoch)?;
        let last = own().rfind(|word| word.epoch < epoch)?;
        Some(self.passed(last.wm)? == first.offset)
    }
}
