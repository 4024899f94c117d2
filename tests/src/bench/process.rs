//! One measured run as a process of its own, so that its CPU time and its memory are its own and
//! not the broker's or the other runs'. Stages run until standard input ends; then it prints what
//! it used.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::config::{BusConfig, Engine};
use bus::{KafkaLog, Log, ReadEvent, Reader, Record};
use detect::{DetectConfig, RollupStage, RuleSet, ScoreStage, Topics, check_rules};
use runtime::shutdown::Shutdown;
use runtime::task::{LoopOptions, Stage, run};
use serde::{Deserialize, Serialize};

use super::machine;

/// The research's query, with the model that watches its result on top.
pub const QUERY: &str = "
- name: load
  from: flows
  window: { size: 60s }
  key: [dst_addr]
  sql: |
    SELECT dst_addr, count(*) AS flows, sum(bytes_scaled) AS bytes, sum(packets_scaled) AS packets,
           max(bytes_scaled) AS largest
    FROM flows GROUP BY dst_addr
  watch: [{ value: bytes, models: [level] }]
";
const SHIPPED: &str = include_str!("../../../config/rules.yaml");

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Records as the log's client gives them.
    Read,
    /// And their columns, those that the query needs.
    Decode,
    /// The partial half: flows to partials, exactly once.
    Rollup,
    /// Both halves: flows to signals and evidence, exactly once.
    All,
    /// A plain consumer of JSON rows that counts and sums in a hash table, at least once.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rules {
    Query,
    Shipped,
}

/// What a process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    #[arg(long)]
    pub part: Part,
    #[arg(long)]
    pub rules: Rules,
    #[arg(long)]
    pub bootstrap: String,
    /// Of the topics that are written, and of groups.
    #[arg(long)]
    pub prefix: String,
    /// Of the topics that are read.
    #[arg(long)]
    pub input: String,
    #[arg(long)]
    pub partitions: u32,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Used {
    pub cpu_s: f64,
    pub peak_mb: f64,
    /// What a run that ends by itself has read.
    pub rows: u64,
}

// === impl Rules ===

impl Rules {
    pub fn text(self) -> &'static str {
        match self {
            Rules::Query => QUERY,
            Rules::Shipped => SHIPPED,
        }
    }
}

/// The configuration of a client of the test's broker.
pub fn config(bootstrap: &str, prefix: &str) -> BusConfig {
    let mut config = BusConfig { engine: Engine::Kafka, ..BusConfig::default() };
    config.prefix = prefix.to_owned();
    config.kafka.bootstrap = bootstrap.to_owned();
    config
}

pub fn main(args: &BenchArgs) -> Result<()> {
    let log: Arc<dyn Log> = Arc::new(KafkaLog::open(&config(&args.bootstrap, &args.prefix))?);
    let rules = check_rules(args.rules.text()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let begun = machine::cpu_s();
    let rows = match args.part {
        Part::Read => read(args, &*log, |_| Ok(()))?,
        Part::Decode => decode(args, &*log)?,
        Part::Json => json(args, &*log)?,
        Part::Rollup | Part::All => stages(args, &log, Arc::new(rules)).map(|()| 0)?,
    };
    let used = Used { cpu_s: machine::cpu_s() - begun, peak_mb: machine::peak_mb(), rows };
    println!("{}", serde_json::to_string(&used)?);
    Ok(())
}

/// The topics of a run: it shares its input with the others.
pub fn topics(args: &BenchArgs) -> Topics {
    let input = Topics::new(&args.input, args.partitions);
    let (flows, metrics, events) = (input.flows, input.metrics, input.events);
    Topics { flows, metrics, events, ..Topics::new(&args.prefix, args.partitions) }
}

fn stages(args: &BenchArgs, log: &Arc<dyn Log>, rules: Arc<RuleSet>) -> Result<()> {
    let topics = topics(args);
    let detect = DetectConfig::default();
    let rollup = RollupStage::new(Arc::clone(&rules), topics.clone(), &detect, "bench");
    let shutdown = Shutdown::new();
    let mut threads = vec![start(log, &args.prefix, rollup, &shutdown)];
    if args.part == Part::All {
        threads.push(start(log, &args.prefix, ScoreStage::new(rules, topics, "bench"), &shutdown));
    }
    // Whoever watches the output closes it.
    std::io::stdin().read_to_end(&mut Vec::new()).context("failed to wait for the end")?;
    shutdown.request();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a stage panicked"))??;
    }
    Ok(())
}

/// A stage's loop on a thread of its own, with the shipped options.
pub fn start<S: Stage + 'static>(
    log: &Arc<dyn Log>,
    prefix: &str,
    stage: S,
    shutdown: &Shutdown,
) -> std::thread::JoinHandle<Result<()>> {
    let snapshots = format!("{prefix}snapshots.{}.v1", stage.name());
    let (log, shutdown) = (Arc::clone(log), shutdown.clone());
    std::thread::spawn(move || {
        let report = run(log, stage, LoopOptions::new("bench", &snapshots), &shutdown)?;
        anyhow::ensure!(report.dead_letters == 0, "{report:?}");
        anyhow::Ok(())
    })
}

/// From the first record to the end of each partition; how many rows they hold.
fn read(
    args: &BenchArgs,
    log: &dyn Log,
    mut each: impl FnMut(&Record) -> Result<()>,
) -> Result<u64> {
    let topic = topics(args).flows;
    let mut reader = whole(log, &topic, args.partitions)?;
    let mut rows = 0;
    to_the_end(reader.as_mut(), args.partitions, |record| {
        rows += record.header("rows").and_then(|text| text.parse().ok()).unwrap_or(0);
        each(record)
    })?;
    Ok(rows)
}

/// A reader of all of a topic.
pub fn whole(log: &dyn Log, topic: &str, partitions: u32) -> Result<Box<dyn Reader>> {
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    for partition in 0..partitions {
        from.push((topic.to_owned(), partition, reader.range(topic, partition)?.0));
    }
    reader.assign(&from)?;
    Ok(reader)
}

fn to_the_end(
    reader: &mut dyn Reader,
    partitions: u32,
    mut each: impl FnMut(&Record) -> Result<()>,
) -> Result<()> {
    let mut left = partitions;
    let mut heard = Instant::now();
    while left > 0 {
        match reader.poll(Duration::from_millis(200))? {
            ReadEvent::Record(record) => {
                heard = Instant::now();
                each(&record)?;
            }
            ReadEvent::End { .. } => left -= 1,
            ReadEvent::Idle => anyhow::ensure!(heard.elapsed().as_secs() < 60, "nothing comes"),
        }
    }
    Ok(())
}

fn decode(args: &BenchArgs, log: &dyn Log) -> Result<u64> {
    let wanted = ["domain", "received", "dst_addr", "bytes_scaled", "packets_scaled"];
    let limits = model::ipc::Limits::default();
    let mut found = 0;
    let rows = read(args, log, |record| {
        let payload = record.payload.as_ref().context("a tombstone")?;
        let batch = model::ipc::decode_columns(payload, limits, &|name| wanted.contains(&name))?;
        found += batch.num_rows() as u64;
        Ok(())
    })?;
    anyhow::ensure!(found == rows, "{found} rows where the headers say {rows}");
    Ok(rows)
}

/// What the query needs of a row of JSON.
#[derive(Deserialize)]
struct Row<'a> {
    received: &'a str,
    dst_addr: &'a str,
    bytes_scaled: u64,
    packets_scaled: u64,
}

#[derive(Default)]
struct Sums {
    flows: u64,
    bytes: u64,
    packets: u64,
    largest: u64,
}

fn json(args: &BenchArgs, log: &dyn Log) -> Result<u64> {
    let mut sums: HashMap<(String, String), Sums> = HashMap::new();
    let mut rows = 0;
    let topic = format!("{}json", args.input);
    let mut reader = whole(log, &topic, 1)?;
    to_the_end(reader.as_mut(), 1, |record| {
        let row: Row<'_> = serde_json::from_slice(record.payload.as_ref().context("a tombstone")?)?;
        rows += 1;
        // The text to the minute is the window.
        let minute = row.received.get(..16).context("a time")?;
        let sums = sums.entry((row.dst_addr.to_owned(), minute.to_owned())).or_default();
        sums.flows += 1;
        sums.bytes += row.bytes_scaled;
        sums.packets += row.packets_scaled;
        sums.largest = sums.largest.max(row.bytes_scaled);
        Ok(())
    })?;
    let counted: u64 = sums.values().map(|sums| sums.flows).sum();
    anyhow::ensure!(counted == rows, "{counted} rows counted of {rows}");
    Ok(rows)
}
