//! One kill: act is led to its point, killed there, and what goes on is judged by the device, the
//! receivers and the rows.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use model::rows::ActionState;

use super::acts::{Acts, Heir};
use super::agent::{Agent, DOWN, UP};
use super::bed::{Bed, Fault, now_ms};
use super::gate::{Gate, Spot, Stop};
use super::point::{Catch, Kill, Means, Way};
use super::watch::{Watch, is_end};

/// For anything that is waited for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a dead act has committed is there within this; nobody has taken over before its session of
/// 2 s is over.
const SETTLES: Duration = Duration::from_millis(400);
/// How long an approval holds.
pub const APPROVED_MS: i64 = 60_000;

/// What was made for one fault, by its receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub forth: u32,
    pub back: u32,
    /// Sets of the device that changed nothing more.
    pub repeated: u32,
    /// The device is as it was before, or was never asked.
    pub is_as_before: bool,
}

/// What became of one kill.
#[derive(Clone, Debug)]
pub struct Struck {
    pub kill: Kill,
    pub heir: Heir,
    pub fault: Fault,
    /// The last row that stood when act was dead.
    pub landed: ActionState,
    pub end: ActionState,
    pub made: Made,
    /// Every row, in words.
    pub states: String,
    /// From the death to the end.
    pub took: Duration,
}

/// A bed with its processes.
pub struct Lane<'a> {
    pub bed: &'a Bed,
    pub heir: Heir,
    pub acts: Acts<'a>,
    pub watch: Watch,
}

// === impl Lane ===

impl<'a> Lane<'a> {
    pub fn new(bed: &'a Bed, heir: Heir) -> Result<Lane<'a>> {
        Ok(Lane { bed, heir, acts: Acts::new(bed, heir), watch: bed.watch()? })
    }

    pub fn strike(&mut self, kill: Kill, index: u32) -> Result<Struck> {
        let fault = Fault { index, means: kill.means, way: kill.point.way() };
        let execution = fault.execution();
        self.acts.ready()?;
        self.lead(kill, &fault).map_err(|error| self.with_output(&error))?;
        self.acts.kill();
        let begun = Instant::now();
        self.watch.catch_up(SETTLES)?;
        self.open(kill.means);
        let landed = self.watch.of(&execution).next_back().context("there is no row")?.state;
        self.acts.go_on()?;
        let end = self.to_the_end(&fault).map_err(|error| self.with_output(&error))?;
        let (made, states) = (self.bed.made(&fault), self.watch.states(&execution));
        let (heir, took) = (self.heir, begun.elapsed());
        Ok(Struck { kill, heir, fault, landed, end, made, states, took })
    }

    fn with_output(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}; act said:\n{}", self.acts.output())
    }

    /// Begins an execution, and waits until it is where it is to be cut.
    fn lead(&mut self, kill: Kill, fault: &Fault) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let spot = |subject, stop| Spot { subject, stop };
        let snmp = kill.means == Means::Snmp;
        let spot = match kill.catch() {
            Catch::Row(state) => {
                self.bed.breaks(fault)?;
                self.watch.row(&fault.execution(), deadline, |row| row.state == state)?;
                return Ok(());
            }
            Catch::Look => {
                self.bed.breaks(fault)?;
                self.verifying(fault, deadline)?;
                spot(Agent::asked(fault.index), Stop::Arrived)
            }
            Catch::Write(stop) if snmp => spot(Agent::told(fault.index, UP), stop),
            Catch::Back(stop) if snmp => spot(Agent::told(fault.index, DOWN), stop),
            Catch::Write(stop) => spot(fault.key("apply"), stop),
            Catch::Back(stop) => spot(fault.key("back"), stop),
        };
        self.arm(kill.means, &spot)?;
        if kill.catch() != Catch::Look {
            self.bed.breaks(fault)?;
        }
        let reached = match self.gate(kill.means) {
            Some(gate) => gate.wait(deadline),
            None => self.bed.program.wait(&spot, deadline),
        };
        let execution = fault.execution();
        if reached {
            return Ok(());
        }
        self.watch.catch_up(SETTLES)?;
        bail!("{spot:?} was not reached; there is {}", self.watch.states(&execution))
    }

    fn verifying(&mut self, fault: &Fault, deadline: Instant) -> Result<()> {
        let is_it = |state| state == ActionState::Verifying;
        self.watch.row(&fault.execution(), deadline, |row| is_it(row.state)).map(drop)
    }

    fn arm(&self, means: Means, spot: &Spot) -> Result<()> {
        match self.gate(means) {
            Some(gate) => gate.arm(spot.clone()),
            None => self.bed.program.arm(spot)?,
        }
        Ok(())
    }

    fn open(&self, means: Means) {
        match self.gate(means) {
            Some(gate) => gate.open(),
            None => self.bed.program.open(),
        }
    }

    fn gate(&self, means: Means) -> Option<&'a Gate> {
        match means {
            Means::Snmp => Some(&self.bed.agent.gate),
            Means::Webhook | Means::Tells => Some(&self.bed.hook.gate),
            Means::Command => None,
        }
    }

    /// Does what the world does then: a person approves, and a repair shows.
    pub fn to_the_end(&mut self, fault: &Fault) -> Result<ActionState> {
        let (execution, deadline) = (fault.execution(), Instant::now() + PATIENCE);
        if fault.way == Way::Asked {
            let waits = |state| state == ActionState::AwaitingApproval;
            let row = self.watch.row(&execution, deadline, |row| waits(row.state))?;
            let hash = row.plan_hash.context("a plan that waits has a hash")?;
            self.bed.approve(fault, &hash, now_ms() + APPROVED_MS)?;
        }
        if fault.way != Way::Back {
            let shows = |state| state == ActionState::Verifying;
            let row =
                self.watch.row(&execution, deadline, |row| shows(row.state) || is_end(row))?;
            if shows(row.state) {
                self.bed.heals(fault)?;
            }
        }
        Ok(self.watch.row(&execution, deadline, is_end)?.state)
    }
}

// === impl Bed ===

impl Bed {
    /// What was made for a fault so far.
    pub fn made(&self, fault: &Fault) -> Made {
        let key = |way: &str| fault.key(way);
        match fault.means {
            Means::Snmp => {
                let seen = self.agent.seen(fault.index);
                Made {
                    forth: seen.changes.div_ceil(2),
                    back: seen.changes / 2,
                    repeated: seen.sets - seen.changes,
                    is_as_before: seen.value == DOWN,
                }
            }
            Means::Command => made(|way| self.program.made(&key(way))),
            Means::Webhook | Means::Tells => made(|way| self.hook.made(&key(way))),
        }
    }
}

fn made(count: impl Fn(&str) -> u32) -> Made {
    let (forth, back) = (count("apply"), count("back"));
    Made { forth, back, repeated: 0, is_as_before: forth == back }
}

// === impl Struck ===

impl Struck {
    /// Whether act died where it was to.
    pub fn is_hit(&self) -> bool {
        self.kill.point.row().contains(&self.landed)
    }

    /// Changes over the one that is wanted.
    pub fn doubled(&self) -> u32 {
        self.made.forth.saturating_sub(1) + self.made.back.saturating_sub(1)
    }

    /// Changes that are said to be made and are not.
    pub fn lost(&self) -> u32 {
        let Made { forth, back, is_as_before, .. } = self.made;
        match self.end {
            ActionState::Confirmed => u32::from(forth == 0 || is_as_before),
            ActionState::RolledBack => u32::from(forth != back || !is_as_before),
            _ => 0,
        }
    }

    pub fn is_right(&self) -> bool {
        self.end == self.kill.end(self.landed) && self.doubled() == 0 && self.lost() == 0
    }
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Struck { kill, heir, landed, end, made, took, .. } = self;
        let (point, means) = (kill.point.name(), kill.means.name());
        let (landed, end) = (landed.as_str(), end.as_str());
        write!(f, "{point} {means} {}: died at {landed}, ends {end} ", heir.name())?;
        write!(f, "after {:.1} s, ", took.as_secs_f64())?;
        write!(f, "made {}, taken back {}, repeated {}", made.forth, made.back, made.repeated)
    }
}
