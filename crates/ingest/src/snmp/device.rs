//! One device and one poll of it at a time: which request comes next, what an agent's quirks have
//! taught, and the rows in the end. Pure: answers and times come from outside. A poll is a line of
//! passes, each a walk over some columns; sysUpTime stands in each answer, first and last.

use std::collections::{BTreeSet, VecDeque};

use model::rows::{Device, Interface, Metric};
use model::snmp::{Oid, Request, Response};

use super::SnmpConfig;
use super::mib::{self, Column};
use super::poller::{Counts, Polled};
use super::ports::{NameWalk, Ports, Read, Stamp};
use super::rates::{Reading, Width, has_started_anew};
use super::walk::{Fault, Method, Walk};

/// A device as it is polled, over all polls.
#[derive(Debug)]
pub struct Agent {
    pub device: Device,
    ports: Ports,
    method: Method,
    repetitions: u32,
    /// Columns that the agent did not have at the last reading of names.
    absent: BTreeSet<Column>,
    names_due_ms: i64,
    uptime: Option<(i64, u32)>,
    table_change: Option<u32>,
    /// Times of failures within the last minute.
    failures: VecDeque<i64>,
    open_until_ms: Option<i64>,
    poll: Option<Poll>,
}

/// A poll under way.
#[derive(Debug)]
struct Poll {
    started_ms: i64,
    passes: VecDeque<Pass>,
    pass: Pass,
    walk: Walk,
    /// What the pass at hand has read.
    reads: Vec<Read>,
    counters: Vec<Read>,
    first_uptime: Option<u32>,
    last_uptime: Option<(i64, u32)>,
    has_answered: bool,
    /// Answers missing one after the other.
    missing: u32,
    are_names_read: bool,
    /// Some interfaces have no 64-bit counters.
    is_narrow: bool,
    gone: Vec<Interface>,
    is_cut: bool,
}

/// A walk of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Only whether it lives, while its walks are stopped.
    Probe,
    Names,
    Counters,
    /// What the agent lacks in its better form: 32-bit counters, the CPU's mean of a minute.
    Rest,
}

/// What an answer has come to.
#[derive(Debug)]
pub enum Next {
    Ask(Request),
    Finished,
}

/// What a device shares with all others while it is polled.
pub struct Frame<'a> {
    pub config: &'a SnmpConfig,
    pub instance: &'a str,
    pub counts: &'a mut Counts,
}

/// How long failures count for the breaker.
const FAILURES_MS: i64 = 60_000;
/// A device that does not answer so often in a row gives no more in this poll.
const MISSING_MAX: u32 = 2;

// === impl Agent ===

impl Agent {
    /// `known` is what was told of its interfaces before.
    pub fn new(device: Device, known: Vec<Interface>, config: &SnmpConfig) -> Agent {
        Agent {
            device,
            ports: Ports::known(known),
            method: Method::Bulk,
            repetitions: config.repetitions_max.min(10),
            absent: BTreeSet::new(),
            names_due_ms: i64::MIN,
            uptime: None,
            table_change: None,
            failures: VecDeque::new(),
            open_until_ms: None,
            poll: None,
        }
    }

    pub fn is_polled(&self) -> bool {
        self.poll.is_some()
    }

    /// Begins a poll with its first request.
    pub fn begin(&mut self, now_ms: i64, frame: &mut Frame<'_>) -> Request {
        if self.open_until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.open_until_ms = None;
            self.failures.clear();
        }
        let mut passes = VecDeque::from([Pass::Counters]);
        if self.open_until_ms.is_some() {
            passes = VecDeque::from([Pass::Probe]);
        } else if now_ms >= self.names_due_ms {
            passes.push_front(Pass::Names);
        }
        self.poll = Some(Poll {
            started_ms: now_ms,
            passes,
            pass: Pass::Probe,
            walk: Walk::new(&[], 0),
            reads: Vec::new(),
            counters: Vec::new(),
            first_uptime: None,
            last_uptime: None,
            has_answered: false,
            missing: 0,
            are_names_read: false,
            is_narrow: false,
            gone: Vec::new(),
            is_cut: false,
        });
        let first = self.next_pass(now_ms, frame);
        first.unwrap_or_else(probe)
    }

    /// Takes the answer to the request that was given last; none where it did not come.
    pub fn answer(
        &mut self,
        now_ms: i64,
        response: Option<&Response>,
        frame: &mut Frame<'_>,
    ) -> Next {
        match response {
            Some(response) => self.answered(now_ms, response, frame),
            None => self.not_answered(now_ms, frame),
        }
        let has_more = |poll: &Poll| !poll.is_cut && poll.pass != Pass::Probe;
        if !self.poll.as_ref().is_some_and(has_more) {
            return Next::Finished;
        }
        let again = self.request();
        let Some(request) = again.or_else(|| self.next_pass(now_ms, frame)) else {
            return Next::Finished;
        };
        if self.left_ms(now_ms, frame.config) > 0 {
            return Next::Ask(request);
        }
        frame.counts.deadlines += 1;
        if let Some(poll) = &mut self.poll {
            poll.is_cut = true;
        }
        Next::Finished
    }

    /// What is left of the time of the poll at hand.
    pub fn left_ms(&self, now_ms: i64, config: &SnmpConfig) -> i64 {
        let started_ms = self.poll.as_ref().map_or(now_ms, |poll| poll.started_ms);
        started_ms + config.deadline_ms - now_ms
    }

    fn answered(&mut self, now_ms: i64, response: &Response, frame: &mut Frame<'_>) {
        let Some(poll) = &mut self.poll else {
            return;
        };
        poll.has_answered = true;
        poll.missing = 0;
        if poll.pass == Pass::Probe {
            return;
        }
        let mut cells = Vec::new();
        let (scalars, taken) = poll.walk.take(response, self.method, &mut cells);
        if let Some(uptime) = scalars.uptime {
            poll.first_uptime.get_or_insert(uptime);
            poll.last_uptime = Some((now_ms, uptime));
        }
        let uptime = scalars.uptime;
        poll.reads.extend(cells.into_iter().map(|cell| Read { cell, at_ms: now_ms, uptime }));
        if let Some(change) = scalars.table_change {
            if self.table_change.is_some_and(|before| before != change) {
                self.names_due_ms = i64::MIN;
            }
            self.table_change = Some(change);
        }
        match taken {
            Ok(()) if self.repetitions < frame.config.repetitions_max => self.repetitions += 1,
            Ok(()) => {}
            Err(fault) => self.faulty(now_ms, fault, frame),
        }
    }

    /// Additive increase, multiplicative decrease, and in the end row by row.
    fn faulty(&mut self, now_ms: i64, fault: Fault, frame: &mut Frame<'_>) {
        frame.counts.fault(fault);
        if matches!(fault, Fault::Error | Fault::Empty) {
            self.failed(now_ms, frame);
        }
        let Some(poll) = &mut self.poll else {
            return;
        };
        match (fault, self.method) {
            (Fault::ErrorInColumn | Fault::TableFull, _) => {}
            (Fault::TooBig, Method::Bulk) if self.repetitions > 1 => self.repetitions /= 2,
            (_, Method::Bulk) => {
                frame.counts.fallbacks += 1;
                self.method = Method::Next;
            }
            // The column that went round in a circle has been left out.
            (Fault::NotIncreasing, Method::Next) => {}
            (Fault::TooBig | Fault::Error, Method::Next) => poll.walk.narrow(),
            (Fault::Empty, Method::Next) => poll.walk.give_up(),
        }
    }

    fn not_answered(&mut self, now_ms: i64, frame: &mut Frame<'_>) {
        frame.counts.timeouts += 1;
        self.failed(now_ms, frame);
        self.repetitions = (self.repetitions / 2).max(1);
        if let Some(poll) = &mut self.poll {
            poll.missing += 1;
            // A device that has said nothing yet is not asked more.
            poll.is_cut = !poll.has_answered || poll.missing >= MISSING_MAX;
        }
    }

    fn failed(&mut self, now_ms: i64, frame: &mut Frame<'_>) {
        self.failures.retain(|&at_ms| at_ms > now_ms - FAILURES_MS);
        self.failures.push_back(now_ms);
        if self.failures.len() >= frame.config.breaker_failures && self.open_until_ms.is_none() {
            frame.counts.breakers += 1;
            self.failures.clear();
            self.open_until_ms = Some(now_ms + frame.config.breaker_ms);
            if let Some(poll) = &mut self.poll {
                poll.is_cut = true;
            }
        }
    }

    /// The next request of the pass at hand.
    fn request(&mut self) -> Option<Request> {
        let rows = u32::try_from(self.ports.len()).ok().filter(|&rows| rows > 0);
        let poll = self.poll.as_mut()?;
        poll.walk.request(self.method, self.repetitions, rows)
    }

    /// Ends the pass at hand and begins the next that has something to ask.
    fn next_pass(&mut self, now_ms: i64, frame: &mut Frame<'_>) -> Option<Request> {
        loop {
            self.end_pass(now_ms, frame);
            let poll = self.poll.as_mut()?;
            poll.pass = poll.passes.pop_front()?;
            if poll.pass == Pass::Probe {
                return Some(probe());
            }
            if poll.pass == Pass::Names {
                self.absent.clear();
                self.method = Method::Bulk;
            }
            let columns = columns(poll.pass, &self.absent, poll.is_narrow);
            poll.walk = Walk::new(&columns, frame.config.rows_max);
            if let Some(request) = self.request() {
                return Some(request);
            }
        }
    }

    fn end_pass(&mut self, now_ms: i64, frame: &mut Frame<'_>) {
        let Some(poll) = &mut self.poll else {
            return;
        };
        let reads = std::mem::take(&mut poll.reads);
        match poll.pass {
            Pass::Probe => {}
            Pass::Names => {
                poll.are_names_read = true;
                self.name(now_ms, &reads, frame);
            }
            Pass::Counters | Pass::Rest => {
                if poll.walk.is_done() {
                    self.absent.extend(poll.walk.absent());
                }
                poll.counters.extend(reads);
                if poll.pass == Pass::Counters {
                    self.after_counters(now_ms);
                }
            }
        }
    }

    fn name(&mut self, now_ms: i64, reads: &[Read], frame: &mut Frame<'_>) {
        let Some(poll) = &mut self.poll else {
            return;
        };
        let walk = NameWalk::new(reads, poll.walk.is_done() && !poll.is_cut);
        if walk.is_empty() {
            return;
        }
        let address = self.device.exporter.as_ref().unwrap_or(&self.device.address).clone();
        let stamp = stamp(&self.device, frame.instance, now_ms);
        poll.gone.extend(self.ports.rename(&stamp, &address, &walk));
        self.names_due_ms = now_ms + frame.config.names_ms;
    }

    /// What the counters say of the rest of the poll: that interfaces are new or renumbered, or
    /// that some have no 64-bit counters.
    fn after_counters(&mut self, now_ms: i64) {
        let Some(poll) = &mut self.poll else {
            return;
        };
        let lacks = |column| self.absent.contains(&column);
        let wide = poll.counters.iter().filter(|read| read.cell.column == Column::In64).count();
        let all = poll.counters.iter().filter(|read| read.cell.column == Column::Oper).count();
        poll.is_narrow = wide < all;
        if (poll.is_narrow || lacks(Column::Cpu5s)) && poll.walk.is_done() {
            poll.passes.push_back(Pass::Rest);
        }
        let anew = self.uptime.zip(poll.last_uptime).is_some_and(|(before, now)| {
            let reading = |(at_ms, uptime)| Reading {
                at_ms,
                value: 0,
                width: Width::Bits64,
                uptime: Some(uptime),
                discontinuity: None,
            };
            has_started_anew(&reading(before), &reading(now), now.0 - before.0)
        });
        let is_stale = anew || self.names_due_ms <= now_ms || !self.ports.knows(&poll.counters);
        if is_stale && !poll.are_names_read {
            poll.passes.push_back(Pass::Names);
        }
    }

    /// Ends the poll and gives its rows.
    pub fn finish(&mut self, now_ms: i64, frame: &mut Frame<'_>) -> Polled {
        if self.poll.as_ref().is_some_and(|poll| poll.is_cut) {
            self.end_pass(now_ms, frame);
        }
        let Some(poll) = self.poll.take() else {
            return Polled::default();
        };
        let Agent { device, ports, .. } = self;
        let stamp = stamp(device, frame.instance, now_ms);
        let is_up = f64::from(u8::from(poll.has_answered));
        let took_ms = (now_ms - poll.started_ms) as f64;
        let mut metrics =
            vec![stamp.metric(None, "snmp_up", is_up), stamp.metric(None, "snmp_poll_ms", took_ms)];
        if let Some((_, ticks)) = poll.last_uptime {
            metrics.push(stamp.metric(None, "sysUpTime", f64::from(ticks) / 100.0));
        }
        if poll.is_one_life() {
            metrics.extend(cpu(&stamp, &poll.counters));
            metrics.extend(ports.metrics(&stamp, &poll.counters, frame.config.interval_ms));
        } else {
            frame.counts.restarts_within += 1;
            self.names_due_ms = i64::MIN;
        }
        self.uptime = poll.last_uptime.or(self.uptime);
        // Before the rows count as told.
        let events = ports.events(&stamp);
        let (interfaces, device) = (ports.changed(now_ms), device.device.as_str().into());
        Polled { device, at_ms: now_ms, metrics, interfaces, gone: poll.gone, events }
    }
}

// === impl Poll ===

impl Poll {
    /// Not so where the device started anew in the middle: its numbers before and after that are
    /// of two lives.
    fn is_one_life(&self) -> bool {
        let last = self.last_uptime.map(|(_, last)| last);
        self.first_uptime.zip(last).is_none_or(|(first, last)| first <= last)
    }
}

/// Whether the device lives, and no more.
fn probe() -> Request {
    Request::Get(vec![Oid(mib::UPTIME.iter().copied().chain([0]).collect())])
}

fn columns(pass: Pass, absent: &BTreeSet<Column>, is_narrow: bool) -> Vec<Column> {
    let present = |column: &Column| !absent.contains(column);
    match pass {
        Pass::Probe => Vec::new(),
        Pass::Names => mib::NAMES.to_vec(),
        Pass::Counters => mib::COUNTERS.into_iter().filter(present).collect(),
        Pass::Rest => {
            let cpu = absent.contains(&Column::Cpu5s).then_some(Column::Cpu1m);
            let narrow = mib::NARROW.into_iter().filter(|_| is_narrow);
            narrow.chain(cpu).filter(present).collect()
        }
    }
}

fn stamp<'a>(device: &'a Device, instance: &'a str, at_ms: i64) -> Stamp<'a> {
    Stamp { domain: &device.domain, device: &device.device, instance, at_ms }
}

/// The device's load, percent; of each processor where there are several.
fn cpu(stamp: &Stamp<'_>, reads: &[Read]) -> Vec<Metric> {
    let of = |column| reads.iter().filter(move |read| read.cell.column == column);
    let column = if of(Column::Cpu5s).next().is_some() { Column::Cpu5s } else { Column::Cpu1m };
    let is_one = of(column).count() == 1;
    let row = |read: &Read| {
        let entity = (!is_one).then(|| format!("cpu {}", read.cell.index));
        let percent = read.cell.value.as_u64().filter(|&percent| percent <= 100)?;
        Some(stamp.metric(entity.as_deref(), "cpu_usage", percent as f64))
    };
    of(column).filter_map(row).collect()
}
