//! Rows per CPU second from Kafka, exactly once: the input is written once, then each part runs
//! over it in a process of its own. Beside each figure stand the machine's load and the process's
//! peak of memory; the parts say what limits.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::topics::TopicSpec;
use bus::{BusConfig, KafkaLog, Log, ReadEvent};

use super::input::{Input, MESSAGE_ROWS};
use super::machine;
use super::process::{BenchArgs, Part, Rules, Used, config, topics as topics_of, whole};

/// A run that takes longer has failed.
const RUN_MAX: Duration = Duration::from_secs(300);
/// What the baseline reads: it is slow.
const JSON_ROWS: u64 = 1_000_000;

/// What is run, by name.
const RUNS: [(&str, Part, Rules); 6] = [
    ("read only", Part::Read, Rules::Query),
    ("read and decode", Part::Decode, Rules::Query),
    ("the query, partial half", Part::Rollup, Rules::Query),
    ("the query, both halves", Part::All, Rules::Query),
    ("the shipped rules, both halves", Part::All, Rules::Shipped),
    ("JSON, a row a message, a hash table", Part::Json, Rules::Query),
];
const QUERY_RUN: usize = 3;

pub struct Bench {
    bootstrap: String,
    prefix: String,
    input: Input,
}

/// A process that is measured; gone when it is dropped.
struct Running(Child);

// === impl Bench ===

impl Bench {
    pub fn new(bootstrap: &str, rows: u64, partitions: u32, now_ms: i64) -> Bench {
        let rows = rows.div_ceil(MESSAGE_ROWS).max(1) * MESSAGE_ROWS;
        let mut input = Input { start_ms: 0, rows, partitions };
        // It ends before now: a broker refuses times in the future.
        input.start_ms = (now_ms - input.end_ms() - 60_000).div_euclid(60_000) * 60_000;
        let prefix = format!("bench{}.", std::process::id());
        Bench { bootstrap: bootstrap.to_owned(), prefix, input }
    }

    /// Prints a line a part.
    pub fn run(&self) -> Result<()> {
        let log = self.prepare()?;
        let mut rates = Vec::new();
        for (number, (name, part, rules)) in RUNS.into_iter().enumerate() {
            let prefix = format!("{}{number}.", self.prefix);
            let args = BenchArgs {
                part,
                rules,
                bootstrap: self.bootstrap.clone(),
                prefix,
                input: self.prefix.clone(),
                partitions: self.input.partitions,
            };
            let rate = self.part(&log, name, &args)?;
            rates.push(rate);
        }
        let ratio = rates[QUERY_RUN] / rates[RUNS.len() - 1];
        println!("  the query exactly once beside the JSON baseline: {ratio:.1} times");
        Ok(())
    }

    fn prepare(&self) -> Result<KafkaLog> {
        let settings = config(&self.bootstrap, &self.prefix);
        let log = KafkaLog::open(&settings)?;
        let sources = ["flows.v1", "metrics.v1", "events.v1"];
        let late = sources.map(|source| format!("{source}.late"));
        let dead = sources.map(|source| format!("{source}.dlq"));
        let names = sources.iter().map(|name| (*name).to_owned()).chain(late).chain(dead);
        self.make(&log, &settings, names)?;
        self.make(&log, &settings, std::iter::once("json".to_owned()))?;
        let begun = Instant::now();
        let bytes = self.input.write(&log, &self.prefix)?;
        let rows = self.input.rows;
        println!(
            "  input: {rows} rows in messages of {MESSAGE_ROWS}, 23 columns, {} bytes a row, lz4, \
             {} partition(s), written in {:.0} s",
            bytes / rows,
            self.input.partitions,
            begun.elapsed().as_secs_f64(),
        );
        let json = Input { rows: JSON_ROWS.min(rows), ..self.input };
        let bytes = json.write_json(&log, &format!("{}json", self.prefix))?;
        println!("  baseline: {} rows of JSON, {} bytes a row, lz4", json.rows, bytes / json.rows);
        Ok(log)
    }

    /// Topics that keep what was received in the past.
    fn make(
        &self,
        log: &KafkaLog,
        settings: &BusConfig,
        names: impl Iterator<Item = String>,
    ) -> Result<()> {
        for name in names {
            let keep = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
            let partitions = if name == "json" { 1 } else { self.input.partitions };
            let name = settings.topic(&name);
            log.admin().create(&TopicSpec { name, partitions, replication: 1, settings: keep })?;
        }
        Ok(())
    }

    /// Runs a part, prints its line; its rows per CPU second.
    fn part(&self, log: &KafkaLog, name: &str, args: &BenchArgs) -> Result<f64> {
        let begun = Instant::now();
        let used = match args.part {
            Part::Read | Part::Decode | Part::Json => Running::start(args)?.ended(),
            Part::Rollup | Part::All => self.staged(log, args),
        };
        let used = used.with_context(|| name.to_owned())?;
        let rows = if used.rows > 0 { used.rows } else { self.input.rows };
        let rate = rows as f64 / used.cpu_s.max(0.01);
        println!(
            "  {name:36} {:6.2} M rows per CPU second, {:5.1} s of CPU in {:5.1} s, \
             peak {:3.0} MB, load {}",
            rate / 1e6,
            used.cpu_s,
            begun.elapsed().as_secs_f64(),
            used.peak_mb,
            machine::load(),
        );
        Ok(rate)
    }

    /// Stages run until their output has reached the input's end.
    fn staged(&self, log: &KafkaLog, args: &BenchArgs) -> Result<Used> {
        let settings = config(&self.bootstrap, &args.prefix);
        let made = ["partials.v1", "partials.v1.dlq", "signals.v1", "evidence.v1"];
        let made = made.into_iter().chain(["snapshots.score.v1"]);
        self.make(log, &settings, made.map(str::to_owned))?;
        let topics = topics_of(args);
        let (topic, tasks) = match args.part {
            Part::Rollup => (topics.partials, 3 * args.partitions),
            _ => (topics.signals, args.partitions),
        };
        let mut running = Running::start(args)?;
        running.until(log, &topic, tasks as usize, self.input.end_ms())?;
        drop(running.0.stdin.take());
        running.ended()
    }
}

// === impl Running ===

impl Running {
    fn start(args: &BenchArgs) -> Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        let (part, rules) = (name(args.part), name(args.rules));
        command.args(["bench-process", "--part", &part, "--rules", &rules]);
        command.args(["--bootstrap", &args.bootstrap, "--prefix", &args.prefix]);
        command.args(["--input", &args.input, "--partitions", &args.partitions.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Running(command.spawn().context("failed to start a process to measure")?))
    }

    /// Waits until so many tasks have said on a topic's first partition that time has come to an
    /// end.
    fn until(&mut self, log: &KafkaLog, topic: &str, tasks: usize, end_ms: i64) -> Result<()> {
        let mut reader = whole(log, topic, 1)?;
        let mut reached: BTreeMap<String, i64> = BTreeMap::new();
        let deadline = Instant::now() + RUN_MAX;
        while reached.len() < tasks || reached.values().any(|at| *at < end_ms) {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended early: {status}");
            }
            anyhow::ensure!(Instant::now() < deadline, "{end_ms} not reached: {reached:?}");
            let ReadEvent::Record(record) = reader.poll(Duration::from_millis(100))? else {
                continue;
            };
            let (Some(name), Some(wm)) = (record.header("name"), record.header("wm")) else {
                continue;
            };
            let writer = name.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
            let at = reached.entry(writer).or_insert(i64::MIN);
            *at = wm.parse::<i64>()?.max(*at);
        }
        Ok(())
    }

    /// What it says it used, when it has ended.
    fn ended(mut self) -> Result<Used> {
        let out = self.0.stdout.take().context("it has no output")?;
        let mut last = String::new();
        for line in BufReader::new(out).lines() {
            last = line?;
        }
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(serde_json::from_str(&last)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone already is as wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
