//! Exactly once under crashes (DESIGN §4): part A in memory at every call of the log, part B with
//! real processes on a real broker. `cargo xtask crash` and the short form of `cargo xtask test`.

mod idle;
mod input;
mod memory;
mod mutant;
mod output;
mod toys;

use std::time::Instant;

use anyhow::Result;
use mutant::Mutation;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A small input and few kills.
    pub short: bool,
    /// The broker of part B; without it that part is skipped.
    pub kafka: Option<String>,
}

/// Crash points that part A must have at least (issue 3).
const POINTS_MIN: u64 = 500;

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

/// Runs both parts and prints what they found.
pub fn run(options: &Options) -> Result<Score> {
    // The toys panic on purpose, thousands of times.
    std::panic::set_hook(Box::new(|panic| {
        if !panic.to_string().contains(toys::DISLIKES) {
            eprintln!("{panic}");
        }
    }));
    let mut score = Score::default();
    memory_part(options, &mut score)?;
    println!("{} passed, {} failed, {} skipped", score.passed, score.failed, score.skipped);
    Ok(score)
}

fn memory_part(options: &Options, score: &mut Score) -> Result<()> {
    let seconds = if options.short { 16 } else { 40 };
    println!("a crash before and after every call of the log, in memory");
    let begun = Instant::now();
    let found = memory::every_point(None, seconds)?;
    for failure in found.failures.iter().take(5) {
        println!("    {failure}");
    }
    let (points, failed) = (found.points, found.failures.len());
    let detail = format!(
        "{points} points, {failed} with another output, {} outputs, {} snapshots, {:.1} s",
        found.messages,
        found.snapshots,
        begun.elapsed().as_secs_f64()
    );
    score.check("output as without a crash", failed == 0, &detail);
    score.check("enough points", points >= POINTS_MIN, &format!("{points} of {POINTS_MIN}"));
    score.check("snapshots among them", found.snapshots > 0, &found.snapshots.to_string());
    for mutation in [Mutation::OffsetsOutside, Mutation::AbortDoesNothing] {
        let found = memory::every_point(Some(mutation), seconds)?;
        let first = found.failures.first().cloned().unwrap_or_else(|| "nothing seen".to_owned());
        let first: String = first.chars().take(160).collect();
        score.check(&format!("mutation {mutation:?} is seen"), !found.failures.is_empty(), &first);
    }
    Ok(())
}
