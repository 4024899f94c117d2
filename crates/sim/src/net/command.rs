//! A device's own command line. Commands say a state and not a change, so that the same one twice
//! is as good as once; `show policies` prints what was added in the words that added it.
//!
//! ```text
//! show interfaces | show policies | show cpu | show top-talkers
//! rate-limit add NAME src ADDR dst ADDR mbps N
//! rate-limit remove NAME
//! drop add NAME dst ADDR protocol tcp [flags syn]
//! drop remove NAME
//! interface NAME up|down
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use super::change::STATION;
use super::layout::DeviceId;
use super::load::Talker;
use super::state::{Policy, Rule};
use super::syslog::{By, Message};
use super::world::Net;

/// What a device holds at most.
const POLICIES_MAX: usize = 64;
const NAME_MAX: usize = 64;
/// Lines of the largest flows.
const TALKERS_SHOWN: usize = 10;
/// What a line may have.
pub const LINE_MAX: usize = 512;

const USAGE: &str = "unknown command; known are show interfaces|policies|cpu|top-talkers, \
                     rate-limit add|remove, drop add|remove, interface NAME up|down";

#[derive(Clone, Copy, PartialEq)]
enum Which {
    RateLimit,
    Drop,
}

// === impl Net ===

impl Net {
    /// Runs one line on a device at a time that is not before the last `advance`: its output, or
    /// what is wrong with it.
    pub fn command(&mut self, device: &str, now_ms: i64, line: &str) -> Result<String, String> {
        let Some(id) = self.layout.device(device) else {
            return Err(format!("there is no device {device:?}"));
        };
        if !self.is_heard(id) {
            return Err("the device does not answer".to_owned());
        }
        if line.len() > LINE_MAX {
            return Err(format!("a line has at most {LINE_MAX} octets"));
        }
        let now_ms = now_ms.max(self.settled_ms);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["show", "interfaces"] => Ok(self.show_interfaces(id)),
            ["show", "policies"] => Ok(self.show_policies(id)),
            ["show", "cpu"] => Ok(self.show_cpu(id)),
            ["show", "top-talkers"] => Ok(self.show_talkers(id)),
            ["rate-limit", "add", name, "src", src, "dst", dst, "mbps", mbps] => {
                let (src, dst) = (address(src)?, address(dst)?);
                let rule = Rule::RateLimit { src, dst, mbps: rate(mbps)? };
                self.add_policy(id, Policy { name: policy_name(name)?, rule }, now_ms)
            }
            ["drop", "add", name, "dst", dst, "protocol", "tcp"] => {
                let rule = Rule::Drop { dst: address(dst)?, syn_only: false };
                self.add_policy(id, Policy { name: policy_name(name)?, rule }, now_ms)
            }
            ["drop", "add", name, "dst", dst, "protocol", "tcp", "flags", "syn"] => {
                let rule = Rule::Drop { dst: address(dst)?, syn_only: true };
                self.add_policy(id, Policy { name: policy_name(name)?, rule }, now_ms)
            }
            ["rate-limit", "remove", name] => {
                self.remove_policy(id, name, Which::RateLimit, now_ms)
            }
            ["drop", "remove", name] => self.remove_policy(id, name, Which::Drop, now_ms),
            ["interface", name, "up"] => self.shut(id, name, true, now_ms),
            ["interface", name, "down"] => self.shut(id, name, false, now_ms),
            _ => Err(USAGE.to_owned()),
        }
    }

    /// One line an interface: `Te0/1 admin up oper up speed 10000000000 in 123 out 456 to core1`.
    fn show_interfaces(&self, device: DeviceId) -> String {
        let word = |is_up: bool| if is_up { "up" } else { "down" };
        let one = |port: &usize| {
            let (fixed, state) = (&self.layout.ports[*port], &self.ports[*port]);
            let bps = |counter: super::state::Counter| (state.rates[counter as usize] * 8.0) as u64;
            format!(
                "{} admin {} oper {} speed {} in {} out {} {}\n",
                fixed.name,
                word(state.admin_up),
                word(state.oper_up),
                fixed.speed_bps,
                bps(super::state::Counter::InOctets),
                bps(super::state::Counter::OutOctets),
                fixed.alias,
            )
        };
        self.layout.devices[device].ports.iter().map(one).collect()
    }

    fn show_policies(&self, device: DeviceId) -> String {
        self.devices[device].policies.iter().map(|policy| format!("{policy}\n")).collect()
    }

    fn show_cpu(&self, device: DeviceId) -> String {
        let state = &self.devices[device];
        format!("five seconds {:.0}% one minute {:.0}%\n", state.cpu, state.cpu_minute)
    }

    /// Pairs of hosts that send the most through this device, the largest first, as JSON: what a
    /// device's own flow cache shows.
    fn show_talkers(&self, device: DeviceId) -> String {
        let passes = |talker: &&Talker| {
            let mut hops = talker.way.iter().flatten();
            talker.carried_bps > 0.0 && hops.any(|hop| hop.device == device)
        };
        let mut talkers: Vec<&Talker> = self.load.talkers.iter().filter(passes).collect();
        talkers.sort_by(|a, b| b.carried_bps.total_cmp(&a.carried_bps));
        let one = |talker: &&Talker| {
            serde_json::json!({
                "address": talker.src.to_string(),
                "peer": talker.dst.to_string(),
                "bandwidth": talker.carried_bps.round(),
            })
        };
        let flows: Vec<_> = talkers.iter().take(TALKERS_SHOWN).map(one).collect();
        format!("{}\n", serde_json::json!({ "flows": flows }))
    }

    /// A policy of this name has these words from now on, whatever it had before.
    fn add_policy(
        &mut self,
        device: DeviceId,
        policy: Policy,
        now_ms: i64,
    ) -> Result<String, String> {
        let policies = &self.devices[device].policies;
        if policies.contains(&policy) || self.params.deaf {
            return Ok(String::new());
        }
        let is_other = |other: &Policy| other.name != policy.name;
        if policies.iter().filter(|other| is_other(other)).count() >= POLICIES_MAX {
            return Err(format!("the device holds {POLICIES_MAX} policies, and no more"));
        }
        self.devices[device].policies.retain(is_other);
        self.devices[device].policies.push(policy);
        self.configured(device, now_ms);
        Ok(String::new())
    }

    fn remove_policy(
        &mut self,
        device: DeviceId,
        name: &str,
        which: Which,
        now_ms: i64,
    ) -> Result<String, String> {
        let name = policy_name(name)?;
        let policies = &mut self.devices[device].policies;
        let before = policies.len();
        if !self.params.deaf {
            policies.retain(|policy| policy.name != name || policy.which() != which);
        }
        if policies.len() != before {
            self.configured(device, now_ms);
        }
        Ok(String::new())
    }

    fn shut(
        &mut self,
        device: DeviceId,
        name: &str,
        is_up: bool,
        now_ms: i64,
    ) -> Result<String, String> {
        let Some(port) = self.layout.port(device, name) else {
            return Err(format!("there is no interface {name:?}"));
        };
        if !self.params.deaf && self.set_admin_now(port, is_up, now_ms) {
            self.say(device, Message::Configured { by: By::Person(STATION) }, now_ms);
        }
        Ok(String::new())
    }

    fn configured(&mut self, device: DeviceId, now_ms: i64) {
        self.settle(now_ms);
        self.enforce();
        self.rate(now_ms);
        self.say(device, Message::Configured { by: By::Person(STATION) }, now_ms);
    }
}

// === impl Policy ===

impl Policy {
    fn which(&self) -> Which {
        match self.rule {
            Rule::RateLimit { .. } => Which::RateLimit,
            Rule::Drop { .. } => Which::Drop,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.rule {
            Rule::RateLimit { src, dst, mbps } => {
                write!(f, "rate-limit {name} src {src} dst {dst} mbps {mbps}")
            }
            Rule::Drop { dst, syn_only } => {
                let flags = if syn_only { " flags syn" } else { "" };
                write!(f, "drop {name} dst {dst} protocol tcp{flags}")
            }
        }
    }
}

fn address(word: &str) -> Result<Ipv4Addr, String> {
    word.parse().map_err(|_| format!("{word:?} is no IPv4 address"))
}

fn rate(word: &str) -> Result<u32, String> {
    match word.parse() {
        Ok(mbps) if (1..=100_000).contains(&mbps) => Ok(mbps),
        _ => Err(format!("{word:?} is no rate from 1 to 100000 Mbit/s")),
    }
}

fn policy_name(word: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if word.len() <= NAME_MAX && word.chars().all(is_plain) {
        Ok(word.to_owned())
    } else {
        Err(format!("a name has at most {NAME_MAX} letters, digits, dots, dashes: {word:?}"))
    }
}
