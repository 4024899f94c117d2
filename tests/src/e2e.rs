//! From a real exporter to an incident: softflowd on a capture, the simulator's benign traffic
//! beside it at ten to one, real Kafka, one process a stage and two of detect. Then real interfaces
//! of a real agent (`interfaces`), and pollers that share devices (`pollers`).

mod interfaces;
pub(crate) mod log;
mod namespace;
mod pcap;
mod pipeline;
mod pollers;
mod relay;
mod snmpd;
mod softflowd;
#[cfg(test)]
mod stored;
mod streams;
#[cfg(test)]
mod tests;
mod verdict;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sim::{Curve, Kind, Pace, Params, Scenario, Sent};

use crate::process::site::BOOTSTRAP;
use pcap::{Capture, Summary};
use pipeline::Pipeline;
use softflowd::{Adjust, Dialect, Exported};
pub use verdict::{Check, Outcome, Report};
use verdict::{Episode, names};

/// The shipped flood rule is usable after a minute of history; then some windows to be silent in.
const BENIGN_FIRST: Duration = Duration::from_secs(80);
/// A flood is an incident this long after its last datagram (window 10 s, a heartbeat a stage).
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may come of what is no flood.
const QUIET_FOR: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(500);
/// Benign flows for each one of the attack.
const BENIGN_SHARE: f64 = 10.0;

#[derive(Clone, Debug)]
pub struct E2eOptions {
    /// Without one the run makes a capture of its own.
    pub pcap: Option<PathBuf>,
    pub seed: u64,
    /// Two exports instead of four, of a small capture.
    pub short: bool,
    /// Without one, all.
    pub only: Option<Part>,
}

/// A part of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A real exporter's flows.
    Flows,
    /// A real agent's interfaces.
    Interfaces,
    /// Two pollers of the same devices.
    Pollers,
}

/// One run of softflowd: how it speaks, whom the attack hits, how fast.
#[derive(Clone, Copy, Debug)]
struct Variant {
    dialect: Dialect,
    /// `None`: as captured.
    victim: Option<Ipv4Addr>,
    rate: f64,
}

/// What a variant sent.
struct Export {
    episode: Episode,
    exported: Exported,
    relayed: u64,
}

pub fn run(options: &E2eOptions) -> Result<Report> {
    let Ok(bootstrap) = std::env::var(BOOTSTRAP) else {
        let reason = format!("{BOOTSTRAP} is not set (cargo xtask e2e starts a broker)");
        let check = Check { name: "e2e".to_owned(), outcome: Outcome::Skipped(reason) };
        return Ok(Report { checks: vec![check] });
    };
    let mut report = Report::default();
    type Each = fn(&E2eOptions, &str) -> Result<Vec<Check>>;
    let parts: [(Part, &str, Each); 3] = [
        (Part::Flows, "flows", flows),
        (Part::Interfaces, "interfaces", |_, bootstrap| interfaces::run(bootstrap)),
        (Part::Pollers, "pollers", |_, bootstrap| pollers::run(bootstrap)),
    ];
    for (part, name, each) in parts {
        if options.only.is_none_or(|only| only == part) {
            let checks = each(options, &bootstrap);
            // One that could not go on says nothing of the others.
            report.checks.extend(checks.unwrap_or_else(|error| vec![Check::of(name, Err(error))]));
        }
    }
    Ok(report)
}

fn flows(options: &E2eOptions, bootstrap: &str) -> Result<Vec<Check>> {
    let capture = match &options.pcap {
        Some(path) => Capture::read(path)?,
        None => Capture::syn_flood(options.seed, Ipv4Addr::new(10, 10, 10, 10), 12_000, 12.0),
    };
    let summary = capture.summary()?;
    eprintln!("capture: {summary:?}");
    let mut pipeline = Pipeline::start(bootstrap)?;
    let stop = AtomicBool::new(false);
    let to = pipeline.ingest;
    let scenario = benign(options.seed, &summary);
    let pace = Pace { origin_ms: now_ms()?, speed: 1.0 };
    let (report, sent) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| sim::send(scenario.datagrams(), to, pace, &stop));
        let result = attack(&mut pipeline, options, &capture, &summary);
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().expect("the simulator does not panic");
        (result, sent)
    });
    let (mut report, exports) = report?;
    report.checks.extend(ledger(&pipeline, &exports, &sent?)?);
    if report.failed() > 0 {
        eprintln!("{}", pipeline.tails());
    }
    report.checks.push(pipeline.drained("drain"));
    Ok(report.checks)
}

fn benign(seed: u64, summary: &Summary) -> Scenario {
    let per_s = summary.packets as f64 / summary.seconds.max(1.0) * BENIGN_SHARE;
    let params = Params {
        start_ms: now_ms().unwrap_or(0),
        curve: Curve::Flat,
        flows_per_s: per_s.clamp(500.0, 20_000.0),
        ..Params::default()
    };
    eprintln!("benign: {:.0} flows/s from {} exporters", params.flows_per_s, params.exporters);
    Scenario::new(seed, Kind::Benign, params)
}

/// Benign traffic alone, then one export after the other.
fn attack(
    pipeline: &mut Pipeline,
    options: &E2eOptions,
    capture: &Capture,
    summary: &Summary,
) -> Result<(Report, Vec<Export>)> {
    let topics = log::Topics::open(&pipeline.bus)?;
    wait(pipeline, BENIGN_FIRST)?;
    let first_ms = now_ms()?;
    let mut exports: Vec<Export> = Vec::new();
    for (nth, variant) in variants(options).into_iter().enumerate() {
        let from = Ipv4Addr::new(127, 90, 0, 1 + nth as u8);
        let export = one(pipeline, capture, summary, variant, from)?;
        eprintln!("{}: {:?}, {} relayed", export.episode.name, export.exported, export.relayed);
        let victim = export.episode.victim;
        let is_flood = export.episode.is_syn_flood;
        exports.push(export);
        let deadline = Instant::now() + if is_flood { FOUND_WITHIN } else { QUIET_FOR };
        while Instant::now() < deadline {
            wait(pipeline, POLL)?;
            if is_flood && topics.incidents()?.iter().any(|incident| names(incident, victim)) {
                break;
            }
        }
    }
    let changes = topics.incidents()?;
    for incident in verdict::latest(&changes).values() {
        println!("{}", serde_json::to_string(incident)?);
    }
    let episodes: Vec<Episode> = exports.iter().map(|export| export.episode.clone()).collect();
    let mut checks = vec![verdict::benign(&changes, first_ms)];
    checks.extend(episodes.iter().map(|episode| verdict::episode(&changes, episode)));
    checks.push(verdict::others(&changes, &episodes));
    checks.push(verdict::busy(&changes, Ipv4Addr::new(203, 0, 113, 80)));
    Ok((Report { checks }, exports))
}

/// Both protocols, with and without `-a`; as captured, halved and four times as fast.
fn variants(options: &E2eOptions) -> Vec<Variant> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let first = rng.random_range(1..=60u8);
    let victim = |nth: u8| Some(Ipv4Addr::new(198, 51, 100, first + nth));
    let of = |version, adjust, victim, rate| Variant {
        dialect: Dialect { version, adjust },
        victim,
        rate,
    };
    let mut all = vec![
        of(9, Adjust::No, None, 1.0),
        of(10, Adjust::Yes, victim(1), 4.0),
        of(9, Adjust::Yes, victim(2), 0.5),
        of(10, Adjust::No, victim(3), 1.0),
    ];
    if options.seed > 1 {
        // Other seeds: no variant as captured, rates at random.
        for (nth, variant) in all.iter_mut().enumerate() {
            variant.victim = victim(nth as u8);
            variant.rate = [0.5, 1.0, 2.0, 4.0][rng.random_range(0..4)];
        }
    }
    all.truncate(if options.short { 2 } else { 4 });
    all
}

fn one(
    pipeline: &mut Pipeline,
    capture: &Capture,
    summary: &Summary,
    variant: Variant,
    from: Ipv4Addr,
) -> Result<Export> {
    let victim = variant.victim.unwrap_or(summary.target);
    let path = pipeline.dir().join("capture.pcap");
    capture.rewritten(summary.target, victim, variant.rate).write(&path)?;
    let (exported, datagrams) = softflowd::export(&path, variant.dialect)?;
    let relayed = datagrams.len() as u64;
    ensure!(exported.failures == 0, "softflowd could not send: {exported:?}");
    ensure!(relayed == exported.datagrams, "the relay got {relayed} of {exported:?}");
    let episode = Episode {
        name: format!("softflowd {}, victim {victim}, rate x {}", variant.dialect, variant.rate),
        victim,
        exporter: from,
        is_syn_flood: summary.is_syn_flood,
        begun_ms: now_ms()?,
    };
    let over = Duration::from_secs_f64(summary.seconds / variant.rate);
    softflowd::replay(&datagrams, from, pipeline.ingest, over)?;
    pipeline.check()?;
    Ok(Export { episode, exported, relayed })
}

/// What was sent, against what stands on the topic and what ingest says it lost.
fn ledger(pipeline: &Pipeline, exports: &[Export], sent: &Sent) -> Result<Vec<Check>> {
    let topics = log::Topics::open(&pipeline.bus)?;
    let mut want: Vec<(String, Ipv4Addr, u64)> = exports
        .iter()
        .map(|export| {
            let from = export.episode.exporter;
            (format!("softflowd at {from}"), from, export.exported.records)
        })
        .collect();
    let simulated = sent.exporters.iter();
    want.extend(simulated.map(|(from, counts)| (format!("sim at {from}"), *from, counts.flows)));
    let total: u64 = want.iter().map(|(_, _, records)| records).sum();
    let deadline = Instant::now() + FOUND_WITHIN;
    let mut stored = topics.flows()?;
    while stored.values().sum::<u64>() < total && Instant::now() < deadline {
        std::thread::sleep(POLL);
        stored = topics.flows()?;
    }
    let losses = pipeline.ingest_losses()?;
    if !losses.is_empty() {
        eprintln!("ingest says: {}", losses.join("; "));
    }
    let lost = topics.lost()?;
    let check = |(name, from, records): &(String, Ipv4Addr, u64)| {
        let stands = stored.get(from).copied().unwrap_or(0);
        verdict::ledger(name, *records, stands, lost.get(from).copied().unwrap_or(0))
    };
    Ok(want.iter().map(check).collect())
}

fn wait(pipeline: &mut Pipeline, time: Duration) -> Result<()> {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        pipeline.check()?;
        std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
    Ok(i64::try_from(since.as_millis())?)
}
