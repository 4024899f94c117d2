//! Part A: a crash before and after every call of the log's traits, in a run of three stages on the
//! log in memory; after each a restart, and the same committed output as without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::crash::Crashing;
use bus::topics::TopicSpec;
use bus::{Admin, EmbeddedLog, Log, LogError};
use runtime::shutdown::Shutdown;
use runtime::task::{LoopError, LoopOptions, Stage, run};

use super::idle::{TestClock, UntilIdle};
use super::input;
use super::mutant::{Mutant, Mutation};
use super::output::{Names, Output};
use super::toys::{Kind, ToyStage};

/// What part A found.
#[derive(Debug, Default)]
pub struct Found {
    pub points: u64,
    /// Crash points after which the output was another one, each with the difference.
    pub failures: Vec<String>,
    pub messages: usize,
    pub snapshots: u64,
}

const PARTITIONS: u32 = 2;
/// Two stages compare their outputs without names: their inputs' offsets depend on how the commits
/// of two tasks interleave.
const TOPICS: [(&str, Names); 6] = [
    ("partials", Names::Compared),
    ("flows.dlq", Names::Compared),
    ("evidence", Names::LeftOut),
    ("partials.dlq", Names::LeftOut),
    ("incidents", Names::LeftOut),
    ("evidence.dlq", Names::LeftOut),
];

/// Crashes at every point, on as many threads as there are cores.
pub fn every_point(mutation: Option<Mutation>, seconds: i64) -> Result<Found> {
    let whole = Bed::new(seconds)?;
    let counting = Crashing::new(whole.log.clone(), None);
    let snapshots =
        whole.run_all(mutated(counting.clone(), mutation)).context("without a crash")?;
    let wanted = whole.output()?;
    let points = counting.points();
    let mut found = Found { points, failures: Vec::new(), messages: wanted.messages, snapshots };
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
        let work = || work(&next, points, mutation, seconds, &wanted);
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
    });
    for result in results {
        found.failures.extend(result?);
    }
    Ok(found)
}

fn work(
    next: &AtomicU64,
    points: u64,
    mutation: Option<Mutation>,
    seconds: i64,
    wanted: &Output,
) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    loop {
        let point = next.fetch_add(1, Ordering::SeqCst);
        // One failure shows what a mutation does.
        if point > points || (mutation.is_some() && !failures.is_empty()) {
            return Ok(failures);
        }
        let at = crash_at(point, mutation, seconds, wanted);
        if let Some(failure) = at.with_context(|| format!("crash point {point}"))? {
            failures.push(format!("crash point {point}: {failure}"));
        }
    }
}

/// One run with a crash at a point, and its restart.
fn crash_at(
    point: u64,
    mutation: Option<Mutation>,
    seconds: i64,
    wanted: &Output,
) -> Result<Option<String>> {
    let bed = Bed::new(seconds)?;
    let crashing = Crashing::new(bed.log.clone(), Some(point));
    match bed.run_all(mutated(crashing, mutation)) {
        Ok(_) | Err(LoopError::Log(LogError::CrashPoint(_))) => {}
        Err(other) => return Err(other.into()),
    }
    bed.run_all(mutated(bed.log.clone(), mutation))?;
    let output = bed.output()?;
    if output.doubled > 0 {
        return Ok(Some(format!("{} outputs are doubled", output.doubled)));
    }
    Ok(wanted.difference(&output))
}

fn mutated(log: Arc<dyn Log>, mutation: Option<Mutation>) -> Arc<dyn Log> {
    match mutation {
        None => log,
        Some(mutation) => Arc::new(Mutant { log, mutation }),
    }
}

struct Bed {
    log: Arc<EmbeddedLog>,
    clock: Arc<TestClock>,
}

// === impl Bed ===

impl Bed {
    fn new(seconds: i64) -> Result<Bed> {
        let log = Arc::new(EmbeddedLog::in_memory()?);
        for topic in input::TOPICS {
            let (name, settings) = ((*topic).to_owned(), BTreeMap::new());
            log.create(&TopicSpec { name, partitions: PARTITIONS, replication: 1, settings })?;
        }
        input::write(&*log, "", PARTITIONS, seconds)?;
        Ok(Bed { log, clock: Arc::default() })
    }

    /// The three stages, each until its input is done. Says how many snapshots were written.
    fn run_all(&self, log: Arc<dyn Log>) -> Result<u64, LoopError> {
        let kinds = [Kind::Roll, Kind::Score, Kind::Case];
        kinds.into_iter().try_fold(0, |snapshots, kind| {
            let stage = ToyStage { kind, prefix: String::new() };
            Ok(snapshots + self.run(Arc::clone(&log), stage)?)
        })
    }

    fn run<S: Stage>(&self, log: Arc<dyn Log>, stage: S) -> Result<u64, LoopError> {
        let shutdown = Shutdown::new();
        let clock = Arc::clone(&self.clock);
        let mut options = LoopOptions::new("one", &format!("snapshots.{}", stage.name()));
        options.clock = self.clock.clone();
        options.snapshots.interval = Duration::from_millis(800);
        options.snapshots.input_share = 0;
        options.snapshots.part_bytes = 64;
        let log = Arc::new(UntilIdle { log, shutdown: shutdown.clone(), clock });
        run(log, stage, options, &shutdown).map(|report| report.snapshots)
    }

    fn output(&self) -> Result<Output> {
        let topics: Vec<(String, Names)> =
            TOPICS.iter().map(|(topic, names)| ((*topic).to_owned(), *names)).collect();
        Output::read(&*self.log, &topics)
    }
}
