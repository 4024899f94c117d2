//! What a part came to, counted and as lines for the terminal.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use anyhow::Result;

use crate::machine::Missing;

/// Checks by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// How a part that could be run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub tally: Tally,
    /// In a few words, beside the part's name.
    pub summary: String,
    /// Below it: failures and skips with their reasons.
    pub details: Vec<String>,
}

impl Outcome {
    /// A part that is one check and passed.
    pub fn passed(summary: impl Into<String>) -> Self {
        let tally = Tally { passed: 1, ..Tally::default() };
        Outcome { tally, summary: summary.into(), details: Vec::new() }
    }

    /// Adds a check that could not be run.
    pub fn skip(&mut self, what: String) {
        self.tally.skipped += 1;
        self.details.push(format!("skipped: {what}"));
    }
}

impl Tally {
    /// Of a line `N passed, N failed, N skipped`.
    pub fn read(line: &str) -> Option<Tally> {
        let mut numbers = [0; 3];
        let mut parts = line.trim().split(", ");
        for (number, word) in numbers.iter_mut().zip([" passed", " failed", " skipped"]) {
            *number = parts.next()?.strip_suffix(word)?.parse().ok()?;
        }
        let [passed, failed, skipped] = numbers;
        parts.next().is_none().then_some(Tally { passed, failed, skipped })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Counts a part's end and words it. What the machine lacks is skipped, unless it was required.
pub fn conclude(
    name: &str,
    ended: Result<Outcome>,
    required: &[String],
    took: Duration,
) -> (Tally, Vec<String>) {
    let one = |failed: usize| Tally { passed: 0, failed, skipped: 1 - failed };
    let (tally, summary, details) = match ended {
        Ok(outcome) => (outcome.tally, outcome.summary, outcome.details),
        Err(error) => match error.downcast::<Missing>() {
            Ok(missing) => {
                let is_required = required.iter().any(|need| need == missing.need);
                let summary = missing.reason.lines().next().unwrap_or_default().to_string();
                let mut details = vec![format!("to mend: {}", missing.mend)];
                details.extend(missing.reason.lines().skip(1).map(str::to_string));
                (one(is_required.into()), summary, details)
            }
            Err(error) => {
                let text = format!("{error:#}");
                let mut lines = text.lines().map(str::to_string);
                (one(1), lines.next().unwrap_or_default(), lines.collect())
            }
        },
    };
    let word = match tally {
        Tally { failed: 1.., .. } => "FAILED ",
        Tally { passed: 0, .. } => "skipped",
        _ => "passed ",
    };
    let head = format!("{word}  {name:<9} {:>6.1} s  {summary}", took.as_secs_f64());
    let lines = std::iter::once(head.trim_end().to_string());
    (tally, lines.chain(details.into_iter().map(|detail| format!("         {detail}"))).collect())
}
