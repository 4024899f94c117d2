//! Part A: a crash before and after every call of the log's traits, in a run of the three stages on
//! the log in memory; after each a restart, and the same committed output as without.
//!
//! A crash in a stage begins on the log as the stages before left it. What the crashed stage says
//! is compared with names, over an input that is the same offset by offset; what follows from it in
//! the stages behind without, since a crash changes how the messages of several tasks interleave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::config::Engine;
use bus::crash::Crashing;
use bus::{Admin, BusConfig, EmbeddedLog, Log, LogError, OutRecord, Record};
use model::rows::Incident;
use runtime::shutdown::Shutdown;
use runtime::task::{LoopError, LoopReport};

use super::idle::{TestClock, until_idle};
use super::input;
use super::mutant::{Mutation, mutant};
use super::output::{Output, all};
use super::stages::{Kind, Stages};

/// The run that nobody disturbs.
pub struct Reference {
    stages: Stages,
    /// All records before each stage runs.
    before: Vec<Vec<OutRecord>>,
    pub wanted: Output,
    /// By the stages that keep a state.
    pub snapshots: BTreeMap<&'static str, u64>,
    pub panics: u64,
}

/// What part A found.
#[derive(Debug, Default)]
pub struct Found {
    pub points: usize,
    /// Crash points after which the output was another one, each with the difference.
    pub failures: Vec<String>,
}

/// One crash: in which stage, at which point.
type Point = (Kind, u64);

const WIDE: u32 = 2;
const NARROW: u32 = 1;

/// What the three stages say of an input, undisturbed: every revision of every incident.
pub fn incidents(bus: &BusConfig, records: &[OutRecord]) -> Result<Vec<Incident>> {
    let bus = BusConfig { engine: Engine::Embedded, ..bus.clone() };
    let stages = Stages::new(bus)?;
    let bed = Bed::new(&stages, records)?;
    for kind in Kind::ALL {
        bed.run(kind, bed.log.clone()).context("without a crash")?;
    }
    bed.output()?.incidents()
}

// === impl Reference ===

impl Reference {
    pub fn new(seconds: i64) -> Result<Reference> {
        let mut bus = BusConfig::default();
        (bus.topics.partitions, bus.topics.partitions_other) = (WIDE, NARROW);
        let stages = Stages::new(bus)?;
        let records = input::by_second(&stages, seconds)?.concat();
        let bed = Bed::new(&stages, &records)?;
        let (mut before, mut snapshots, mut panics) = (Vec::new(), BTreeMap::new(), 0);
        for kind in Kind::ALL {
            before.push(bed.records()?);
            let report = bed.run(kind, bed.log.clone()).context("without a crash")?;
            if kind != Kind::Rollup {
                snapshots.insert(kind.name(), report.snapshots);
            }
            panics += report.panics;
        }
        let wanted = bed.output()?;
        Ok(Reference { stages, before, wanted, snapshots, panics })
    }

    /// Crashes at every point, on as many threads as there are cores.
    pub fn crash_everywhere(&self, mutation: Option<Mutation>) -> Result<Found> {
        let mut points = Vec::new();
        for kind in mutation.map_or(&Kind::ALL[..], Mutation::kinds) {
            points.extend((1..=self.points(*kind, mutation)?).map(|point| (*kind, point)));
        }
        let mut found = Found { points: points.len(), failures: Vec::new() };
        let (next, seen) = (AtomicUsize::new(0), AtomicBool::new(false));
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let results: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
            let work = || self.work(&points, &next, &seen, mutation);
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                handle.join().unwrap_or_else(|_| bail!("a stage's loop panicked"))
            };
            handles.into_iter().map(join).collect()
        });
        for result in results {
            found.failures.extend(result?);
        }
        Ok(found)
    }

    fn stages(&self, mutation: Option<Mutation>) -> Stages {
        self.stages.forgetting(mutation.and_then(Mutation::forgets))
    }

    fn points(&self, kind: Kind, mutation: Option<Mutation>) -> Result<u64> {
        let bed = Bed::new(&self.stages, &self.before[kind as usize])?;
        let counting = Crashing::new(bed.log.clone(), None);
        bed.run(kind, mutated(counting.clone(), mutation)).context("without a crash")?;
        Ok(counting.points())
    }

    fn work(
        &self,
        points: &[Point],
        next: &AtomicUsize,
        seen: &AtomicBool,
        mutation: Option<Mutation>,
    ) -> Result<Vec<String>> {
        let mut failures = Vec::new();
        while let Some((kind, point)) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
            // One failure shows what a mutation does.
            if mutation.is_some() && seen.load(Ordering::SeqCst) {
                break;
            }
            let at = format!("crash point {point} of {}", kind.name());
            let failed = self.crash_at((*kind, *point), mutation).with_context(|| at.clone())?;
            if let Some(failure) = failed {
                seen.store(true, Ordering::SeqCst);
                failures.push(format!("{at}: {failure}"));
            }
        }
        Ok(failures)
    }

    /// One run with a crash at a point, and its restart.
    fn crash_at(&self, (kind, at): Point, mutation: Option<Mutation>) -> Result<Option<String>> {
        let stages = self.stages(mutation);
        let bed = Bed::new(&stages, &self.before[kind as usize])?;
        let crashing = Crashing::new(bed.log.clone(), Some(at));
        match bed.run(kind, mutated(crashing, mutation)) {
            Ok(_) | Err(LoopError::Log(LogError::CrashPoint(_))) => {}
            Err(other) => return Err(other.into()),
        }
        for kind in &Kind::ALL[kind as usize..] {
            bed.run(*kind, mutated(bed.log.clone(), mutation))?;
        }
        let output = bed.output()?;
        if output.doubled > 0 {
            return Ok(Some(format!("{} outputs are doubled", output.doubled)));
        }
        Ok(self.wanted.difference(&output, kind.name()))
    }
}

fn mutated(log: Arc<dyn Log>, mutation: Option<Mutation>) -> Arc<dyn Log> {
    match mutation {
        None => log,
        Some(mutation) => Arc::new(mutant(log, mutation)),
    }
}

/// A log in memory with the stages that run on it.
struct Bed<'a> {
    stages: &'a Stages,
    log: Arc<EmbeddedLog>,
    clock: Arc<TestClock>,
}

// === impl Bed ===

impl Bed<'_> {
    fn new<'a>(stages: &'a Stages, records: &[OutRecord]) -> Result<Bed<'a>> {
        let log = Arc::new(EmbeddedLog::in_memory()?);
        for topic in stages.topics() {
            log.create(&topic)?;
        }
        input::send(log.producer("ingest", "input")?.as_mut(), records)?;
        Ok(Bed { stages, log, clock: Arc::default() })
    }

    /// A stage until its input is done.
    fn run(&self, kind: Kind, log: Arc<dyn Log>) -> Result<LoopReport, LoopError> {
        let shutdown = Shutdown::new();
        let clock = Arc::clone(&self.clock);
        let mut options = self.stages.options(kind, "one");
        options.clock = self.clock.clone();
        options.snapshots.interval = snapshots_every(kind);
        if kind == Kind::Score {
            // The state of a rule is more than one piece.
            options.snapshots.part_bytes = 1_000;
        }
        let log = Arc::new(until_idle(log, shutdown.clone(), clock));
        self.stages.run(kind, log, options, &shutdown)
    }

    fn output(&self) -> Result<Output> {
        Output::read(&*self.log, &self.stages.outputs())
    }

    /// All that stands on the log but snapshots, in the order of each partition.
    fn records(&self) -> Result<Vec<OutRecord>> {
        let mut records = Vec::new();
        for topic in self.stages.topics() {
            if !topic.name.contains("snapshots") {
                records.extend(all(&*self.log, &topic.name)?.into_iter().map(again));
            }
        }
        Ok(records)
    }
}

/// On the test's clock. Correlate runs behind a detect that has ended: all that it finds, it finds
/// within its last messages.
fn snapshots_every(kind: Kind) -> Duration {
    match kind {
        Kind::Correlate => Duration::from_millis(200),
        Kind::Rollup | Kind::Score => Duration::from_millis(1_500),
    }
}

fn again(record: Record) -> OutRecord {
    OutRecord {
        topic: record.topic,
        partition: record.partition,
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        headers: record.headers,
        payload: record.payload,
    }
}
