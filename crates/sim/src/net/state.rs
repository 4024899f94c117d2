//! What changes in the simulated network: devices alive or not, interfaces up or down and what they
//! have counted, links whole or cut, policies that were set.

use std::net::Ipv4Addr;

/// What an interface counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    InOctets,
    InPackets,
    InErrors,
    InDiscards,
    OutOctets,
    OutPackets,
    OutErrors,
    OutDiscards,
}

pub const COUNTERS: usize = 8;

/// Events a second, of each kind.
pub type Rates = [f64; COUNTERS];

/// A counter of 64 bits and the part of one event that is not counted yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    whole: u64,
    part: f64,
}

/// What an interface has last told about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Up,
    Down,
    AdminDown,
}

#[derive(Clone, Debug)]
pub struct PortState {
    pub admin_up: bool,
    pub oper_up: bool,
    pub told: Shown,
    /// Of the last change of state: ifLastChange.
    pub changed_ms: i64,
    pub counts: [Count; COUNTERS],
    pub rates: Rates,
}

#[derive(Clone, Debug)]
pub struct DeviceState {
    pub is_alive: bool,
    pub boot_ms: i64,
    /// Percent over the last second and, smoothed, the last minute.
    pub cpu: f64,
    pub cpu_minute: f64,
    /// What it is at on an ordinary day.
    pub cpu_ordinary: f64,
    /// What a fault drives it to.
    pub cpu_forced: Option<f64>,
    pub log_lines: u32,
    /// When its latest message leaves; the next leaves later.
    pub said_ms: i64,
    pub policies: Vec<Policy>,
}

#[derive(Clone, Debug, Default)]
pub struct LinkState {
    pub is_cut: bool,
    /// A dirty connector: light comes and goes.
    pub is_flapping: bool,
    pub is_dark: bool,
    /// Whether it carried traffic when last looked at.
    pub carries: bool,
    pub session_up: bool,
}

/// What the command line of a device may set beside its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    RateLimit {
        src: Ipv4Addr,
        dst: Ipv4Addr,
        mbps: u32,
    },
    /// TCP to one host; with `syn_only`, only what opens a conversation.
    Drop {
        dst: Ipv4Addr,
        syn_only: bool,
    },
}

// === impl Count ===

impl Count {
    pub fn starting_at(whole: u64) -> Count {
        Count { whole, part: 0.0 }
    }

    pub fn add(&mut self, amount: f64) {
        self.part += amount;
        let ripe = self.part.floor();
        self.whole = self.whole.wrapping_add(ripe as u64);
        self.part -= ripe;
    }

    pub fn after(self, amount: f64) -> u64 {
        self.whole.wrapping_add((self.part + amount).floor() as u64)
    }
}

// === impl PortState ===

impl PortState {
    pub fn count_for(&mut self, seconds: f64) {
        for (count, rate) in self.counts.iter_mut().zip(self.rates) {
            if rate > 0.0 {
                count.add(rate * seconds);
            }
        }
    }

    /// The counter `seconds` after it was last brought up to date.
    pub fn count(&self, counter: Counter, seconds: f64) -> u64 {
        self.counts[counter as usize].after(self.rates[counter as usize] * seconds)
    }

    pub fn shows(&self) -> Shown {
        match (self.admin_up, self.oper_up) {
            (false, _) => Shown::AdminDown,
            (true, true) => Shown::Up,
            (true, false) => Shown::Down,
        }
    }
}

// === impl LinkState ===

impl LinkState {
    pub fn has_light(&self) -> bool {
        !self.is_cut && !(self.is_flapping && self.is_dark)
    }
}
