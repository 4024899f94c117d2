//! Exactly once under crashes (DESIGN §4): part A in memory at every call of the log, part B with
//! real processes on a real broker. `cargo xtask crash` and the short form of `cargo xtask test`.

mod fragile;
mod idle;
mod input;
mod kills;
mod memory;
mod mutant;
mod output;
mod process;
mod stages;
mod story;

use std::time::Instant;

use anyhow::Result;
use mutant::Mutation;
pub use process::{ProcessArgs, run_stage};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A small input and few kills.
    pub short: bool,
    /// The broker of part B; without it that part is skipped.
    pub kafka: Option<String>,
    /// Only part B.
    pub kills_only: bool,
    /// How many kills; 0: sixty, or six in the short form.
    pub kills: u32,
}

/// Crash points that part A must have at least (issue 3).
const POINTS_MIN: usize = 500;

/// Checks passed, failed and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

// === impl Score ===

impl Score {
    fn check(&mut self, name: &str, holds: bool, detail: &str) {
        let word = if holds { "ok" } else { "FAILED" };
        println!("  {name}: {detail}: {word}");
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Engines panic on purpose, thousands of times.
fn be_quiet_about_poison() {
    std::panic::set_hook(Box::new(|panic| {
        if !panic.to_string().contains(fragile::SAYS) {
            eprintln!("{panic}");
        }
    }));
}

/// Runs both parts and prints what they found.
pub fn run(options: &Options) -> Result<Score> {
    be_quiet_about_poison();
    let mut score = Score::default();
    if !options.kills_only {
        memory_part(options, &mut score)?;
    }
    kills_part(options, &mut score)?;
    ingest_part(options, &mut score)?;
    println!("{} passed, {} failed, {} skipped", score.passed, score.failed, score.skipped);
    Ok(score)
}

fn memory_part(options: &Options, score: &mut Score) -> Result<()> {
    let seconds = if options.short { 15 } else { 24 };
    println!("a crash before and after every call of the log, in memory");
    let begun = Instant::now();
    let reference = memory::Reference::new(seconds)?;
    let rows = reference.wanted.by_topic();
    let has_rows = |wanted: &&str| rows.iter().any(|(topic, n)| topic.ends_with(*wanted) && *n > 0);
    let (snapshots, panics) = (&reference.snapshots, reference.panics);
    let saved = snapshots.values().all(|n| *n > 0) && panics > 1;
    let all = saved && stages::EXERCISED.iter().all(|topic| has_rows(topic));
    let detail = format!("snapshots {snapshots:?}, {panics} panics, {rows:?}");
    score.check("every stage has something to say", all, &detail);
    let told = story::Told::of(&reference.wanted.incidents()?);
    score.check("roots were named", told.is_whole(), &told.to_string());
    let found = reference.crash_everywhere(None)?;
    for failure in found.failures.iter().take(5) {
        println!("    {failure}");
    }
    let (points, failed) = (found.points, found.failures.len());
    let (messages, took) = (reference.wanted.messages, begun.elapsed().as_secs_f64());
    let detail = format!("{points} points, {failed} with another, {messages} outputs, {took:.1} s");
    score.check("output as without a crash", failed == 0, &detail);
    score.check("enough points", points >= POINTS_MIN, &format!("{points} of {POINTS_MIN}"));
    for mutation in [Mutation::OffsetsOutside, Mutation::AbortDoesNothing, Mutation::MapIsForgotten]
    {
        let found = reference.crash_everywhere(Some(mutation))?;
        let first = found.failures.first().cloned().unwrap_or_else(|| "nothing seen".to_owned());
        let first: String = first.chars().take(160).collect();
        score.check(&format!("mutation {mutation:?} is seen"), !found.failures.is_empty(), &first);
    }
    Ok(())
}

/// Kills that must hit an open transaction (issue 3), of sixty.
const HITS_MIN: u32 = 20;
/// A cycle with the short timeouts, on an idle machine (issue 3).
const CYCLE_MAX_S: f64 = 15.0;

fn kills_part(options: &Options, score: &mut Score) -> Result<()> {
    let Some(bootstrap) = &options.kafka else {
        println!("kills on a real broker: skipped, there is none (set KAFKA_BOOTSTRAP)");
        score.skipped += 1;
        return Ok(());
    };
    let kills = match (options.kills, options.short) {
        (0, true) => 6,
        (0, false) => 60,
        (kills, _) => kills,
    };
    let shipped = kills / 10 * u32::from(!options.short);
    println!("{kills} kills on a real broker, {shipped} of them with the shipped timeouts");
    let found = kills::run(bootstrap, kills::Plan { kills, shipped, seed: 3 })?;
    if let Some(difference) = &found.difference {
        println!("    {difference}");
    }
    let kills::Found { in_transaction, lost, doubled, messages, .. } = found;
    let detail = format!("lost {lost}, doubled {doubled} of {messages} outputs");
    score.check("nothing lost, nothing doubled", lost + doubled == 0, &detail);
    score.check("output as undisturbed", found.difference.is_none(), &detail);
    let wanted = HITS_MIN * kills / 60;
    let detail = format!("{in_transaction} of {kills} kills, at least {wanted} wanted");
    score.check("open transactions hit", in_transaction >= wanted, &detail);
    let (short, long) = (found.slowest.as_secs_f64(), found.slowest_shipped.as_secs_f64());
    let detail = format!("{short:.1} s (shipped timeouts: {long:.1} s)");
    score.check("the slowest cycle", short <= CYCLE_MAX_S, &detail);
    Ok(())
}

/// Ingest's processes killed: how long time stands still, and what their end has lost.
fn ingest_part(options: &Options, score: &mut Score) -> Result<()> {
    let Some(bootstrap) = &options.kafka else {
        println!("kills of ingest: skipped, there is no broker (set KAFKA_BOOTSTRAP)");
        score.skipped += 1;
        return Ok(());
    };
    println!("one of two instances of ingest killed, then the other");
    let begun = Instant::now();
    let found = crate::stall::run(bootstrap)?;
    let (beats, most) = (found.of_two, crate::stall::HEARTBEATS_MAX);
    let detail = format!(
        "{beats} heartbeats of the other at most, in {} partitions, {:.1} s",
        found.partitions,
        begun.elapsed().as_secs_f64()
    );
    score.check("time without one of two instances", beats <= most, &detail);
    let detail = format!("{} partitions in which it did not", found.of_one);
    score.check("time goes on with a successor's first word", found.of_one == 0, &detail);
    let crate::stall::Found { sent, stored, counted, .. } = found;
    let detail = format!("sent {sent}, stored {stored}, counted as lost {counted}");
    let told = sent == stored + counted && counted > 0;
    score.check("the successor counts what was lost", told, &detail);
    Ok(())
}
