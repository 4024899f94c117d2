//! `gannet demo`: a simulated network with a SYN flood and every stage, in one process and in
//! memory. The network's last minutes go first, in simulated receive time, so that the models have
//! a past; then it sends live. Nothing is read or written but the terminal and loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use runtime::config::{ConfigSource, Loaded, load};
use runtime::process::StageThread;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};

use crate::config::{Config, Stage};
use crate::network;
use crate::run::run_with;

mod story;

/// The shipped rules: the demo reads no file.
const RULES: &str = include_str!("../../../config/rules.yaml");

/// Seconds of network time before the demo begins. The flood rule is usable after 60 s.
const HISTORY_S: u64 = 300;
/// Seconds of live traffic before the flood.
const CALM_S: u64 = 8;

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
    let begin = shutdown.clone();
    run_with(loaded, &Stage::ALL, &shutdown, |log, addresses| {
        let address = addresses.first().and_then(|a| a.trim_start_matches("udp://").parse().ok());
        let to: SocketAddr = address.context("no address to send flows to")?;
        let now_ms = SystemClock::default().wall_ms();
        let (live, _) = network::feed(&config, &**log, &scenario, now_ms, &begin)?;
        story::past(begun.elapsed(), HISTORY_S);
        let (log, topic) = (Arc::clone(log), config.bus.topic("incidents.v1"));
        Ok(vec![
            StageThread::new("network", move |shutdown| {
                network::send(live, to, &shutdown).map(|_| ())
            }),
            StageThread::new("story", move |shutdown| story::tell(&*log, &topic, begun, &shutdown)),
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
