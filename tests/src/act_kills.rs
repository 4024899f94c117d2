//! Act killed with -9 at each named point of an execution, on a real broker, against a device and
//! receivers that count: nothing doubled, nothing lost, and what cannot be known is said to be
//! unknown. `cargo xtask act-kills` and the short form of `cargo xtask test`.

mod acts;
mod agent;
mod approvals;
mod bed;
mod config;
mod gate;
mod hook;
mod point;
mod program;
mod strike;
mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use acts::Heir;
use anyhow::{Context, Result, bail};
use bed::Bed;
use point::{KILLS, Kill, Means};
use strike::{Lane, Struck};

use crate::process::site::BOOTSTRAP;

#[derive(Clone, Debug, clap::Args)]
pub struct ActKillsOptions {
    /// Ten kills
    #[arg(long)]
    pub short: bool,
    /// How many kills [default: 100]
    #[arg(long)]
    pub kills: Option<u32>,
    /// `host:port` of a broker
    #[arg(long, env = BOOTSTRAP)]
    pub kafka: Option<String>,
}

const KILLS_SHORT: u32 = 10;
const KILLS_ALL: u32 = 100;
/// A row that act is to die behind may have a successor by the time it is seen: then it is tried
/// once more, with what was hit judged all the same.
const TRIES: u32 = 8;
/// Interfaces that the approvals' check uses, the last ones.
const FOR_APPROVALS: u32 = 2;

/// What one half of the kills showed.
#[derive(Debug, Default)]
struct Found {
    struck: Vec<Struck>,
    checks: approvals::Checks,
    /// Why it ended before its end.
    broke: Option<String>,
}

pub fn run(options: &ActKillsOptions) -> Result<()> {
    let Some(bootstrap) = &options.kafka else {
        println!("skipped: kills of act: there is no broker (set {BOOTSTRAP})");
        println!("0 passed, 0 failed, 1 skipped");
        return Ok(());
    };
    let kills = options.kills.unwrap_or(if options.short { KILLS_SHORT } else { KILLS_ALL });
    println!("{kills} kills of act on a real broker, half restarted, half taken over");
    let halves = [(Heir::Restart, kills.div_ceil(2)), (Heir::Takeover, kills / 2)];
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let mut first = 0;
        let mut running = Vec::new();
        for (heir, kills) in halves {
            running.push(scope.spawn(move || half(bootstrap, heir, first, kills)));
            first += kills;
        }
        found.extend(running.into_iter().map(|half| half.join().unwrap_or_else(|_| broken())));
    });
    score(&found, kills)
}

fn broken() -> Found {
    Found { broke: Some("a half panicked".to_owned()), ..Found::default() }
}

/// Kills from a place in the list on.
fn half(bootstrap: &str, heir: Heir, first: u32, kills: u32) -> Found {
    let mut found = Found::default();
    let made = half_on(bootstrap, heir, first, kills, &mut found);
    found.broke = made.err().map(|error| format!("{}: {error:#}", heir.name()));
    found
}

fn half_on(bootstrap: &str, heir: Heir, first: u32, kills: u32, found: &mut Found) -> Result<()> {
    let most = kills * TRIES;
    let bed = Bed::new(bootstrap, &format!("act-{}", heir.name()), most + FOR_APPROVALS)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| bed.agent.serve(&stop));
        scope.spawn(|| bed.hook.serve(&stop));
        let made = struck(&bed, heir, first, kills, found);
        stop.store(true, Ordering::SeqCst);
        made
    })
}

fn struck(bed: &Bed, heir: Heir, first: u32, kills: u32, found: &mut Found) -> Result<()> {
    let mut lane = Lane::new(bed, heir)?;
    found.checks = approvals::check(&mut lane, kills * TRIES + 1).context("approvals")?;
    let mut index = 0;
    for number in first..first + kills {
        let kill = KILLS[number as usize % KILLS.len()];
        let name = || format!("{} {} {}", kill.point.name(), kill.means.name(), heir.name());
        hit(&mut lane, kill, &mut index, found).with_context(name)?;
    }
    // What comes late is seen here.
    for struck in &mut found.struck {
        struck.made = bed.made(&struck.fault);
    }
    Ok(())
}

/// Strikes until the point is hit.
fn hit(lane: &mut Lane<'_>, kill: Kill, index: &mut u32, found: &mut Found) -> Result<()> {
    for _ in 0..TRIES {
        *index += 1;
        let struck = lane.strike(kill, *index)?;
        let word = match (struck.is_right(), struck.is_hit()) {
            (false, _) => "FAILED",
            (true, true) => "ok",
            (true, false) => "ok, but beside the point: once more",
        };
        println!("  {struck}: {word}");
        if !struck.is_right() {
            println!("    {}", struck.states);
        }
        let is_hit = struck.is_hit();
        found.struck.push(struck);
        if is_hit {
            return Ok(());
        }
    }
    bail!("the point was missed {TRIES} times")
}

fn score(found: &[Found], kills: u32) -> Result<()> {
    let struck: Vec<&Struck> = found.iter().flat_map(|half| &half.struck).collect();
    let mut checks: approvals::Checks = found.iter().flat_map(|half| half.checks.clone()).collect();
    checks.extend(sums(&struck, kills));
    checks.extend(found.iter().filter_map(|half| Some((half.broke.clone()?, false))));
    for (what, holds) in &checks {
        println!("  {what}: {}", if *holds { "ok" } else { "FAILED" });
    }
    let right = struck.iter().filter(|struck| struck.is_right()).count();
    let held = checks.iter().filter(|(_, holds)| *holds).count();
    let failed = struck.len() - right + checks.len() - held;
    println!("{} passed, {failed} failed, 0 skipped", right + held);
    if failed > 0 { bail!("{failed} failed") } else { Ok(()) }
}

/// What the issue asks of all kills together.
fn sums(struck: &[&Struck], kills: u32) -> approvals::Checks {
    let mut by_means: BTreeMap<Means, (usize, u32, u32, usize)> = BTreeMap::new();
    for one in struck {
        let sum = by_means.entry(one.kill.means).or_default();
        let is_unknown = one.end == model::rows::ActionState::Unknown;
        sum.0 += 1;
        sum.1 += one.doubled();
        sum.2 += one.lost();
        sum.3 += usize::from(is_unknown);
    }
    let hits = struck.iter().filter(|struck| struck.is_hit()).count();
    let mut checks =
        vec![(format!("{hits} of {kills} kills at their point"), hits >= kills as usize)];
    for (means, (kills, doubled, lost, unknown)) in by_means {
        let name = means.name();
        let says =
            format!("{name}: {kills} kills, doubled {doubled}, lost {lost}, unknown {unknown}");
        checks.push((says, doubled + lost == 0));
    }
    checks
}
