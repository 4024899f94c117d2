//! What devices saw of their pollers: one stream of polls each, and the gaps in it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::relay::Asked;

/// Requests of one poller to one device, close together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poll {
    pub begun: Instant,
    pub from: SocketAddr,
}

/// The largest times between two polls of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gaps {
    /// Both by the same poller.
    pub same: Duration,
    /// From one poller to the next.
    pub handed_on: Duration,
    /// Across a moment: a kill.
    pub across: Duration,
}

/// What one poll takes at most, of agents that answer at once.
const POLL_LASTS: Duration = Duration::from_millis(400);

/// The polls of one device.
pub fn polls(asked: &[Asked], device: usize) -> Vec<Poll> {
    let mut polls: Vec<Poll> = Vec::new();
    for one in asked.iter().filter(|one| one.device == device) {
        let is_same = |last: &Poll| last.from == one.from && one.at - last.begun < POLL_LASTS;
        if !polls.last().is_some_and(is_same) {
            polls.push(Poll { begun: one.at, from: one.from });
        }
    }
    polls
}

/// Fails where a device was polled by two at a time: a poller that came back after another, or two
/// polls closer together than half an interval.
pub fn is_one(polls: &[Poll], interval: Duration) -> Result<()> {
    let mut owners: Vec<SocketAddr> = polls.iter().map(|poll| poll.from).collect();
    owners.dedup();
    let different: BTreeSet<&SocketAddr> = owners.iter().collect();
    ensure!(different.len() == owners.len(), "polled in turn by {owners:?}");
    for pair in polls.windows(2) {
        let apart = pair[1].begun - pair[0].begun;
        let (a, b) = (pair[0].from, pair[1].from);
        ensure!(apart * 2 >= interval, "polled by {a} and {apart:?} later by {b}");
    }
    Ok(())
}

// === impl Gaps ===

impl Gaps {
    /// Takes in the polls of one more device.
    pub fn add(&mut self, polls: &[Poll], moment: Instant) {
        for pair in polls.windows(2) {
            let gap = pair[1].begun - pair[0].begun;
            let largest = match () {
                () if pair[0].begun <= moment && pair[1].begun > moment => &mut self.across,
                () if pair[0].from == pair[1].from => &mut self.same,
                () => &mut self.handed_on,
            };
            *largest = gap.max(*largest);
        }
    }
}
