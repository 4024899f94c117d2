//! How the network changes: interfaces and links come and go, faults begin and end, policies take
//! hold. Whatever follows from a change (routes, sessions, what both ends say) is done here at
//! once; what takes its time is scheduled.

use std::net::Ipv4Addr;

use rand::Rng;
use rand_distr::Exp1;

use super::faults::{Cause, Fault, Place};
use super::layout::{At, DeviceId, LinkId, PortId};
use super::load::{Attack, CONNECTIONS, Talker, doors};
use super::routes::{Hop, Routes};
use super::state::{COUNTERS, Count, DeviceState, LinkState, Rule, Shown};
use super::syslog::{By, Message, State};
use super::world::{Event, Net, TRICKLE, report_at};
use crate::traffic::Flood;

/// Mean of what a device takes to notice a change and to say so, in ms.
const SAY_MEAN_MS: f64 = 1_500.0;
const SAY_MAX_MS: f64 = 8_000.0;
/// IOS waits a second between an interface and its line protocol.
const PROTOCOL_MS: i64 = 1_000;
/// A BGP session comes up this long after its link.
const SESSION_MS: std::ops::Range<i64> = 2_000..6_000;
/// How long a flapping link has no light, and has it.
const DARK_MS: std::ops::Range<i64> = 1_000..3_000;
const LIGHT_MS: std::ops::Range<i64> = 3_000..6_000;
/// A talker would take this many times its narrowest interface's speed.
const GREED: f64 = 2.5;
/// What a fault drives a CPU to, in percent.
const CPU_FORCED: f64 = 96.5;
/// From where people configure.
pub(super) const STATION: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 10);

// === impl Net: links and interfaces ===

impl Net {
    /// Sets an interface's administrative state; false where it had it.
    pub(super) fn set_admin_now(&mut self, port: PortId, is_up: bool, now_ms: i64) -> bool {
        if self.ports[port].admin_up == is_up {
            return false;
        }
        self.ports[port].admin_up = is_up;
        self.relink(now_ms);
        true
    }

    /// Follows a change of links, interfaces or devices to all that depends on them.
    pub(super) fn relink(&mut self, now_ms: i64) {
        self.settle(now_ms);
        for link in 0..self.links.len() {
            let carries = self.may_carry(link);
            let had = std::mem::replace(&mut self.links[link].carries, carries);
            if had != carries && self.layout.links[link].session {
                self.session_follows(link, now_ms);
            }
        }
        for port in 0..self.ports.len() {
            self.port_follows(port, now_ms);
        }
        self.reroute();
        self.rate(now_ms);
    }

    pub(super) fn reroute(&mut self) {
        let links = &self.links;
        self.routes = Routes::new(&self.layout, |link| links[link].carries);
        self.load.reroute(&self.layout, &self.routes, &self.ports);
        self.enforce();
    }

    /// A message leaves a device after it has noticed, and after those before it.
    pub(super) fn say(&mut self, device: DeviceId, message: Message, now_ms: i64) {
        let wait: f64 = self.rngs.say.sample(Exp1);
        let wait_ms = (wait * SAY_MEAN_MS).min(SAY_MAX_MS) as i64;
        self.say_at(device, message, now_ms + wait_ms);
    }

    fn say_at(&mut self, device: DeviceId, message: Message, at_ms: i64) {
        if self.devices[device].is_alive {
            let at_ms = at_ms.max(self.devices[device].said_ms.saturating_add(1));
            self.devices[device].said_ms = at_ms;
            self.schedule(at_ms, Event::Say(device, message));
        }
    }

    fn say_next(&mut self, device: DeviceId, message: Message, after_ms: i64) {
        let at_ms = self.devices[device].said_ms.saturating_add(after_ms);
        self.say_at(device, message, at_ms);
    }

    fn may_carry(&self, link: LinkId) -> bool {
        let ends = [self.layout.links[link].a, self.layout.links[link].b];
        self.links[link].has_light()
            && ends.iter().all(|port| {
                self.ports[*port].admin_up && self.devices[self.layout.ports[*port].device].is_alive
            })
    }

    fn port_follows(&mut self, port: PortId, now_ms: i64) {
        let device = self.layout.ports[port].device;
        let is_alive = self.devices[device].is_alive;
        let oper_up = is_alive
            && match self.layout.ports[port].at {
                At::Link(link) => self.links[link].carries,
                At::Network(_) | At::Loopback => self.ports[port].admin_up,
            };
        let state = &mut self.ports[port];
        let was_up = std::mem::replace(&mut state.oper_up, oper_up);
        let (told, shows) = (state.told, state.shows());
        state.told = shows;
        if was_up != oper_up {
            state.changed_ms = now_ms;
        }
        if told == shows || !is_alive {
            return;
        }
        // IOS says the long name.
        let name = self.layout.ports[port].descr.clone();
        let message = match shows {
            Shown::Up => Message::Link { port: name.clone(), state: State::Up },
            Shown::Down => Message::Link { port: name.clone(), state: State::Down },
            Shown::AdminDown => Message::AdminDown { port: name.clone() },
        };
        self.say(device, message, now_ms);
        if was_up != oper_up {
            let state = State::of(oper_up);
            self.say_next(device, Message::LineProtocol { port: name, state }, PROTOCOL_MS);
        }
    }

    fn session_follows(&mut self, link: LinkId, now_ms: i64) {
        if self.links[link].carries {
            let wait_ms = self.rngs.say.random_range(SESSION_MS);
            self.schedule(now_ms + wait_ms, Event::Session(link));
        } else if std::mem::replace(&mut self.links[link].session_up, false) {
            self.say_session(link, State::Down, now_ms);
        }
    }

    pub(super) fn session(&mut self, link: LinkId, now_ms: i64) {
        let LinkState { carries, session_up, .. } = self.links[link];
        if carries && !session_up {
            self.links[link].session_up = true;
            self.say_session(link, State::Up, now_ms);
        }
    }

    fn say_session(&mut self, link: LinkId, state: State, now_ms: i64) {
        let ends = [self.layout.links[link].a, self.layout.links[link].b];
        let [a, b] = ends.map(|port| self.layout.ports[port].device);
        for (device, other) in [(a, b), (b, a)] {
            let neighbour = self.layout.devices[other].address;
            self.say(device, Message::Bgp { neighbour, state }, now_ms);
        }
    }

    pub(super) fn flap(&mut self, link: LinkId, now_ms: i64) {
        if !self.links[link].is_flapping {
            return;
        }
        let is_dark = !self.links[link].is_dark;
        self.links[link].is_dark = is_dark;
        let wait_ms = self.rngs.say.random_range(if is_dark { DARK_MS } else { LIGHT_MS });
        self.schedule(now_ms + wait_ms, Event::Flap(link));
        self.relink(now_ms);
    }
}

// === impl Net: policies ===

impl Net {
    /// Lets policies hold on what is on its way.
    pub(super) fn enforce(&mut self) {
        let limits: Vec<Option<f64>> = self
            .load
            .talkers
            .iter()
            .map(|talker| self.limit(talker.way.as_deref().unwrap_or(&[]), talker.src, talker.dst))
            .collect();
        for (talker, limit) in self.load.talkers.iter_mut().zip(limits) {
            talker.limit_bps = limit;
        }
        let passes: Vec<Vec<f64>> = self
            .load
            .attacks
            .iter()
            .map(|attack| {
                let of_door = attack.doors.iter().map(|door| match &door.way {
                    Some(way) if is_dropped(&self.devices, way, attack.victim) => TRICKLE,
                    _ => 1.0,
                });
                of_door.collect()
            })
            .collect();
        for (attack, passes) in self.load.attacks.iter_mut().zip(passes) {
            for (door, passes) in attack.doors.iter_mut().zip(passes) {
                door.passes = passes;
            }
        }
    }

    fn limit(&self, way: &[Hop], from: Ipv4Addr, to: Ipv4Addr) -> Option<f64> {
        let policies = way.iter().flat_map(|hop| &self.devices[hop.device].policies);
        let limits = policies.filter_map(|policy| match policy.rule {
            Rule::RateLimit { src, dst, mbps } if (src, dst) == (from, to) => Some(mbps),
            _ => None,
        });
        limits.min().map(|mbps| f64::from(mbps) * 1e6)
    }
}

/// Whether a device on the way drops what opens a conversation with a host.
pub(super) fn is_dropped(devices: &[DeviceState], way: &[Hop], host: Ipv4Addr) -> bool {
    way.iter()
        .flat_map(|hop| &devices[hop.device].policies)
        .any(|policy| matches!(policy.rule, Rule::Drop { dst, .. } if dst == host))
}

// === impl Net: faults ===

impl Net {
    pub(super) fn begin(&mut self, nth: usize, now_ms: i64) {
        self.settle(now_ms);
        let Cause { fault, place, .. } = self.causes[nth].clone();
        match (fault, place) {
            (Fault::LinkDown, Place::Port(port)) => {
                let device = self.layout.ports[port].device;
                self.say(device, Message::Configured { by: By::Person(STATION) }, now_ms);
                self.set_admin_now(port, false, now_ms);
            }
            (Fault::Cut, Place::Link(link)) => self.cut(&[link], Whole::No, now_ms),
            (Fault::GroupDown, Place::Group(group)) => {
                let links = self.layout.groups[group].links.clone();
                self.cut(&links, Whole::No, now_ms);
            }
            (Fault::Flapping, Place::Link(link)) => {
                self.links[link].is_flapping = true;
                self.flap(link, now_ms);
            }
            (Fault::Cpu, Place::Device(device)) => {
                self.devices[device].cpu_forced = Some(CPU_FORCED);
            }
            (Fault::NodeDown, Place::Device(device)) => {
                self.devices[device].is_alive = false;
                self.relink(now_ms);
            }
            (Fault::SilentExporter, Place::Device(device)) => {
                if let Some(unit) = &mut self.units[device] {
                    unit.is_silent = true;
                }
            }
            (Fault::Saturation, Place::Talk(talk)) => {
                let speed = self.layout.ports[talk.narrow].speed_bps as f64;
                self.load.talkers.push(Talker {
                    fault: nth,
                    src: talk.src,
                    dst: talk.dst,
                    from: talk.from,
                    to: talk.to,
                    salt: talk.salt,
                    offered_bps: GREED * speed,
                    limit_bps: None,
                    way: None,
                    carried_bps: 0.0,
                    octets: 0.0,
                    reported: [0.0; CONNECTIONS],
                    reported_ms: [now_ms; CONNECTIONS],
                });
                for connection in 0..CONNECTIONS {
                    let at_ms = report_at(now_ms, connection);
                    self.schedule(at_ms, Event::Report(nth, connection));
                }
                self.reroute();
                self.rate(now_ms);
            }
            (Fault::SynFlood, Place::Victim { network, host }) => {
                self.load.attacks.push(Attack {
                    fault: nth,
                    victim: host,
                    at: network,
                    syn_per_s: self.params.syn_per_s,
                    flood: Flood::new(self.params.seed, host, 443, self.params.sources),
                    doors: doors(&self.layout),
                });
                self.reroute();
                self.rate(now_ms);
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, nth: usize, now_ms: i64) {
        self.settle(now_ms);
        let Cause { fault, place, .. } = self.causes[nth].clone();
        match (fault, place) {
            (Fault::LinkDown, Place::Port(port)) => {
                self.set_admin_now(port, true, now_ms);
            }
            (Fault::Cut, Place::Link(link)) => self.cut(&[link], Whole::Again, now_ms),
            (Fault::GroupDown, Place::Group(group)) => {
                let links = self.layout.groups[group].links.clone();
                self.cut(&links, Whole::Again, now_ms);
            }
            (Fault::Flapping, Place::Link(link)) => {
                self.links[link].is_flapping = false;
                self.links[link].is_dark = false;
                self.relink(now_ms);
            }
            (Fault::Cpu, Place::Device(device)) => self.devices[device].cpu_forced = None,
            (Fault::NodeDown, Place::Device(device)) => self.restart(device, now_ms),
            (Fault::SilentExporter, Place::Device(device)) => {
                if let Some(unit) = &mut self.units[device] {
                    unit.is_silent = false;
                    unit.exporter.restart(now_ms);
                }
            }
            (Fault::Saturation | Fault::SynFlood, _) => {
                self.load.talkers.retain(|talker| talker.fault != nth);
                self.load.attacks.retain(|attack| attack.fault != nth);
                self.rate(now_ms);
            }
            _ => {}
        }
    }

    fn cut(&mut self, links: &[LinkId], whole: Whole, now_ms: i64) {
        for link in links {
            self.links[*link].is_cut = whole == Whole::No;
        }
        self.relink(now_ms);
    }

    /// A device boots: uptime, counters and policies that nobody saved begin anew.
    fn restart(&mut self, device: DeviceId, now_ms: i64) {
        let state = &mut self.devices[device];
        state.is_alive = true;
        state.boot_ms = now_ms;
        state.log_lines = 0;
        state.said_ms = now_ms;
        state.policies.clear();
        for port in self.layout.devices[device].ports.clone() {
            self.ports[port].counts = [Count::default(); COUNTERS];
            self.ports[port].changed_ms = now_ms;
            self.ports[port].told = Shown::Down;
        }
        if let Some(unit) = &mut self.units[device] {
            unit.exporter.restart(now_ms);
        }
        self.say(device, Message::Restart, now_ms);
        self.relink(now_ms);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Again,
    No,
}
