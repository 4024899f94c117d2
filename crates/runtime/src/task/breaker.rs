//! Stops a stage that would drain a topic into the dead letters. A minute is one of the messages'
//! own (receive) time, so that a backlog is judged like live input.

use std::collections::VecDeque;

use super::options::BreakerOptions;

const MINUTE_MS: i64 = 60_000;
/// The minute moves in steps of a second.
const STEP_MS: i64 = 1_000;

/// Messages and dead letters of one task in the last minute.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Per second: its start, messages, dead letters.
    seconds: VecDeque<(i64, u64, u64)>,
    /// Messages below were judged; they may come again after a restore.
    next: i64,
}

// === impl Breaker ===

impl Breaker {
    /// Counts a message in. `Some((dead, messages))`: the share of dead letters is over the limit.
    pub fn judge(
        &mut self,
        offset: i64,
        timestamp_ms: i64,
        dead: bool,
        options: &BreakerOptions,
    ) -> Option<(u64, u64)> {
        if offset < self.next {
            return None;
        }
        self.next = offset + 1;
        // A timestamp before the newest second counts there: time does not go back.
        let newest = self.seconds.back().map_or(i64::MIN, |(second, ..)| *second);
        let second = timestamp_ms.saturating_sub(timestamp_ms.rem_euclid(STEP_MS)).max(newest);
        if second > newest {
            self.seconds.push_back((second, 0, 0));
        }
        while self
            .seconds
            .front()
            .is_some_and(|(first, ..)| second.saturating_sub(*first) >= MINUTE_MS)
        {
            self.seconds.pop_front();
        }
        if let Some((_, messages, letters)) = self.seconds.back_mut() {
            *messages += 1;
            *letters += u64::from(dead);
        }
        if !dead {
            return None;
        }
        let sum = |of: fn(&(i64, u64, u64)) -> u64| self.seconds.iter().map(of).sum::<u64>();
        let (messages, letters) = (sum(|s| s.1), sum(|s| s.2));
        let over =
            messages >= options.messages_min && letters * 100 > messages * options.dead_percent_max;
        over.then_some((letters, messages))
    }
}
