//! The network in time: events that are due, a tick every 100 ms, and what leaves the devices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::change::is_dropped;
use super::faults::{Cause, Truth};
use super::flows::Talks;
use super::inventory;
use super::layout::{DeviceId, Kind, Layout, LinkId};
use super::load::{CONNECTIONS, Load, bundles};
use super::mib::Mib;
use super::params::Params;
use super::routes::{Hop, Routes, mix};
use super::start::{device_state, port_state, units};
use super::state::{Counter, DeviceState, LinkState, PortState};
use super::syslog::Message;
use crate::exporter::{Datagram, Exporter};
use crate::flow::Flow;
use crate::scenario::{Curve, daily};
use crate::traffic::{Purpose, count, stream};

/// What leaves a device for the collectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Flows(Datagram),
    Syslog { time_ms: i64, from: Ipv4Addr, bytes: Vec<u8> },
}

/// The simulated network.
pub struct Net {
    pub(super) params: Params,
    pub(super) layout: Layout,
    pub(super) mibs: Vec<Arc<Mib>>,
    pub(super) causes: Vec<Cause>,
    pub(super) devices: Vec<DeviceState>,
    pub(super) ports: Vec<PortState>,
    pub(super) links: Vec<LinkState>,
    pub(super) routes: Routes,
    pub(super) load: Load,
    /// Up to when counters are counted.
    pub(super) settled_ms: i64,
    pub(super) units: Vec<Option<Unit>>,
    pub(super) rngs: Rngs,
    talks: Talks,
    /// Conversations a second of each bundle, averaged over a working day.
    talks_per_s: Vec<f64>,
    next_tick_ms: i64,
    events: BTreeMap<(i64, u64), Event>,
    events_made: u64,
    ready: Vec<Output>,
}

/// A device's exporter.
pub(super) struct Unit {
    pub(super) exporter: Exporter,
    pub(super) is_silent: bool,
}

pub(super) struct Rngs {
    pub(super) flood: ChaCha8Rng,
    pub(super) say: ChaCha8Rng,
    pub(super) wander: ChaCha8Rng,
    pub(super) talk: ChaCha8Rng,
    pub(super) chatter: ChaCha8Rng,
    pub(super) sampling: ChaCha8Rng,
}

/// What is due at a time.
pub(super) enum Event {
    Begin(usize),
    End(usize),
    /// Light comes or goes on a flapping link.
    Flap(LinkId),
    /// A BGP session over this link comes up, if the link still carries.
    Session(LinkId),
    Say(DeviceId, Message),
    /// A record of a talker's connection is due.
    Report(usize, usize),
    Chatter,
}

pub(super) const TICK_MS: i64 = 100;
const SECOND_MS: i64 = 1_000;
/// A talker's connections are told this often: a short active timeout, as flow caches on
/// switches have.
pub(super) const REPORT_MS: i64 = 10_000;
/// Mean records of a conversation: 2 in 100 are not answered.
const RECORDS_PER_TALK: f64 = 1.98;
/// Smoothing of the minute's CPU, per second: a window of 60 s has a mean age of 30 s.
const CPU_MINUTE: f64 = 1.0 / 30.0;

// === impl Output ===

impl Output {
    pub fn time_ms(&self) -> i64 {
        match self {
            Output::Flows(datagram) => datagram.time_ms,
            Output::Syslog { time_ms, .. } => *time_ms,
        }
    }

    /// The device's address that it comes from.
    pub fn from(&self) -> Ipv4Addr {
        match self {
            Output::Flows(datagram) => datagram.exporter,
            Output::Syslog { from, .. } => *from,
        }
    }
}

// === impl Net ===

impl Net {
    pub fn new(params: Params) -> Net {
        let layout = Layout::standard();
        let (seed, start_ms) = (params.seed, params.start_ms);
        let mut rng = stream(seed, Purpose::Layout, 0);
        let devices: Vec<DeviceState> =
            layout.devices.iter().map(|_| device_state(start_ms, &mut rng)).collect();
        let ports: Vec<PortState> =
            layout.ports.iter().map(|_| port_state(start_ms, &mut rng)).collect();
        let whole = || LinkState { carries: true, session_up: true, ..LinkState::default() };
        let links = layout.links.iter().map(|_| whole()).collect();
        let mut places = stream(seed, Purpose::Place, 0);
        let settle = |placed| Cause::settle(placed, start_ms, &layout, &ports, &mut places);
        let causes: Vec<Cause> = params.faults.iter().filter_map(settle).collect();
        let bundles = bundles(&layout, seed);
        let mut net = Net {
            mibs: (0..layout.devices.len()).map(|id| Arc::new(Mib::new(&layout, id))).collect(),
            units: units(&layout, &params, &devices, &mut rng),
            routes: Routes::new(&layout, |_| true),
            talks: Talks::new(&layout),
            load: Load { bundles, talkers: Vec::new(), attacks: Vec::new() },
            rngs: Rngs::new(seed),
            talks_per_s: Vec::new(),
            settled_ms: start_ms,
            next_tick_ms: start_ms,
            events: BTreeMap::new(),
            events_made: 0,
            ready: Vec::new(),
            params,
            layout,
            causes,
            devices,
            ports,
            links,
        };
        net.reroute();
        net.talks_per_s = net.talk_rates();
        net.plan();
        net
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Names and addresses of all devices.
    pub fn devices(&self) -> impl Iterator<Item = (&'static str, Ipv4Addr)> + '_ {
        self.layout.devices.iter().map(|device| (device.name, device.address))
    }

    /// The inventory file, in YAML.
    pub fn inventory(&self) -> String {
        inventory::text(&self.layout, self.params.exporters, self.params.snmp_port)
    }

    /// What breaks in this run, for the truth file.
    pub fn truth(&self) -> Vec<Truth> {
        let Params { seed, start_ms, deaf, .. } = self.params;
        let mut lines = vec![Truth::Network { seed, start_ms, deaf }];
        lines.extend(self.causes.iter().map(|cause| cause.truth(&self.layout)));
        lines
    }

    /// Lets time pass; gives what left the devices before `until_ms`, in the order of time.
    pub fn advance(&mut self, until_ms: i64) -> Vec<Output> {
        loop {
            let due = self.events.first_key_value().map_or(i64::MAX, |((at, _), _)| *at);
            if due.min(self.next_tick_ms) >= until_ms {
                break;
            }
            if due <= self.next_tick_ms {
                if let Some(((at, _), event)) = self.events.pop_first() {
                    self.happen(at, event);
                }
            } else {
                self.tick();
            }
        }
        self.settle(until_ms);
        self.ready.sort_by_key(Output::time_ms);
        let later = self.ready.partition_point(|output| output.time_ms() < until_ms);
        let rest = self.ready.split_off(later);
        std::mem::replace(&mut self.ready, rest)
    }

    /// Whether a device lives and its packets reach the management station.
    pub(super) fn is_heard(&self, device: DeviceId) -> bool {
        let management = self.layout.management();
        let station = self.layout.networks.iter().find(|n| n.kind == Kind::Management);
        self.devices[device].is_alive
            && self.routes.reaches(device, management)
            && station.is_some_and(|network| self.ports[network.port].oper_up)
    }

    pub(super) fn schedule(&mut self, at_ms: i64, event: Event) {
        self.events_made += 1;
        self.events.insert((at_ms, self.events_made), event);
    }

    /// Counts what has passed since counters were last brought up to date.
    pub(super) fn settle(&mut self, now_ms: i64) {
        if now_ms <= self.settled_ms {
            return;
        }
        let seconds = (now_ms - self.settled_ms) as f64 / 1_000.0;
        self.settled_ms = now_ms;
        for port in &mut self.ports {
            port.count_for(seconds);
        }
        for talker in &mut self.load.talkers {
            talker.octets += talker.carried_bps / 8.0 * seconds;
        }
    }

    /// Rates anew, after anything that they depend on has changed (and was settled before).
    pub(super) fn rate(&mut self, now_ms: i64) {
        let curve = self.curve(now_ms);
        self.load.apply(&self.layout, &mut self.ports, curve);
        for (id, link) in self.links.iter().enumerate() {
            if !(link.is_flapping && link.carries) {
                continue;
            }
            // A dirty connector spoils about one frame in a thousand, each way its own share.
            let ends = &self.layout.links[id];
            for (port, rate) in [(ends.a, 150.0), (ends.b, 60.0)] {
                self.ports[port].rates[Counter::InErrors as usize] = rate;
            }
        }
    }

    fn curve(&self, now_ms: i64) -> f64 {
        if self.params.curve == Curve::Daily { daily(now_ms) } else { 1.0 }
    }

    fn plan(&mut self) {
        for nth in 0..self.causes.len() {
            let Cause { start_ms, end_ms, .. } = self.causes[nth];
            self.schedule(start_ms, Event::Begin(nth));
            if let Some(end_ms) = end_ms {
                self.schedule(end_ms, Event::End(nth));
            }
        }
        self.next_chatter(self.params.start_ms);
    }

    fn happen(&mut self, at_ms: i64, event: Event) {
        match event {
            Event::Begin(nth) => self.begin(nth, at_ms),
            Event::End(nth) => self.end(nth, at_ms),
            Event::Flap(link) => self.flap(link, at_ms),
            Event::Session(link) => self.session(link, at_ms),
            Event::Say(device, message) => self.speak(device, &message, at_ms),
            Event::Report(fault, connection) => self.report(fault, connection, at_ms),
            Event::Chatter => self.chatter(at_ms),
        }
    }

    fn speak(&mut self, device: DeviceId, message: &Message, at_ms: i64) {
        let state = &mut self.devices[device];
        if !state.is_alive {
            return;
        }
        state.log_lines = state.log_lines.wrapping_add(1);
        let nth = state.log_lines;
        if self.is_heard(device) {
            let whose = &self.layout.devices[device];
            let bytes = message.datagram(whose.name, nth, at_ms);
            self.ready.push(Output::Syslog { time_ms: at_ms, from: whose.address, bytes });
        }
    }

    fn chatter(&mut self, at_ms: i64) {
        let rng = &mut self.rngs.chatter;
        let device = rng.random_range(0..self.devices.len());
        let station = Ipv4Addr::new(10, 255, 0, 10);
        let message = match rng.random_range(0..3) {
            0 => Message::NtpSync { server: station },
            _ => Message::Login { from: station },
        };
        self.say(device, message, at_ms);
        self.next_chatter(at_ms);
    }

    fn next_chatter(&mut self, now_ms: i64) {
        let per_ms = self.params.chatter_per_h * self.devices.len() as f64 / 3_600_000.0;
        if per_ms > 0.0 {
            let wait: f64 = self.rngs.chatter.sample(Exp1);
            self.schedule(now_ms + 1 + (wait / per_ms).min(1e12) as i64, Event::Chatter);
        }
    }

    fn tick(&mut self) {
        let now_ms = self.next_tick_ms;
        self.next_tick_ms += TICK_MS;
        if (now_ms - self.params.start_ms) % SECOND_MS == 0 {
            self.settle(now_ms);
            self.load.wander(&mut self.rngs.wander);
            self.rate(now_ms);
            self.breathe();
        }
        let mut seen = Vec::new();
        self.converse(now_ms, &mut seen);
        self.flood(now_ms, &mut seen);
        seen.sort_by_key(|(at_ms, ..)| *at_ms);
        let mut out = Vec::new();
        for unit in self.units.iter_mut().flatten().filter(|unit| !unit.is_silent) {
            unit.exporter.tick(now_ms, &mut out);
        }
        for (at_ms, device, flow) in seen {
            self.export(device, flow, at_ms, &mut out);
        }
        self.release(out);
    }

    /// The devices' CPUs wander: x' = 0.8 x + 0.2 (mean + noise).
    fn breathe(&mut self) {
        for device in &mut self.devices {
            let noise: f64 = StandardNormal.sample(&mut self.rngs.wander);
            let aim = device.cpu_forced.unwrap_or(device.cpu_ordinary);
            let spread = if device.cpu_forced.is_some() { 2.0 } else { 6.0 };
            let pull = if device.cpu_forced.is_some() { 0.7 } else { 0.2 };
            device.cpu = (device.cpu + pull * (aim + spread * noise - device.cpu)).clamp(1.0, 99.0);
            device.cpu_minute += CPU_MINUTE * (device.cpu - device.cpu_minute);
        }
    }

    fn converse(&mut self, now_ms: i64, seen: &mut Vec<(i64, DeviceId, Flow)>) {
        let curve = self.curve(now_ms);
        for (bundle, per_s) in self.load.bundles.iter().zip(&self.talks_per_s) {
            let Some(way) = bundle.way.as_ref().filter(|_| *per_s > 0.0) else { continue };
            let mean = per_s * curve * bundle.drift.exp() * TICK_MS as f64 / 1_000.0;
            let rng = &mut self.rngs.talk;
            let octets = (
                bundle.forth_bps / 8.0 / per_s * bundle.carried.0,
                bundle.back_bps / 8.0 / per_s * bundle.carried.1,
            );
            for _ in 0..count(mean, rng) {
                let at_ms = now_ms + rng.random_range(0..TICK_MS);
                let talk = self.talks.draw(&self.layout, bundle, octets, at_ms, rng);
                for (nth, hop) in way.iter().enumerate() {
                    let is_told = self.units[hop.device].is_some()
                        && !(talk.is_tcp() && is_dropped(&self.devices, &way[..=nth], talk.server));
                    if is_told {
                        let flows = talk.flows(&self.layout, hop);
                        seen.extend(flows.map(|flow| (at_ms, hop.device, flow)));
                    }
                }
            }
        }
    }

    fn flood(&mut self, now_ms: i64, seen: &mut Vec<(i64, DeviceId, Flow)>) {
        for attack in &self.load.attacks {
            let mean = attack.syn_per_s * TICK_MS as f64 / 1_000.0;
            let rng = &mut self.rngs.flood;
            for _ in 0..count(mean, rng) {
                let at_ms = now_ms + rng.random_range(0..TICK_MS);
                let mut flows = Vec::new();
                attack.flood.syn(at_ms, rng, &mut |flow| flows.push(flow));
                let chance: f64 = rng.random();
                let outside = mix(0, hash_of(flows[0].src)) as usize % attack.doors.len();
                let door = &attack.doors[outside];
                let Some(way) = &door.way else { continue };
                for (nth, hop) in way.iter().enumerate() {
                    let is_dropped = is_dropped(&self.devices, &way[..=nth], attack.victim);
                    if self.units[hop.device].is_none() || is_dropped && chance > TRICKLE {
                        continue;
                    }
                    let (entry, exit) =
                        (self.layout.ports[hop.entry].index, self.layout.ports[hop.exit].index);
                    for flow in &flows {
                        let is_answer = flow.src == std::net::IpAddr::V4(attack.victim);
                        let (in_if, out_if) = if is_answer { (exit, entry) } else { (entry, exit) };
                        seen.push((at_ms, hop.device, Flow { in_if, out_if, ..*flow }));
                    }
                }
            }
        }
    }

    /// A talker's connection is told of by every exporter on its way.
    fn report(&mut self, fault: usize, connection: usize, at_ms: i64) {
        self.settle(at_ms);
        let Some(talker) = self.load.talkers.iter_mut().find(|t| t.fault == fault) else { return };
        let mut told = Vec::new();
        if let Some(way) = talker.way.clone() {
            let units = &self.units;
            let exporting: Vec<&Hop> = way.iter().filter(|h| units[h.device].is_some()).collect();
            if let Some(first) = exporting.first() {
                let flow = talker.report(&self.layout, first, connection, at_ms);
                for (flow, hop) in flow.iter().flat_map(|f| exporting.iter().map(move |h| (f, h))) {
                    let (entry, exit) =
                        (&self.layout.ports[hop.entry], &self.layout.ports[hop.exit]);
                    told.push((
                        hop.device,
                        Flow { in_if: entry.index, out_if: exit.index, ..*flow },
                    ));
                }
            }
        }
        let mut out = Vec::new();
        for (device, flow) in told {
            self.export(device, flow, at_ms, &mut out);
        }
        self.release(out);
        self.schedule(at_ms + REPORT_MS, Event::Report(fault, connection));
    }

    fn export(&mut self, device: DeviceId, flow: Flow, at_ms: i64, out: &mut Vec<Datagram>) {
        let alive = self.devices[device].is_alive;
        if let Some(unit) = self.units[device].as_mut().filter(|unit| alive && !unit.is_silent) {
            unit.exporter.push(flow, at_ms, &mut self.rngs.sampling, out);
        }
    }

    /// What a device that is cut off sends is lost on the way.
    fn release(&mut self, out: Vec<Datagram>) {
        let heard: Vec<bool> = (0..self.devices.len()).map(|id| self.is_heard(id)).collect();
        let of = |datagram: &Datagram| {
            self.layout.devices.iter().position(|device| device.address == datagram.exporter)
        };
        let kept = out.into_iter().filter(|datagram| of(datagram).is_some_and(|id| heard[id]));
        self.ready.extend(kept.map(Output::Flows));
    }

    /// How often each bundle's conversations end: by the root of its octets, so that small demands
    /// are seen at all; none where no exporter is on its way.
    fn talk_rates(&self) -> Vec<f64> {
        let weight = |bundle: &super::load::Bundle| {
            let way = bundle.way.iter().flatten();
            let told = way.filter(|hop| self.units[hop.device].is_some()).count();
            if told == 0 { 0.0 } else { (bundle.forth_bps + bundle.back_bps).sqrt() }
        };
        let weights: Vec<f64> = self.load.bundles.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        let talks = self.params.flows_per_s.max(0.0) / RECORDS_PER_TALK;
        weights.into_iter().map(|weight| talks * weight / total.max(1.0)).collect()
    }
}

/// Share of what a policy drops that goes through all the same: before it holds, and what a
/// policer lets pass.
pub(super) const TRICKLE: f64 = 0.01;

fn hash_of(address: std::net::IpAddr) -> u64 {
    match address {
        std::net::IpAddr::V4(v4) => u64::from(v4.to_bits()),
        std::net::IpAddr::V6(v6) => v6.to_bits() as u64,
    }
}

/// Reports of a talker's connections, staggered over their period.
pub(super) fn report_at(now_ms: i64, connection: usize) -> i64 {
    now_ms + REPORT_MS * (connection as i64 + 1) / CONNECTIONS as i64
}
