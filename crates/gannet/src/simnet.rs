//! `gannet network`: the simulated network of routers and switches. Live, it speaks SNMP, syslog
//! and flows at loopback addresses of its own, and breaks on command; its past can go through
//! ingest's own decoders first, in simulated receive time. The inventory that it writes is what an
//! operator would know of it. Nothing of it knows Gannet.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::Log;
use clap::Args;
use ingest::IngestFeed;
use runtime::process::handle_signals;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use sim::Pace;
use sim::net::{Fault, Net, Output, Params, Placed, ServeOptions, Sockets};

use crate::config::Config;
use crate::network::{FEED_EPOCH, FEED_LIMIT, word};

/// How finely a fed past is polled and told: a device's due times are met within it.
const FEED_STEP_MS: i64 = 100;

#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// What breaks: none, link-down, cut, group-down, saturation, cpu, flapping, syn-flood,
    /// silent-exporter or node-down
    #[arg(long, default_value = "none", value_parser = word::<Fault>)]
    fault: Fault,
    /// Seconds from the start to the fault
    #[arg(long, default_value_t = 60)]
    after: u64,
    /// The same seed makes the same network, and breaks it at the same place
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Devices accept a repair and do not do it
    #[arg(long)]
    deaf: bool,
    /// Where the devices send their flows
    #[arg(long, default_value = "127.0.0.1:2055")]
    flows_to: SocketAddr,
    /// Where the devices send their syslog
    #[arg(long, default_value = "127.0.0.1:5514")]
    syslog_to: SocketAddr,
    /// UDP port of every device's SNMP agent; 0: one that is free
    #[arg(long, default_value_t = 1161)]
    snmp_port: u16,
    /// TCP port of every device's command line; 0: one that is free
    #[arg(long, default_value_t = 2323)]
    command_port: u16,
    /// Write the network's inventory there, for `gannet inventory apply`
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Write what is true of this run to a file, as JSON lines; no stage reads it
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

pub fn run(args: &NetworkArgs) -> Result<()> {
    let shutdown = Shutdown::new();
    handle_signals(shutdown.clone())?;
    let now_ms = SystemClock::default().wall_ms();
    let sockets = Sockets::bind(args.snmp_port, args.command_port)?;
    let bound = sockets.bound;
    let net = Net::new(Params { snmp_port: bound.snmp_port, ..params(args, now_ms) });
    write_truth(args.truth.as_deref(), &net)?;
    if let Some(path) = &args.inventory {
        fs::write(path, net.inventory())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let options = ServeOptions {
        flows_to: args.flows_to,
        syslog_to: args.syslog_to,
        ..ServeOptions::default()
    };
    let devices = net.devices().count();
    let pace = Pace { origin_ms: now_ms, speed: 1.0 };
    let served = sockets.serve(net, options, pace, Arc::new(AtomicBool::new(false)))?;
    println!(
        "{devices} devices: SNMP on port {}, command lines on port {}, flows to udp://{}, syslog \
         to udp://{}; Ctrl-C ends",
        bound.snmp_port, bound.command_port, args.flows_to, args.syslog_to
    );
    shutdown.wait(Duration::MAX);
    served.stop();
    Ok(())
}

/// What the network said before `until_ms` and answered to polls, through ingest's engine in
/// simulated receive time. Ends early where it is told to.
pub fn feed(
    config: &Config,
    log: &dyn Log,
    net: &mut Net,
    until_ms: i64,
    shutdown: &Shutdown,
) -> Result<()> {
    let (ingest, bus, instance) = (&config.ingest, &config.bus, config.instance());
    let mut now_ms = net.params().start_ms;
    let mut feed = IngestFeed::new(ingest, log, bus, &instance, FEED_EPOCH, now_ms)?;
    while now_ms < until_ms && !shutdown.requested() {
        now_ms += FEED_STEP_MS;
        step(&mut feed, net, now_ms)?;
    }
    feed.finish(FEED_LIMIT)?;
    Ok(())
}

/// Lets the network's time come to `now_ms`, and ingest hear and ask what is due by then.
pub fn step(feed: &mut IngestFeed, net: &mut Net, now_ms: i64) -> Result<()> {
    for output in net.advance(now_ms) {
        let (time_ms, from) = (output.time_ms(), IpAddr::V4(output.from()));
        match &output {
            Output::Flows(datagram) => feed.datagram(time_ms, from, &datagram.bytes)?,
            Output::Syslog { bytes, .. } => feed.syslog(time_ms, from, bytes)?,
        }
    }
    feed.poll_devices(now_ms, &mut |device, at_ms, request| net.snmp(device, at_ms, request))?;
    Ok(())
}

fn params(args: &NetworkArgs, start_ms: i64) -> Params {
    let placed = Placed { fault: args.fault, after_s: args.after, for_s: None, at: None };
    let faults = if args.fault == Fault::None { Vec::new() } else { vec![placed] };
    let (seed, deaf) = (args.seed, args.deaf);
    Params { seed, start_ms, faults, deaf, ..Params::default() }
}

pub(crate) fn write_truth(path: Option<&Path>, net: &Net) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    Ok(sim::service::write_truth(path, net.truth())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the simulated network writes down is what an inventory may say.
    #[test]
    fn the_networks_inventory_is_one() {
        let net = Net::new(Params::default());
        let inventory = crate::inventory::load_text("net", &net.inventory());
        let inventory = inventory.unwrap_or_else(|error| panic!("{error}"));
        assert!(inventory.devices.len() >= 12);
        assert!(inventory.management.is_some());
    }
}
