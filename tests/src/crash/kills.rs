//! Part B: stages as processes on a real broker, killed with -9 or stopped for longer than their
//! session, aimed at their open transactions; restarted under their name, or taken over by another
//! instance. The output must be that of a run that nobody disturbed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus::kafka::KafkaLog;
use bus::{Log, OutRecord, ReadEvent, Reader};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::input;
use super::output::Output;
use super::process::{NARROW, ProcessArgs, config};
use super::stages::{Kind, Stages};
use super::story::Told;

/// What part B found.
#[derive(Debug, Default)]
pub struct Found {
    pub kills: u32,
    /// Kills between the beginning and the end of a commit.
    pub in_transaction: u32,
    pub lost: usize,
    pub doubled: usize,
    pub difference: Option<String>,
    pub messages: usize,
    /// From a kill to the end of its input at the end of the pipeline.
    pub slowest: Duration,
    pub slowest_shipped: Duration,
}

/// How often and with which timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kills: u32,
    /// The last of them with the shipped timeouts.
    pub shipped: u32,
    pub seed: u64,
}

/// Input seconds that each cycle feeds, and how fast.
const SECONDS: i64 = input::CYCLE_S;
const FEED_STEP: Duration = Duration::from_millis(60);
/// What a cycle need not have seen at the end of the pipeline: the grace, and the heartbeats that
/// time waits for the instance that dies.
const SLACK_S: i64 = 8;
/// Time at the pipeline's end may stand still for so long; then the run has failed.
const CYCLE_MAX: Duration = Duration::from_secs(90);

/// Session and transaction timeouts.
type Timeouts = (u64, u64);
const SHORT: Timeouts = (3_000, 2_000);
const SHIPPED: Timeouts = (12_000, 8_000);

/// What happens to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    /// Stopped for longer than its session, then woken beside its successor.
    Stop,
}

pub fn run(bootstrap: &str, plan: Plan) -> Result<Found> {
    let stamp = std::process::id();
    let cycles = i64::from(plan.kills) + 1;
    let golden = Pipeline::new(bootstrap, &format!("golden{stamp}."), cycles * SECONDS)?;
    let wanted = golden.undisturbed().context("the run that nobody disturbs")?;
    println!("    undisturbed: {} outputs: {:?}", wanted.messages, wanted.by_topic());
    let told = Told::of(&wanted.incidents()?);
    println!("    {told}");
    ensure!(told.is_whole(), "the map was of no use to correlate: {told}");
    let killed = Pipeline::new(bootstrap, &format!("killed{stamp}."), cycles * SECONDS)?;
    let mut found = killed.disturbed(plan)?;
    let output = killed.output()?;
    (found.lost, found.doubled) = wanted.lost_and_doubled(&output);
    found.doubled += output.doubled;
    // What rollup reads is the same offset by offset.
    found.difference = wanted.difference(&output, Kind::Rollup.name());
    found.messages = output.messages;
    Ok(found)
}

/// Three stages behind each other under a prefix of their own.
struct Pipeline {
    bootstrap: String,
    stages: Stages,
    log: Arc<KafkaLog>,
    /// The input, second by second.
    input: Vec<Vec<OutRecord>>,
}

// === impl Pipeline ===

impl Pipeline {
    fn new(bootstrap: &str, prefix: &str, seconds: i64) -> Result<Pipeline> {
        let args = args(bootstrap, prefix, Kind::Rollup, "setup", SHORT);
        let stages = Stages::new(config(&args))?;
        let log = Arc::new(KafkaLog::open(&stages.bus)?);
        for topic in stages.topics() {
            log.admin().create(&topic)?;
        }
        let input = input::by_second(&stages, seconds)?;
        Ok(Pipeline { bootstrap: bootstrap.to_owned(), stages, log, input })
    }

    fn args(&self, stage: Kind, instance: &str, timeouts: Timeouts) -> ProcessArgs {
        args(&self.bootstrap, &self.stages.bus.prefix, stage, instance, timeouts)
    }

    fn undisturbed(&self) -> Result<Output> {
        let mut stages = Vec::new();
        for stage in Kind::ALL {
            stages.push(Stage::start(self.args(stage, "only", SHORT))?);
        }
        let mut end = End::new(self)?;
        self.feed(0..self.input.len(), Duration::ZERO)?;
        end.wait_for(self.last_ms(self.input.len() as i64, 2), &mut stages)?;
        drop(stages);
        self.output()
    }

    fn disturbed(&self, plan: Plan) -> Result<Found> {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut found = Found::default();
        let mut stages = self.start_all("0", SHORT)?;
        let mut end = End::new(self)?;
        for cycle in 0..plan.kills {
            let shipped = cycle >= plan.kills - plan.shipped;
            if cycle == plan.kills - plan.shipped && shipped {
                drop(stages);
                stages = self.start_all("s", SHIPPED)?;
            }
            let timeouts = if shipped { SHIPPED } else { SHORT };
            let begun = self.cycle(cycle, timeouts, &mut stages, &mut random, &mut found)?;
            let wanted_ms = self.last_ms((i64::from(cycle) + 1) * SECONDS, SLACK_S);
            end.wait_for(wanted_ms, &mut stages).with_context(|| format!("cycle {cycle}"))?;
            let took = begun.elapsed();
            let slowest = if shipped { &mut found.slowest_shipped } else { &mut found.slowest };
            *slowest = took.max(*slowest);
        }
        let rest = plan.kills as usize * SECONDS as usize;
        self.feed(rest..self.input.len(), Duration::ZERO)?;
        end.wait_for(self.last_ms(self.input.len() as i64, 2), &mut stages)?;
        Ok(found)
    }

    fn start_all(&self, name: &str, timeouts: Timeouts) -> Result<Vec<Stage>> {
        Kind::ALL.iter().map(|kind| Stage::start(self.args(*kind, name, timeouts))).collect()
    }

    /// Feeds a piece of the input and strikes one stage while it works on it. Says when.
    fn cycle(
        &self,
        cycle: u32,
        timeouts: Timeouts,
        stages: &mut [Stage],
        random: &mut ChaCha8Rng,
        found: &mut Found,
    ) -> Result<Instant> {
        let from = cycle as usize * SECONDS as usize;
        let number = cycle as usize % Kind::ALL.len();
        let kind = Kind::ALL[number];
        let blow = if cycle / 3 % 2 == 0 { Blow::Kill } else { Blow::Stop };
        let takeover = cycle / 6 % 2 == 1;
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| self.feed(from..from + SECONDS as usize, FEED_STEP));
            let stage = &mut stages[number];
            let (commits, delay) = (random.random_range(1..4), random.random_range(0..12));
            stage.await_commit(commits, Duration::from_millis(delay));
            stage.signal(if blow == Blow::Kill { "KILL" } else { "STOP" })?;
            let begun = Instant::now();
            found.kills += 1;
            let hit = stage.was_committing();
            found.in_transaction += u32::from(hit);
            let instance = match takeover {
                true => format!("t{cycle}"),
                false => stage.args.instance.clone(),
            };
            println!(
                "    {cycle}: {} {blow:?}, {}, {}",
                kind.name(),
                if takeover { "taken over" } else { "restarted" },
                if hit { "in a transaction" } else { "between transactions" },
            );
            let next = Stage::start(self.args(kind, &instance, timeouts))?;
            let mut old = std::mem::replace(stage, next);
            if blow == Blow::Stop {
                // Its session and its transaction are over when it wakes.
                std::thread::sleep(Duration::from_millis(timeouts.0 * 3 / 2));
                old.signal("CONT")?;
                old.end_within(Duration::from_secs(2));
            }
            drop(old);
            feeding.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))??;
            stages[number].revive()?;
            Ok(begun)
        })
    }

    /// Writes some seconds of the input.
    fn feed(&self, seconds: std::ops::Range<usize>, step: Duration) -> Result<()> {
        let mut producer = self.log.producer("ingest", "input")?;
        for second in &self.input[seconds] {
            input::send(producer.as_mut(), second)?;
            std::thread::sleep(step);
        }
        Ok(())
    }

    /// The time that the pipeline's end must have reached after so many seconds of input.
    fn last_ms(&self, seconds: i64, slack_s: i64) -> i64 {
        input::START_MS + (seconds - slack_s) * 1_000
    }

    fn output(&self) -> Result<Output> {
        let mut ids = BTreeMap::new();
        for topic in self.stages.topics() {
            let found = self.log.admin().describe(&topic.name)?.context("a topic is gone")?;
            ids.insert(found.id, topic.name);
        }
        let output = Output::read(&*self.log, &self.stages.outputs())?;
        Ok(output.without_prefix(&self.stages.bus.prefix, &ids))
    }
}

fn args(
    bootstrap: &str,
    prefix: &str,
    stage: Kind,
    instance: &str,
    (session_ms, transaction_ms): Timeouts,
) -> ProcessArgs {
    ProcessArgs {
        stage,
        instance: instance.to_owned(),
        prefix: prefix.to_owned(),
        bootstrap: bootstrap.to_owned(),
        session_ms,
        transaction_ms,
    }
}

/// A stage's process.
struct Stage {
    args: ProcessArgs,
    child: Child,
    marks: Receiver<char>,
    committing: bool,
}

// === impl Stage ===

impl Stage {
    fn start(args: ProcessArgs) -> Result<Stage> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["stage-process", "--stage", args.stage.name(), "--instance", &args.instance]);
        command.args(["--prefix", &args.prefix, "--bootstrap", &args.bootstrap]);
        command.args(["--session-ms", &args.session_ms.to_string()]);
        command.args(["--transaction-ms", &args.transaction_ms.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if std::env::var_os("LAB_SHOW_STAGES").is_none() {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().context("failed to start a stage's process")?;
        let out = child.stdout.take().context("the process has no output")?;
        let (sender, marks) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Some(mark) = line.chars().next() else { continue };
                if sender.send(mark).is_err() {
                    return;
                }
            }
        });
        Ok(Stage { args, child, marks, committing: false })
    }

    /// Waits until so many commits have begun and a little longer; gives up after a while, since a
    /// stage may have nothing more to do.
    fn await_commit(&mut self, commits: u32, delay: Duration) {
        while let Ok(mark) = self.marks.try_recv() {
            self.committing = mark == 'B';
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut left = commits;
        while left > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.marks.recv_timeout(wait) {
                Ok(mark) => {
                    self.committing = mark == 'B';
                    left -= u32::from(mark == 'B');
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
        std::thread::sleep(delay);
    }

    /// Whether the last mark was the beginning of a commit: its process is gone or stopped.
    fn was_committing(&mut self) -> bool {
        while let Ok(mark) = self.marks.recv_timeout(Duration::from_millis(50)) {
            self.committing = mark == 'B';
        }
        self.committing
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status()?;
        if status.success() { Ok(()) } else { bail!("kill -{name} {pid} failed") }
    }

    fn end_within(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again where it ended by itself.
    fn revive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let name = self.args.stage.name();
            println!("      {name} ended by itself ({status}), started again");
            *self = Stage::start(self.args.clone())?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A process that is gone already is as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of the pipeline: how far time has come in every task of the last stage.
struct End {
    reader: Box<dyn Reader>,
    reached: BTreeMap<String, i64>,
}

// === impl End ===

impl End {
    fn new(pipeline: &Pipeline) -> Result<End> {
        let mut reader = pipeline.log.reader()?;
        // Every task of the last stage beats into every partition.
        reader.assign(&[(pipeline.stages.bus.topic("incidents.v1"), 0, 0)])?;
        Ok(End { reader, reached: BTreeMap::new() })
    }

    /// Also starts stages again that end by themselves, as their supervisor would: a zombie that
    /// wakes with its successor's name may fence it, and be killed before it was heard of.
    fn wait_for(&mut self, ms: i64, stages: &mut [Stage]) -> Result<()> {
        let mut deadline = Instant::now() + CYCLE_MAX;
        let done = |reached: &BTreeMap<String, i64>| {
            reached.len() == NARROW as usize && reached.values().all(|at| *at >= ms)
        };
        while !done(&self.reached) {
            stages.iter_mut().try_for_each(Stage::revive)?;
            if Instant::now() > deadline {
                bail!("{ms} was not reached in {CYCLE_MAX:?}: {:?}", self.reached);
            }
            let ReadEvent::Record(record) = self.reader.poll(Duration::from_millis(100))? else {
                continue;
            };
            let (Some(name), Some(wm)) = (record.header("name"), record.header("wm")) else {
                continue;
            };
            let writer = name.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
            let reached = self.reached.entry(writer).or_insert(i64::MIN);
            let wm: i64 = wm.parse()?;
            if wm > *reached {
                *reached = wm;
                deadline = Instant::now() + CYCLE_MAX;
            }
        }
        Ok(())
    }
}
