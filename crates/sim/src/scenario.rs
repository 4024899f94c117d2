//! A run: which exporters there are, how much traffic, what breaks and when. Its datagrams come
//! in the order of time, and depend on nothing but the seed and the parameters.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::encode::Protocol;
use crate::exporter::{Datagram, Exporter, Identity};
use crate::traffic::{
    Benign, Elephants, Flood, Network, Purpose, RECORDS_PER_CONVERSATION, count, stream,
};
use crate::truth::Truth;

const TICK_MS: i64 = 100;
const DAY_MS: i64 = 86_400_000;
/// A quiet day has this share of an ordinary day's traffic.
const QUIET_SHARE: f64 = 0.3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Ordinary traffic.
    Benign,
    /// A holiday: little traffic, and nothing happens.
    Quiet,
    /// A SYN flood on one victim.
    Flood,
    /// Many people at the busy server at once; nothing is wrong.
    Crowd,
    /// An exporter falls silent.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// Low at 4 h, high at 16 h UTC, less on Saturday and Sunday.
    Daily,
    /// The same rate at any time, for tests that count.
    Flat,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Milliseconds since 1970 at which the run begins.
    pub start_ms: i64,
    /// Without one the run does not end.
    pub duration_s: Option<u64>,
    pub exporters: u32,
    /// Source address of the first exporter; the others follow it.
    pub first_address: Ipv4Addr,
    /// Exporters take these in turn.
    pub protocols: Vec<Protocol>,
    /// 1 in N packets; exporters take these in turn.
    pub sampling: Vec<u32>,
    /// Flow records a second over all exporters, before sampling, averaged over a working day.
    pub flows_per_s: f64,
    pub curve: Curve,
    pub servers: u32,
    pub clients: u32,
    /// Long flows that run at any time, over all exporters.
    pub elephants: u32,
    pub template_refresh_s: u64,
    pub flush_ms: u64,
    /// When the event begins, counted from the start, and how long it lasts (without: to the end).
    pub event_after_s: u64,
    pub event_for_s: Option<u64>,
    pub victim: Ipv4Addr,
    pub victim_port: u16,
    pub syn_per_s: f64,
    pub sources: u32,
    pub crowd_per_s: f64,
    /// Which exporter falls silent, counted from 0; without, the last.
    pub silent_exporter: Option<u32>,
}

/// A run that can be generated any number of times.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    kind: Kind,
    params: Params,
}

/// The stream of a run.
pub struct Datagrams {
    scenario: Scenario,
    now_ms: i64,
    units: Vec<Unit>,
    flood: Option<Flood>,
    ready: VecDeque<Datagram>,
    is_over: bool,
}

/// An exporter and all that it sees.
struct Unit {
    exporter: Exporter,
    benign: Benign,
    crowd: Benign,
    elephants: Elephants,
    rngs: Rngs,
    /// Slow wandering of the load around its curve, as a logarithm.
    drift: f64,
    is_silent: bool,
}

struct Rngs {
    benign: ChaCha8Rng,
    elephants: ChaCha8Rng,
    flood: ChaCha8Rng,
    crowd: ChaCha8Rng,
    sampling: ChaCha8Rng,
}

// === impl Params ===

impl Default for Params {
    fn default() -> Params {
        Params {
            start_ms: 0,
            duration_s: None,
            exporters: 3,
            first_address: Ipv4Addr::new(127, 77, 0, 1),
            protocols: vec![Protocol::V9, Protocol::Ipfix],
            sampling: vec![1],
            flows_per_s: 1_000.0,
            curve: Curve::Daily,
            servers: 60,
            clients: 20_000,
            elephants: 24,
            template_refresh_s: 60,
            flush_ms: 500,
            event_after_s: 90,
            event_for_s: None,
            victim: Ipv4Addr::new(203, 0, 113, 7),
            victim_port: 443,
            syn_per_s: 4_000.0,
            sources: 37_623,
            crowd_per_s: 500.0,
            silent_exporter: None,
        }
    }
}

// === impl Scenario ===

impl Scenario {
    pub fn new(seed: u64, kind: Kind, params: Params) -> Scenario {
        Scenario { seed, kind, params }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    pub fn identities(&self) -> Vec<Identity> {
        (0..self.params.exporters.clamp(1, 65_000)).map(|index| self.identity(index)).collect()
    }

    /// All datagrams in the order of time.
    pub fn datagrams(&self) -> Datagrams {
        let flood = (self.kind == Kind::Flood).then(|| {
            let p = &self.params;
            Flood::new(self.seed, p.victim, p.victim_port, p.sources)
        });
        let units = self.identities().into_iter().enumerate();
        Datagrams {
            now_ms: self.params.start_ms,
            units: units.map(|(index, identity)| self.unit(index, identity)).collect(),
            flood,
            ready: VecDeque::new(),
            is_over: false,
            scenario: self.clone(),
        }
    }

    /// What happens in this run, known before it begins.
    pub fn truth(&self) -> Vec<Truth> {
        let p = &self.params;
        let end_ms = self.end_ms();
        let mut lines =
            vec![Truth::Run { seed: self.seed, kind: self.kind, start_ms: p.start_ms, end_ms }];
        lines.extend(self.identities().into_iter().map(|identity| Truth::Exporter {
            address: identity.address,
            protocol: identity.protocol,
            domain: identity.domain,
            sampling: identity.sampling,
        }));
        lines.extend(self.event());
        lines
    }

    pub fn event(&self) -> Option<Truth> {
        let p = &self.params;
        let start_ms = p.start_ms + p.event_after_s as i64 * 1000;
        let end_ms = p.event_for_s.map(|s| start_ms + s as i64 * 1000).or(self.end_ms());
        match self.kind {
            Kind::Benign | Kind::Quiet => None,
            Kind::Flood => Some(Truth::SynFlood {
                victim: p.victim,
                port: p.victim_port,
                start_ms,
                end_ms,
                syn_per_s: p.syn_per_s,
                sources: p.sources,
            }),
            Kind::Crowd => Some(Truth::Crowd {
                server: crate::traffic::BUSY_SERVER,
                start_ms,
                end_ms,
                visits_per_s: p.crowd_per_s,
            }),
            Kind::Silence => Some(Truth::Silence {
                exporter: self.identity(self.silent_index()).address,
                start_ms,
                end_ms,
            }),
        }
    }

    fn end_ms(&self) -> Option<i64> {
        self.params.duration_s.map(|s| self.params.start_ms + s as i64 * 1000)
    }

    fn silent_index(&self) -> u32 {
        let last = self.params.exporters.max(1) - 1;
        self.params.silent_exporter.unwrap_or(last).min(last)
    }

    fn in_event(&self, now_ms: i64) -> bool {
        let p = &self.params;
        let start_ms = p.start_ms + p.event_after_s as i64 * 1000;
        let end_ms = p.event_for_s.map_or(i64::MAX, |s| start_ms + s as i64 * 1000);
        (start_ms..end_ms).contains(&now_ms)
    }

    fn identity(&self, index: u32) -> Identity {
        let p = &self.params;
        let of = |len: usize| index as usize % len.max(1);
        Identity {
            address: Ipv4Addr::from_bits(p.first_address.to_bits().wrapping_add(index)),
            protocol: *p.protocols.get(of(p.protocols.len())).unwrap_or(&Protocol::Ipfix),
            domain: 1 + index,
            sampling: (*p.sampling.get(of(p.sampling.len())).unwrap_or(&1)).max(1),
            template_refresh_ms: p.template_refresh_s.max(1) as i64 * 1000,
            flush_ms: p.flush_ms as i64,
        }
    }

    fn unit(&self, index: usize, identity: Identity) -> Unit {
        let p = &self.params;
        let mut layout = stream(self.seed, Purpose::Layout, index);
        // Up for a day to 45: sysUpTime (32 bits, 49.7 days) may wrap in a long run, as it does.
        let boot_ms = p.start_ms - layout.random_range(DAY_MS..45 * DAY_MS);
        let rng = |purpose| stream(self.seed, purpose, index);
        let network = Network::new(p.servers, p.clients);
        let exporters = p.exporters.max(1);
        let elephants = p.elephants / exporters + u32::from(index as u32 == 0);
        let mut elephant_rng = rng(Purpose::Elephants);
        Unit {
            exporter: Exporter::new(identity, boot_ms, layout.random()),
            benign: Benign::new(network.clone()),
            crowd: Benign::new(network.clone()),
            elephants: Elephants::new(network, elephants, p.start_ms, &mut elephant_rng),
            rngs: Rngs {
                benign: rng(Purpose::Benign),
                elephants: elephant_rng,
                flood: rng(Purpose::Flood),
                crowd: rng(Purpose::Crowd),
                sampling: rng(Purpose::Sampling),
            },
            drift: 0.0,
            is_silent: false,
        }
    }

    /// Mean number of (conversations, SYNs, visits) that one exporter sees in a tick.
    fn means(&self, now_ms: i64) -> [f64; 3] {
        let p = &self.params;
        let per_tick = TICK_MS as f64 / 1000.0 / f64::from(p.exporters.max(1));
        let curve = if p.curve == Curve::Daily { daily(now_ms) } else { 1.0 };
        let share = if self.kind == Kind::Quiet { QUIET_SHARE } else { 1.0 };
        let talks = p.flows_per_s / RECORDS_PER_CONVERSATION * curve * share;
        let event = if self.in_event(now_ms) { per_tick } else { 0.0 };
        let syns = if self.kind == Kind::Flood { p.syn_per_s } else { 0.0 };
        let visits = if self.kind == Kind::Crowd { p.crowd_per_s } else { 0.0 };
        [talks * per_tick, syns * event, visits * event]
    }
}

/// The load of an hour beside the mean of a working day.
pub(crate) fn daily(now_ms: i64) -> f64 {
    let hour = now_ms.rem_euclid(DAY_MS) as f64 / 3_600_000.0;
    let wave = (1.0 - ((hour - 4.0) / 24.0 * std::f64::consts::TAU).cos()) / 2.0;
    // 1970-01-01 was a Thursday.
    let weekday = (now_ms.div_euclid(DAY_MS) + 4).rem_euclid(7);
    let week = if weekday == 0 || weekday == 6 { 0.7 } else { 1.0 };
    (0.35 + 0.65 * wave) / 0.675 * week
}

// === impl Datagrams ===

impl Datagrams {
    fn tick(&mut self) {
        let now_ms = self.now_ms;
        let mut out = Vec::new();
        let means = self.scenario.means(now_ms);
        let silent = (self.scenario.kind == Kind::Silence && self.scenario.in_event(now_ms))
            .then(|| self.scenario.silent_index() as usize);
        for (index, unit) in self.units.iter_mut().enumerate() {
            if silent == Some(index) {
                unit.is_silent = true;
                continue;
            }
            if unit.is_silent {
                unit.exporter.restart(now_ms);
                unit.is_silent = false;
            }
            unit.tick(now_ms, means, self.flood.as_ref(), &mut out);
        }
        self.release(out);
        self.now_ms += TICK_MS;
    }

    /// The end: what waits in the exporters leaves them.
    fn finish(&mut self) {
        let mut out = Vec::new();
        for unit in self.units.iter_mut().filter(|unit| !unit.is_silent) {
            unit.exporter.flush(self.now_ms, &mut out);
        }
        self.release(out);
        self.is_over = true;
    }

    fn release(&mut self, mut out: Vec<Datagram>) {
        out.sort_by_key(|datagram| datagram.time_ms);
        self.ready.extend(out);
    }
}

impl Iterator for Datagrams {
    type Item = Datagram;

    fn next(&mut self) -> Option<Datagram> {
        let end_ms = self.scenario.end_ms().unwrap_or(i64::MAX);
        while self.ready.is_empty() && !self.is_over {
            if self.now_ms < end_ms {
                self.tick();
            } else {
                self.finish();
            }
        }
        self.ready.pop_front()
    }
}

// === impl Unit ===

impl Unit {
    fn tick(
        &mut self,
        now_ms: i64,
        means: [f64; 3],
        flood: Option<&Flood>,
        out: &mut Vec<Datagram>,
    ) {
        self.exporter.tick(now_ms, out);
        let Unit { exporter, elephants, rngs, .. } = self;
        elephants.tick(now_ms + TICK_MS, &mut rngs.elephants, &mut |_, flow| {
            exporter.push(flow, now_ms, &mut rngs.sampling, out);
        });
        // Correlated over about 10 s with a deviation of 8 %: x' = 0.99 x + 0.0113 n.
        let step: f64 = StandardNormal.sample(&mut rngs.benign);
        self.drift = 0.99 * self.drift + 0.0113 * step;
        let talks = count(means[0] * self.drift.exp(), &mut rngs.benign);
        let syns = count(means[1], &mut rngs.flood);
        let visits = count(means[2], &mut rngs.crowd);
        self.spread(now_ms, [talks, syns, visits], flood, out);
    }

    /// Spreads what happens in a tick over it: three even sequences, merged by time.
    fn spread(
        &mut self,
        start_ms: i64,
        counts: [u64; 3],
        flood: Option<&Flood>,
        out: &mut Vec<Datagram>,
    ) {
        let mut done = [0u64; 3];
        let due = |which: usize, nth: u64| {
            start_ms + (TICK_MS as u64 * nth / counts[which].max(1)) as i64
        };
        let next = |done: &[u64; 3]| {
            let left = (0..3).filter(|which| done[*which] < counts[*which]);
            left.min_by_key(|which| due(*which, done[*which]))
        };
        while let Some(which) = next(&done) {
            let at_ms = due(which, done[which]);
            done[which] += 1;
            let Unit { exporter, benign, crowd, rngs, .. } = self;
            let sampling = &mut rngs.sampling;
            let mut push = |flow| exporter.push(flow, at_ms, sampling, out);
            match (which, flood) {
                (0, _) => benign.conversation(at_ms, &mut rngs.benign, &mut push),
                (1, Some(flood)) => flood.syn(at_ms, &mut rngs.flood, &mut push),
                (_, _) => crowd.visit(at_ms, &mut rngs.crowd, &mut push),
            }
        }
    }
}
