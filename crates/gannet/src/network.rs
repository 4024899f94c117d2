//! `gannet sim`: the simulated network. Live, its exporters send over loopback sockets; with
//! `--history` its past goes through ingest's own decoders onto the log, in simulated receive time
//! (DESIGN §4), so that models have seen days before the first minute is over.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::Log;
use bus::config::Engine;
use clap::Args;
use ingest::IngestFeed;
use runtime::process::{StageThread, handle_signals};
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use serde::de::DeserializeOwned;
use sim::{Datagrams, Kind, Pace, Params, Scenario};

use crate::cli::ConfigArgs;
use crate::config::{self, Config, Stage};
use crate::run::run_with;

/// What is fed must be on the log before the feed ends.
pub(crate) const FEED_LIMIT: Duration = Duration::from_secs(60);
/// Below that of every live instance, which takes the wall clock as its epoch.
pub(crate) const FEED_EPOCH: u64 = 1;
/// The embedded log's records where the configuration sets no limit: the feed is faster than the
/// stages, and waits while the log is full of what they have not read.
const HISTORY_LOG_BYTES: u64 = 2 << 30;
/// Between two heartbeats of simulated time; a reader fills the seconds between (`task::stamp`).
const HISTORY_HEARTBEAT_MS: i64 = 10_000;

#[derive(Debug, Args)]
pub struct SimArgs {
    /// What happens: benign, quiet, flood, crowd or silence
    #[arg(long, default_value = "benign", value_parser = word::<Kind>)]
    kind: Kind,
    /// The same seed makes the same network
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the exporters send their flows
    #[arg(long, default_value = "127.0.0.1:2055")]
    to: SocketAddr,
    /// Flow records a second over all exporters, averaged over a working day
    #[arg(long, default_value_t = 1_000.0)]
    flows_per_s: f64,
    /// Seconds from the start to the event, for the kinds that have one
    #[arg(long, default_value_t = 90)]
    event_after: u64,
    /// Write what is true of this run to a file, as JSON lines; no stage reads it
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Send so much of the past to the log (`14d`, `6h`) instead of the present to sockets; on the
    /// embedded log every stage runs in this process
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    history: Option<Duration>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: SimArgs) -> Result<()> {
    match args.history {
        None => live(&args),
        Some(past) => history(&args, past),
    }
}

/// Feeds what the network sent before `until_ms` through ingest's engine, in simulated receive
/// time; gives back the rest of the stream, and how many flows were fed. Ends early where it is
/// told to.
pub fn feed(
    config: &Config,
    log: &dyn Log,
    scenario: &Scenario,
    until_ms: i64,
    shutdown: &Shutdown,
) -> Result<(Datagrams, u64)> {
    let (ingest, bus, instance) = (&config.ingest, &config.bus, config.instance());
    let start_ms = scenario.params().start_ms;
    let mut feed = IngestFeed::new(ingest, log, bus, &instance, FEED_EPOCH, start_ms)?;
    let (mut stream, mut flows) = (scenario.datagrams(), 0);
    for datagram in stream.by_ref() {
        flows += u64::from(datagram.flows);
        feed.datagram(datagram.time_ms, IpAddr::V4(datagram.exporter), &datagram.bytes)?;
        if datagram.time_ms >= until_ms || shutdown.requested() {
            break;
        }
    }
    feed.finish(FEED_LIMIT)?;
    Ok((stream, flows))
}

/// Sends over real sockets, paced by the clock, until the stream's end or the shutdown.
pub fn send(live: Datagrams, to: SocketAddr, shutdown: &Shutdown) -> Result<sim::Sent> {
    let pace = Pace { origin_ms: SystemClock::default().wall_ms(), speed: 1.0 };
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        scope.spawn(|| {
            shutdown.wait(Duration::MAX);
            stop.store(true, Ordering::Relaxed);
        });
        let sent = sim::send(live, to, pace, &stop);
        // The watcher must end too, when the network has ended by itself.
        shutdown.request();
        sent
    })?;
    Ok(sent)
}

fn live(args: &SimArgs) -> Result<()> {
    let shutdown = Shutdown::new();
    handle_signals(shutdown.clone())?;
    let scenario = scenario(args, SystemClock::default().wall_ms());
    write_truth(args, &scenario)?;
    println!(
        "{:?} traffic of seed {} goes to udp://{}, Ctrl-C ends",
        args.kind, args.seed, args.to
    );
    let total = send(scenario.datagrams(), args.to, &shutdown)?.total();
    println!("sent {} flows in {} datagrams", total.flows, total.datagrams);
    Ok(())
}

fn history(args: &SimArgs, past: Duration) -> Result<()> {
    let mut loaded = config::load(&args.config.config)?;
    let config = &mut loaded.value;
    config.ingest.heartbeat_ms = HISTORY_HEARTBEAT_MS;
    let embedded = &mut config.bus.embedded;
    if embedded.bytes_max == 0 && embedded.path.is_some() {
        embedded.bytes_max = HISTORY_LOG_BYTES;
    }
    let stages: &[Stage] = match config.bus.engine {
        Engine::Embedded => &[Stage::Detect, Stage::Correlate],
        Engine::Kafka => &[],
    };
    let now_ms = SystemClock::default().wall_ms();
    let past_ms = i64::try_from(past.as_millis()).context("the history is too long")?;
    let scenario = scenario(args, now_ms.saturating_sub(past_ms));
    write_truth(args, &scenario)?;
    let (config, ends_itself) = (config.clone(), stages.is_empty());
    run_with(loaded, stages, &Shutdown::new(), |log, _| {
        let log = std::sync::Arc::clone(log);
        Ok(vec![StageThread::new("history", move |shutdown| {
            let (_, flows) = feed(&config, &*log, &scenario, now_ms, &shutdown)?;
            println!("the past {} s are on the log: {flows} flows", past.as_secs());
            if ends_itself {
                shutdown.request();
            } else {
                println!("the stages work on them, Ctrl-C ends");
            }
            // A thread that ends ends the process: wait for the word.
            shutdown.wait(Duration::MAX);
            anyhow::Ok(())
        })])
    })
}

fn scenario(args: &SimArgs, start_ms: i64) -> Scenario {
    let (flows_per_s, event_after_s) = (args.flows_per_s, args.event_after);
    let params = Params { start_ms, flows_per_s, event_after_s, ..Params::default() };
    Scenario::new(args.seed, args.kind, params)
}

fn write_truth(args: &SimArgs, scenario: &Scenario) -> Result<()> {
    match &args.truth {
        Some(path) => Ok(sim::service::write_truth(path, scenario.truth())?),
        None => Ok(()),
    }
}

/// One of the words that a type is written in.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| e.to_string())
}
