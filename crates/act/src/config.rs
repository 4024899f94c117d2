//! The section `act` of the configuration.

use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::playbook::Paths;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(custom(both_or_neither))]
pub struct ActConfig {
    /// A folder with one playbook a file; a relative path is from the configuration's file. Without
    /// one there are no playbooks, and nothing is ever done.
    #[garde(skip)]
    pub playbooks: Option<PathBuf>,
    /// What binds the actions of playbooks to drivers.
    #[garde(skip)]
    pub actions: Option<PathBuf>,
    /// Nothing begins while this file is there: the kill switch.
    #[garde(skip)]
    pub kill_switch: Option<PathBuf>,
    /// A plan that waits for approval for so long is given up.
    #[garde(range(min = 1))]
    pub approval_within_s: u32,
    /// A repair that does not show so long after its last step has failed, and is taken back.
    #[garde(range(min = 1))]
    pub verify_within_s: u32,
    /// A device that does not do what it was told is waited for so long.
    #[garde(range(min = 1))]
    pub settle_s: u32,
    /// How long nothing new may break behind a repair that silences its own symptoms.
    #[garde(range(min = 1))]
    pub hold_s: u32,
    /// Between two looks at a device while a repair is verified.
    #[garde(range(min = 1))]
    pub look_every_s: u32,
    /// A device is written only within this time of its lease.
    #[garde(range(min = 500, max = 60_000))]
    pub lease_ms: u64,
    /// Attempts at one call that reached nobody.
    #[garde(range(min = 1, max = 10))]
    pub attempts_max: u32,
    #[garde(dive)]
    pub gates: GatesConfig,
    #[garde(dive)]
    pub limits: LimitsConfig,
}

/// What must hold before a change is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct GatesConfig {
    /// Devices that are changed within the window.
    #[garde(range(min = 1))]
    pub devices_max: u32,
    #[garde(range(min = 1))]
    pub devices_window_s: u32,
    /// Executions of a domain that begin within an hour.
    #[garde(range(min = 1))]
    pub executions_per_hour_max: u32,
    /// The same action on the same target within an hour: more would be flapping ourselves.
    #[garde(range(min = 1))]
    pub repeats_per_hour_max: u32,
    /// Failed verifications within an hour after which nothing is automatic any more.
    #[garde(range(min = 1))]
    pub breaker_after: u32,
    /// Changes begin only within one of these, where there are any; times of day in UTC.
    #[garde(inner(custom(is_window)))]
    pub windows: Vec<String>,
    /// Nothing begins within these: `2026-12-24T00:00:00Z/2026-12-27T00:00:00Z`.
    #[garde(inner(custom(is_freeze)))]
    pub freezes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Executions that are remembered, those that have ended included; over it no new one begins.
    #[garde(range(min = 1))]
    pub executions_max: u32,
    /// Incidents that are remembered; over it the oldest that is over is forgotten.
    #[garde(range(min = 1))]
    pub incidents_max: u32,
    /// Steps of a plan, `each` counted out.
    #[garde(range(min = 1, max = 200))]
    pub steps_max: u32,
    /// Bytes of a plan as JSON.
    #[garde(range(min = 1_000, max = 500_000))]
    pub plan_bytes_max: u32,
    /// Characters of an answer that are kept.
    #[garde(range(min = 16, max = 100_000))]
    pub answer_chars_max: u32,
    /// Executions of one playbook for one incident.
    #[garde(range(min = 1))]
    pub tries_max: u32,
    /// Elements, devices and interfaces each that are known of the network.
    #[garde(range(min = 1))]
    pub network_max: u32,
    /// Approvals that are remembered; over it the oldest is forgotten.
    #[garde(range(min = 1))]
    pub approvals_max: u32,
    /// Threads that call drivers, so calls at the same time.
    #[garde(range(min = 1, max = 64))]
    pub calls_max: u32,
}

// === impl ActConfig ===

impl Default for ActConfig {
    fn default() -> ActConfig {
        ActConfig {
            playbooks: None,
            actions: None,
            kill_switch: None,
            approval_within_s: 3_600,
            verify_within_s: 120,
            settle_s: 10,
            hold_s: 20,
            look_every_s: 2,
            lease_ms: 5_000,
            attempts_max: 3,
            gates: GatesConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl ActConfig {
    /// Files of playbooks and bindings, where both are given.
    pub fn paths(&self) -> Option<Paths> {
        let (actions, playbooks) = (self.actions.clone()?, self.playbooks.clone()?);
        Some(Paths { actions, playbooks })
    }

    /// With paths that hold wherever the process runs: `base` is the folder of the configuration's
    /// file.
    pub fn below(mut self, base: &std::path::Path) -> ActConfig {
        for path in [&mut self.playbooks, &mut self.actions, &mut self.kill_switch] {
            *path = path.take().map(|path| base.join(path));
        }
        self
    }
}

// === impl GatesConfig ===

impl Default for GatesConfig {
    fn default() -> GatesConfig {
        GatesConfig {
            devices_max: 3,
            devices_window_s: 600,
            executions_per_hour_max: 20,
            repeats_per_hour_max: 3,
            breaker_after: 3,
            windows: Vec::new(),
            freezes: Vec::new(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            executions_max: 10_000,
            incidents_max: 10_000,
            steps_max: 30,
            plan_bytes_max: 200_000,
            answer_chars_max: 4_000,
            tries_max: 5,
            network_max: 200_000,
            approvals_max: 10_000,
            calls_max: 4,
        }
    }
}

fn both_or_neither(config: &ActConfig, _context: &()) -> garde::Result {
    match (&config.playbooks, &config.actions) {
        (Some(_), None) => Err(garde::Error::new("playbooks need `actions`, which binds them")),
        (None, Some(_)) => Err(garde::Error::new("actions are for `playbooks`, which are not set")),
        _ => Ok(()),
    }
}

/// Minutes of the day from and to, of `22:00-04:00`.
pub(crate) fn window(text: &str) -> Option<(u32, u32)> {
    let minutes = |time: &str| {
        let (hours, minutes) = time.trim().split_once(':')?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    let (from, to) = text.split_once('-')?;
    Some((minutes(from)?, minutes(to)?))
}

/// Milliseconds since 1970 from and to, of `FROM/TO`.
pub(crate) fn freeze(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once('/')?;
    Some((model::time::parse(from.trim())?, model::time::parse(to.trim())?))
}

// garde hands a reference to the field's own type.
#[allow(clippy::ptr_arg)]
fn is_window(text: &String, _context: &()) -> garde::Result {
    match window(text) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new("a time of day from and to, as `22:00-04:00`")),
    }
}

#[allow(clippy::ptr_arg)]
fn is_freeze(text: &String, _context: &()) -> garde::Result {
    match freeze(text) {
        Some((from, to)) if from < to => Ok(()),
        _ => Err(garde::Error::new(
            "a time from and to, as `2026-12-24T00:00:00Z/2026-12-27T00:00:00Z`",
        )),
    }
}
