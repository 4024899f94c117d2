//! Words of people that must change nothing: for another plan, past their end, for another
//! execution; told once each, over a kill. The right one then counts once.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use model::rows::{Action, ActionState};

use super::bed::{Fault, now_ms};
use super::config::KILL_SWITCH;
use super::point::{Means, Way};
use super::strike::{APPROVED_MS, Lane, PATIENCE};

/// A hash that no plan has.
const OTHER: [&str; 3] = ["0000000000000000", "1111111111111111", "2222222222222222"];
/// What the approval that ends in time is given.
const BRIEFLY_MS: i64 = 1_500;

/// Whether each thing holds that is asked, in words.
pub type Checks = Vec<(String, bool)>;

/// Takes two interfaces of the device, from this one on.
pub fn check(lane: &mut Lane<'_>, index: u32) -> Result<Checks> {
    let fault = |index| Fault { index, means: Means::Snmp, way: Way::Asked };
    let (one, other) = (fault(index), fault(index + 1));
    lane.acts.ready()?;
    let hash = waits(lane, &one)?;
    let other_hash = waits(lane, &other)?;
    let mut checks = Checks::new();
    nothing_changes(lane, (&one, &hash), &other, &mut checks)?;
    ends_before_it_begins(lane, &other, &other_hash, &mut checks)?;
    let end = lane.to_the_end(&one)?;
    let made = lane.bed.made(&one);
    let is_made = end == ActionState::Confirmed && (made.forth, made.back) == (1, 0);
    checks.push(("the right approval then counts, once".to_owned(), is_made));
    Ok(checks)
}

fn nothing_changes(
    lane: &mut Lane<'_>,
    (one, hash): (&Fault, &str),
    other: &Fault,
    checks: &mut Checks,
) -> Result<()> {
    let later_ms = now_ms() + APPROVED_MS;
    lane.bed.approve(one, OTHER[0], later_ms)?;
    lane.bed.approve(one, hash, now_ms() - 1)?;
    lane.bed.approve(other, hash, later_ms)?;
    notes(lane, one, 2)?;
    notes(lane, other, 1)?;
    let mut say = |what: &str, holds| checks.push((what.to_owned(), holds));
    say("an approval for another hash changes nothing", stands(lane, one));
    say("an approval after its end changes nothing", stands(lane, one));
    say("an approval for another execution changes nothing", stands(lane, other));
    // Whoever goes on reads all of them again.
    lane.acts.kill();
    lane.acts.go_on()?;
    lane.bed.approve(one, OTHER[1], later_ms)?;
    notes(lane, one, 3)?;
    let told = (count(lane, one), count(lane, other));
    say("after a kill nothing of them is told again", told == (3, 1));
    say("after a kill they change nothing", stands(lane, one) && stands(lane, other));
    Ok(())
}

/// An approval ends while the kill switch is on.
fn ends_before_it_begins(
    lane: &mut Lane<'_>,
    fault: &Fault,
    hash: &str,
    checks: &mut Checks,
) -> Result<()> {
    let switch = lane.bed.site.dir().join(KILL_SWITCH);
    fs::write(&switch, "")?;
    // Once act has told of a later word, it has looked for the switch.
    lane.bed.approve(fault, OTHER[2], now_ms() + APPROVED_MS)?;
    notes(lane, fault, 2)?;
    lane.bed.approve(fault, hash, now_ms() + BRIEFLY_MS)?;
    let is_over = |row: &Action| row.state == ActionState::Expired;
    lane.watch.row(&fault.execution(), deadline(), is_over)?;
    fs::remove_file(&switch)?;
    lane.watch.catch_up(Duration::from_secs(1))?;
    let is_untouched = lane.bed.agent.seen(fault.index).sets == 0;
    let last = lane.watch.of(&fault.execution()).next_back().map(|row| row.state);
    let holds = is_untouched && last == Some(ActionState::Expired);
    checks.push(("an approval that ends before it can begin changes nothing".to_owned(), holds));
    Ok(())
}

/// Begins one that waits for a person; the hash of its plan.
fn waits(lane: &mut Lane<'_>, fault: &Fault) -> Result<String> {
    lane.bed.breaks(fault)?;
    let is_it = |row: &Action| row.state == ActionState::AwaitingApproval;
    let row = lane.watch.row(&fault.execution(), deadline(), is_it)?;
    row.plan_hash.context("a plan that waits has a hash")
}

/// Until so many words that change nothing have been told.
fn notes(lane: &mut Lane<'_>, fault: &Fault, wanted: usize) -> Result<()> {
    let end = deadline();
    while count(lane, fault) < wanted {
        let before = lane.watch.of(&fault.execution()).count() as u32;
        lane.watch.row(&fault.execution(), end, |row| row.serial >= before)?;
    }
    Ok(())
}

fn count(lane: &Lane<'_>, fault: &Fault) -> usize {
    lane.watch.of(&fault.execution()).filter(|row| row.action.is_some()).count()
}

/// It waits as before, and the device was not written.
fn stands(lane: &Lane<'_>, fault: &Fault) -> bool {
    let last = lane.watch.of(&fault.execution()).next_back().map(|row| row.state);
    last == Some(ActionState::AwaitingApproval) && lane.bed.agent.seen(fault.index).sets == 0
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}
