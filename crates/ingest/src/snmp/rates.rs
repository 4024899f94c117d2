//! From two readings of a counter to a rate that can be trusted, or to the reason why there is
//! none. A rate is never invented: what may be a wrap or a reset, a device that started anew or a
//! missed poll is said so (research/ingest.md, R9).

use model::rows::Quality;

/// How many bits a counter has before it begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Bits32,
    Bits64,
}

/// A counter as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When the answer came.
    pub at_ms: i64,
    pub value: u64,
    pub width: Width,
    /// sysUpTime of the same answer, hundredths of a second.
    pub uptime: Option<u32>,
    /// ifCounterDiscontinuityTime, where the device has it.
    pub discontinuity: Option<u32>,
}

/// What a counter may do at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Per second; without one, what is too much cannot be told.
    pub ceiling: Option<f64>,
    /// Time between two polls.
    pub interval_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Increase per second.
    pub rate: Option<f64>,
    pub quality: Quality,
}

/// Counters are copied from hardware every few seconds, so that an interval may show what came
/// before it: rates to this times the ceiling are believed.
const CEILING_SLACK: f64 = 1.25;
/// From this many intervals on a missed poll has made a gap.
const GAP_INTERVALS: f64 = 1.5;
/// Over a longer gap an average says nothing of the time at which it stands.
const GAP_INTERVALS_MAX: f64 = 4.5;
/// The agent's clock may lag behind ours by this much and not have started anew.
const UPTIME_SLACK_MS: i64 = 3_000;
/// ... and by this part of the time passed.
const UPTIME_SLACK_PART: i64 = 10;
/// sysUpTime begins again after 497 days.
const UPTIME_WRAP_MS: i64 = (1 << 32) * 10;
const WRAP_32: u64 = 1 << 32;
/// Without a ceiling a fall is a wrap only from the last quarter into the first.
const QUARTER_32: u64 = 1 << 30;
/// Without a ceiling, the most that a 64-bit counter may have gone on in a wrap.
const STEP_64_MAX: u64 = 1 << 48;

/// The rate between two readings of one counter, the first of which may be missing.
pub fn judge(before: Option<&Reading>, now: &Reading, bounds: Bounds) -> Judged {
    let nothing = |quality| Judged { rate: None, quality };
    let Some(before) = before.filter(|before| before.width == now.width) else {
        return nothing(Quality::Gap);
    };
    let elapsed_ms = now.at_ms - before.at_ms;
    if elapsed_ms <= 0 {
        return nothing(Quality::Gap);
    }
    if has_started_anew(before, now, elapsed_ms) || is_discontinued(before, now) {
        return nothing(Quality::Reset);
    }
    let seconds = elapsed_ms as f64 / 1000.0;
    let most = bounds.ceiling.map(|ceiling| ceiling * CEILING_SLACK * seconds);
    let (step, has_wrapped) = match step(before, now, most) {
        Step::Rise(step) => (step, false),
        Step::Wrap(step) => (step, true),
        Step::Fall => return nothing(Quality::Reset),
        Step::Unknown => return nothing(Quality::Wrap),
    };
    if most.is_some_and(|most| step as f64 > most) {
        return nothing(Quality::Implausible);
    }
    let rate = Some(step as f64 / seconds);
    let intervals = elapsed_ms as f64 / bounds.interval_ms as f64;
    match (intervals, has_wrapped) {
        (intervals, _) if intervals >= GAP_INTERVALS_MAX => nothing(Quality::Gap),
        (intervals, _) if intervals >= GAP_INTERVALS => Judged { rate, quality: Quality::Gap },
        (_, true) => Judged { rate, quality: Quality::Wrap },
        (_, false) => Judged { rate, quality: Quality::Ok },
    }
}

/// How a counter went from one value to the next.
enum Step {
    Rise(u64),
    Wrap(u64),
    /// Backwards, which no wrap explains.
    Fall,
    /// It may have wrapped more than once.
    Unknown,
}

fn step(before: &Reading, now: &Reading, most: Option<f64>) -> Step {
    if now.width == Width::Bits32 && most.is_some_and(|most| most >= WRAP_32 as f64) {
        return Step::Unknown;
    }
    if now.value >= before.value {
        return Step::Rise(now.value - before.value);
    }
    match now.width {
        Width::Bits32 => {
            let step = (now.value + WRAP_32).wrapping_sub(before.value);
            let is_wrap = match most {
                Some(most) => step as f64 <= most,
                None => before.value >= WRAP_32 - QUARTER_32 && now.value < QUARTER_32,
            };
            if is_wrap { Step::Wrap(step) } else { Step::Fall }
        }
        Width::Bits64 => {
            let step = now.value.wrapping_sub(before.value);
            let limit = most.unwrap_or(STEP_64_MAX as f64);
            if step as f64 <= limit { Step::Wrap(step) } else { Step::Fall }
        }
    }
}

/// Whether the device started anew between two readings: its uptime went back, or on by less than
/// the time that has passed.
pub fn has_started_anew(before: &Reading, now: &Reading, elapsed_ms: i64) -> bool {
    let (Some(was), Some(is)) = (before.uptime, now.uptime) else {
        return false;
    };
    let (was_ms, is_ms) = (i64::from(was) * 10, i64::from(is) * 10);
    if was_ms == is_ms {
        // An agent whose clock stands still says nothing.
        return false;
    }
    let slack_ms = UPTIME_SLACK_MS + elapsed_ms / UPTIME_SLACK_PART;
    let expected_ms = was_ms + elapsed_ms;
    let wrapped_ms = expected_ms - UPTIME_WRAP_MS;
    let is_wrap = is_ms < was_ms && (is_ms - wrapped_ms).abs() <= slack_ms;
    !is_wrap && (is_ms < was_ms || is_ms < expected_ms - slack_ms)
}

fn is_discontinued(before: &Reading, now: &Reading) -> bool {
    let (was, is) = (before.discontinuity, now.discontinuity);
    was.is_some() && is.is_some() && was != is
}
