//! `gannet demo`: the simulated network with a fault, and every stage, in one process and in
//! memory. The network's last minutes go first, in simulated receive time, so that the models have
//! a past; then it lives. The configuration is the shipped one; nothing is read or written but the
//! terminal and loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::Log;
use clap::Args;
use runtime::config::Loaded;
use runtime::process::StageThread;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use sim::Pace;
use sim::net::{Fault, Net, Params, Placed, ServeOptions, Sockets};

use crate::config::{Config, Stage};
use crate::network::word;
use crate::run::run_with;
use crate::stages::Addresses;
use crate::{inventory, shipped, simnet};

mod story;
mod tell;

pub use story::{Ending, Story};

/// Seconds of network time before the demo begins. The flood rule is usable after 60 s.
const HISTORY_S: u64 = 120;
/// Seconds of live traffic before the fault.
const CALM_S: u64 = 5;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// What breaks: link-down, saturation, cpu, flapping, syn-flood, silent-exporter, cut,
    /// group-down, node-down or none
    #[arg(long, default_value = "link-down", value_parser = word::<Fault>)]
    fault: Fault,
    /// The same seed makes the same network, and breaks it at the same place
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Approve the plan in the person's place, as `gannet approve` would
    #[arg(long)]
    approve: bool,
    /// End when the repair has ended: 0 where it is verified, 1 where it is not
    #[arg(long)]
    exit_after_repair: bool,
    /// Devices accept a repair and do not do it
    #[arg(long)]
    deaf: bool,
    /// End after this time, whatever happened (`10m`)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    end_after: Option<Duration>,
    /// Write how it went to a file, as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Write what is true of this run to a file, as JSON lines; no stage reads it
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let begun = Instant::now();
    let sockets = Sockets::bind(0, 0).context("cannot bind the simulated devices")?;
    let bound = sockets.bound;
    let loaded = configuration(bound.command_port)?;
    let config = loaded.value.clone();
    let mut net = Net::new(params(args, bound.snmp_port));
    let story = Story {
        begun,
        patience: story::patience(args.fault),
        approve: args.approve,
        ending: match (args.end_after, args.exit_after_repair) {
            (Some(after), _) => Ending::After(after),
            (None, true) => Ending::AfterRepair,
            (None, false) => Ending::WhenTold,
        },
        summary: args.summary.clone(),
    };
    simnet::write_truth(args.truth.as_deref(), &net)?;
    tell::opening(&net, args.fault, CALM_S);
    run_with(loaded, &Stage::ALL, &Shutdown::new(), |log, addresses| {
        let to = destinations(addresses)?;
        let live_ms = net.params().start_ms + HISTORY_S as i64 * 1_000;
        past(&config, &**log, &mut net, live_ms)?;
        let (log, page) = (Arc::clone(log), addresses.pages.clone().unwrap_or_default());
        Ok(vec![
            StageThread::new("network", move |shutdown| live(sockets, net, to, live_ms, &shutdown)),
            StageThread::new("story", move |shutdown| story.tell(&*log, &config, &page, &shutdown)),
        ])
    })
}

/// The shipped configuration, with the simulated devices' own port.
pub(crate) fn configuration(command_port: u16) -> Result<Loaded<Config>> {
    shipped::in_memory(&[("GANNET__DRIVERS__SIM__PORT", command_port.to_string())])
}

fn params(args: &DemoArgs, snmp_port: u16) -> Params {
    let after_s = HISTORY_S + CALM_S;
    let placed = Placed { fault: args.fault, after_s, for_s: None, at: None };
    Params {
        seed: args.seed,
        start_ms: SystemClock::default().wall_ms() - HISTORY_S as i64 * 1_000,
        faults: if args.fault == Fault::None { Vec::new() } else { vec![placed] },
        deaf: args.deaf,
        snmp_port,
        ..Params::default()
    }
}

/// Where the network sends its flows and its syslog.
#[derive(Clone, Copy)]
struct Destinations {
    flows: SocketAddr,
    syslog: SocketAddr,
}

fn destinations(addresses: &Addresses) -> Result<Destinations> {
    let of = |scheme: &str| {
        let mut found = addresses.listeners.iter().filter_map(|name| name.strip_prefix(scheme));
        let address = found.next().with_context(|| format!("nobody listens on {scheme}"))?;
        address.parse().with_context(|| format!("no address: {address}"))
    };
    Ok(Destinations { flows: of("udp://")?, syslog: of("syslog+udp://")? })
}

/// The inventory, and what the network did before it is live.
fn past(config: &Config, log: &dyn Log, net: &mut Net, until_ms: i64) -> Result<()> {
    let known = inventory::load_text("the simulated network's inventory", &net.inventory())?;
    inventory::apply(log, config, &known, net.params().start_ms)?;
    simnet::feed(config, log, net, until_ms, &Shutdown::new())
}

fn live(
    sockets: Sockets,
    net: Net,
    to: Destinations,
    origin_ms: i64,
    shutdown: &Shutdown,
) -> Result<()> {
    let options =
        ServeOptions { flows_to: to.flows, syslog_to: to.syslog, ..ServeOptions::default() };
    // What the past took to feed leaves at once, so that its time is the clock's again.
    let pace = Pace { origin_ms: SystemClock::default().wall_ms().max(origin_ms), speed: 1.0 };
    let served = sockets.serve(net, options, pace, Arc::new(AtomicBool::new(false)))?;
    shutdown.wait(Duration::MAX);
    served.stop();
    Ok(())
}
