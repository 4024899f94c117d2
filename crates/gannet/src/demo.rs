//! `gannet demo`: a simulated network with a SYN flood and every stage, in one process and in
//! memory. The network's last minutes go first, in simulated receive time, so that the models have
//! a past; then it sends live. Nothing is read or written but the terminal and loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::Log;
use clap::Args;
use ingest::IngestFeed;
use runtime::config::{ConfigSource, Loaded, load};
use runtime::process::StageThread;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use sim::Pace;

use crate::config::{Config, Stage};
use crate::run::run_with;

mod story;

/// The shipped rules: the demo reads no file.
const RULES: &str = include_str!("../../../config/rules.yaml");

/// Seconds of network time before the demo begins. The flood rule is usable after 60 s.
const HISTORY_S: u64 = 300;
/// Seconds of live traffic before the flood.
const CALM_S: u64 = 8;
/// The past must be on the log before the stages begin.
const FEED_LIMIT: Duration = Duration::from_secs(20);
/// Below that of every live instance, which takes the wall clock as its epoch.
const FEED_EPOCH: u64 = 1;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The same seed makes the same network
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let begun = Instant::now();
    let loaded = configuration()?;
    let config = loaded.value.clone();
    let scenario = scenario(args.seed);
    story::opening(&scenario, CALM_S);
    let shutdown = Shutdown::new();
    run_with(loaded, &Stage::ALL, &shutdown, |log, addresses| {
        let address = addresses.first().and_then(|a| a.trim_start_matches("udp://").parse().ok());
        let to: SocketAddr = address.context("no address to send flows to")?;
        let live = past(&config, &**log, &scenario)?;
        story::past(begun.elapsed(), HISTORY_S);
        let (log, topic) = (Arc::clone(log), config.bus.topic("incidents.v1"));
        Ok(vec![
            StageThread::new("network", move |shutdown| network(live, to, &shutdown)),
            StageThread::new("story", move |shutdown| {
                story::tell(&*log, &topic, begun, &shutdown)
            }),
        ])
    })
}

/// Ports of the kernel's choice on loopback, logs only of what goes wrong.
pub(crate) fn configuration() -> Result<Loaded<Config>> {
    let indented: String = RULES.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "instance: demo\n\
         admin: {{ listen: '127.0.0.1:0' }}\n\
         telemetry: {{ log: warn }}\n\
         bus: {{ engine: embedded }}\n\
         ingest: {{ listen: ['udp://127.0.0.1:0'], sockets: 1 }}\n\
         detect:\n  rules:\n{indented}"
    );
    Ok(load(ConfigSource::text("the demo's configuration", &text))?)
}

fn scenario(seed: u64) -> sim::Scenario {
    let params = sim::Params {
        start_ms: SystemClock::default().wall_ms() - HISTORY_S as i64 * 1_000,
        event_after_s: HISTORY_S + CALM_S,
        ..sim::Params::default()
    };
    sim::Scenario::new(seed, sim::Kind::Flood, params)
}

/// Feeds what the network sent before now through ingest, in simulated receive time; gives back the
/// rest of the stream.
fn past(config: &Config, log: &dyn Log, scenario: &sim::Scenario) -> Result<sim::Datagrams> {
    let now_ms = SystemClock::default().wall_ms();
    let start_ms = scenario.params().start_ms;
    let instance = config.instance();
    let mut feed =
        IngestFeed::new(&config.ingest, log, &config.bus, &instance, FEED_EPOCH, start_ms)?;
    let mut stream = scenario.datagrams();
    for datagram in stream.by_ref() {
        feed.datagram(datagram.time_ms, IpAddr::V4(datagram.exporter), &datagram.bytes)?;
        if datagram.time_ms >= now_ms {
            break;
        }
    }
    feed.finish(FEED_LIMIT)?;
    Ok(stream)
}

fn network(live: sim::Datagrams, to: SocketAddr, shutdown: &Shutdown) -> Result<()> {
    let pace = Pace { origin_ms: SystemClock::default().wall_ms(), speed: 1.0 };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            shutdown.wait(Duration::MAX);
            stop.store(true, Ordering::Relaxed);
        });
        let sent = sim::send(live, to, pace, &stop);
        // The watcher must end too, when the network has ended by itself.
        shutdown.request();
        sent
    })?;
    Ok(())
}
