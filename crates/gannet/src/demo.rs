//! `gannet demo`: a simulated network with a SYN flood and every stage, in one process and in
//! memory. It tells what happens and ends with the incident; nothing is read or written but the
//! terminal and loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::{Log, ReadEvent};
use clap::Args;
use model::rows::Incident;
use runtime::config::{ConfigSource, Loaded, load};
use runtime::process::StageThread;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};

use crate::config::{Config, Stage};
use crate::run::run_with;

/// The shipped rules: the demo reads no file.
const RULES: &str = include_str!("../../../config/rules.yaml");

/// After so long without an incident something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The same seed makes the same network
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let loaded = configuration()?;
    let (bus, seed) = (loaded.value.bus.clone(), args.seed);
    let shutdown = Shutdown::new();
    println!("A simulated network sends NetFlow v9 and IPFIX; a SYN flood comes in a moment.");
    run_with(loaded, &Stage::ALL, &shutdown, |log, addresses| {
        let log = Arc::clone(log);
        let to = addresses.first().and_then(|a| a.trim_start_matches("udp://").parse().ok());
        let topic = bus.topic("incidents.v1");
        vec![
            StageThread::new("network", move |shutdown| network(to, seed, &shutdown)),
            StageThread::new("story", move |shutdown| story(&*log, &topic, &shutdown)),
        ]
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

fn network(to: Option<SocketAddr>, seed: u64, shutdown: &Shutdown) -> Result<()> {
    let now_ms = SystemClock::default().wall_ms();
    let mut options = sim::Options { kind: sim::Kind::Flood, seed, ..sim::Options::default() };
    options.to = to.context("no address to send flows to")?;
    options.params.start_ms = now_ms;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            shutdown.wait(Duration::MAX);
            stop.store(true, Ordering::Relaxed);
        });
        let sent = sim::service::run(&options, now_ms, &stop);
        // The watcher must end too, when the network has ended by itself.
        shutdown.request();
        sent
    })?;
    Ok(())
}

/// Tells each incident; the first one that opens is the end of the story.
fn story(log: &dyn Log, topic: &str, shutdown: &Shutdown) -> Result<()> {
    let begun = Instant::now();
    let mut reader = log.reader()?;
    let info = log.admin().describe(topic)?;
    let partitions = info.with_context(|| format!("there is no topic {topic}"))?.partitions;
    let from: Vec<(String, u32, i64)> =
        (0..partitions).map(|partition| (topic.to_owned(), partition, 0)).collect();
    reader.assign(&from)?;
    while !shutdown.requested() {
        if begun.elapsed() > PATIENCE {
            bail!("no incident within {PATIENCE:?}");
        }
        let ReadEvent::Record(record) = reader.poll(POLL)? else { continue };
        let Ok((_, batch)) = bus::frame::read(&record, &bus::config::LimitsConfig::default())
        else {
            continue;
        };
        if batch.num_rows() == 0 {
            continue;
        }
        for incident in Incident::from_batch(&batch)? {
            println!("\nAfter {:.1} s an incident:\n{incident:#?}", begun.elapsed().as_secs_f64());
        }
        shutdown.request();
    }
    Ok(())
}
