//! One observation domain of one exporter: its templates, samplers, waiting data and ledger, and
//! the way of a set through them.

use std::collections::{BTreeMap, VecDeque};

use super::batch::FlowBatcher;
use super::declare::{Declaration, Declarations, Kind};
use super::ledger::{Ledger, Settled};
use super::limits::Limits;
use super::marks::{Key, Units};
use super::message::{Body, Message, V5_RECORD};
use super::options::OptionsRecord;
use super::problem::{Problems, Reason};
use super::program::{Program, walk};
use super::run::{Context, Run};
use super::sampling::{SamplerKey, Samplers, Set};
use super::wire::{Cursor, is_zero};

/// A template in use.
#[derive(Debug)]
struct Template {
    declaration: Declaration,
    program: Program,
    /// Scope fields at the beginning of the program's.
    scopes: usize,
    used: i64,
}

/// A data set whose template is not known yet, with what its message said.
#[derive(Debug)]
struct Waiting {
    id: u16,
    received: i64,
    export_ms: i64,
    uptime: Option<u32>,
    body: Box<[u8]>,
}

/// What waits or is kept, of one exporter or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub waiting_sets: usize,
    pub waiting_bytes: usize,
    pub templates: usize,
    pub domains: usize,
}

/// Sums since the exporter was first heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub datagrams: u64,
    /// Datagrams that came a second time; nothing of them is stored again.
    pub duplicates: u64,
    /// Flow records decoded.
    pub records: u64,
    pub options_records: u64,
    /// Sets that were not decoded, but for waiting.
    pub undecodable_sets: u64,
    pub expired_sets: u64,
}

/// A change of what an exporter has declared, to be kept in `templates.v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub exporter: [u8; 16],
    pub version: u8,
    pub domain: u32,
    pub received: i64,
    pub what: Changed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    Template(Declaration),
    /// Withdrawn by the exporter, or pushed out by the limit.
    Gone {
        kind: Kind,
        id: u16,
    },
    Sampler {
        key: SamplerKey,
        rate: u32,
    },
}

#[derive(Debug)]
pub struct Domain {
    pub version: u8,
    pub id: u32,
    pub ledger: Ledger,
    pub counts: Counts,
    pub samplers: Samplers,
    templates: BTreeMap<u16, Template>,
    waiting: VecDeque<Waiting>,
    system_init: Option<i64>,
}

/// What a domain writes to while it decodes, and the limits that it keeps.
pub struct Sink<'a> {
    pub exporter: [u8; 16],
    pub received: i64,
    pub limits: &'a Limits,
    pub flows: &'a mut FlowBatcher,
    pub problems: &'a mut Problems,
    pub changes: &'a mut Vec<Change>,
    /// Of this exporter.
    pub own: &'a mut Usage,
    pub total: &'a mut Usage,
    /// The first problem of the datagram at hand.
    pub first_problem: Option<Reason>,
    pub v5: &'a Program,
}

/// What a message held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub flows: u32,
    pub options: u32,
    /// Bytes of sets that were not decoded.
    pub hidden_bytes: u32,
    pub dead: bool,
}

// === impl Sink ===

impl Sink<'_> {
    pub fn problem(&mut self, reason: Reason) {
        self.problems.count(reason);
        self.first_problem.get_or_insert(reason);
    }

    fn change(&mut self, domain: &Domain, what: Changed) {
        self.changes.push(Change {
            exporter: self.exporter,
            version: domain.version,
            domain: domain.id,
            received: self.received,
            what,
        });
    }
}

// === impl Tally ===

impl Tally {
    fn hide(&mut self, bytes: usize) {
        self.hidden_bytes = self.hidden_bytes.saturating_add(bytes as u32);
    }
}

// === impl Domain ===

impl Domain {
    pub fn new(version: u8, id: u32) -> Domain {
        Domain {
            version,
            id,
            ledger: Ledger::new(version),
            counts: Counts::default(),
            samplers: Samplers::default(),
            templates: BTreeMap::new(),
            waiting: VecDeque::new(),
            system_init: None,
        }
    }

    pub fn waiting_sets(&self) -> usize {
        self.waiting.len()
    }

    pub fn key(&self, exporter: [u8; 16]) -> Key {
        Key { exporter, version: self.version, domain: self.id }
    }

    pub fn decode(&mut self, message: &Message, sink: &mut Sink) -> Tally {
        match message.body {
            Body::V5 { records, rate } => {
                let context = self.context(message.export_ms, message.uptime, None, rate, sink);
                let run = Run { program: sink.v5, context, samplers: &self.samplers };
                fixed(&run, records, records.len() / V5_RECORD, sink.flows);
                let flows = (records.len() / V5_RECORD) as u32;
                Tally { flows, dead: message.problem.is_some(), ..Tally::default() }
            }
            Body::Sets(sets) => self.sets(message, sets, sink),
        }
    }

    fn sets(&mut self, message: &Message, sets: &[u8], sink: &mut Sink) -> Tally {
        let mut tally = Tally::default();
        let mut cursor = Cursor::new(sets);
        // Some exporters fill the datagram with zeros.
        while !is_zero(cursor.rest()) {
            let rest = cursor.rest().len();
            let Some((id, body)) = next_set(&mut cursor) else {
                sink.problem(Reason::SetLength);
                tally.hide(rest);
                tally.dead = true;
                break;
            };
            self.set(id, body, message, sink, &mut tally);
        }
        tally
    }

    fn set(&mut self, id: u16, body: &[u8], message: &Message, sink: &mut Sink, tally: &mut Tally) {
        match (id, self.version) {
            (0, 9) | (2, 10) => self.declarations(Kind::Data, body, sink),
            (1, 9) | (3, 10) => self.declarations(Kind::Options, body, sink),
            (256.., _) => self.data(id, body, message, sink, tally),
            _ => {
                sink.problem(Reason::ReservedSet);
                self.counts.undecodable_sets += 1;
                tally.hide(body.len());
                tally.dead = true;
            }
        }
    }

    fn data(
        &mut self,
        id: u16,
        body: &[u8],
        message: &Message,
        sink: &mut Sink,
        tally: &mut Tally,
    ) {
        let Some(template) = self.templates.get_mut(&id) else {
            let kept = self.wait(id, body, message, sink);
            tally.hide(body.len());
            tally.dead |= !kept;
            return;
        };
        template.used = sink.received;
        let (export_ms, uptime) = (message.export_ms, message.uptime);
        let result = self.decode_set(id, body, export_ms, uptime, false, sink);
        tally.flows += result.flows;
        tally.options += result.options;
        if let Some((reason, bytes)) = result.problem {
            sink.problem(reason);
            self.counts.undecodable_sets += 1;
            tally.hide(bytes);
            tally.dead = true;
        }
    }

    /// Of a known template. Nothing is decoded for an unknown one.
    fn decode_set(
        &mut self,
        id: u16,
        body: &[u8],
        export_ms: i64,
        uptime: Option<u32>,
        waited: bool,
        sink: &mut Sink,
    ) -> SetResult {
        let mut context = self.context(export_ms, uptime, Some(id), None, sink);
        context.waited = waited;
        let Some(template) = self.templates.get(&id) else {
            return SetResult::default();
        };
        if template.declaration.kind == Kind::Options {
            return self.options(id, body, sink);
        }
        let run = Run { program: &template.program, context, samplers: &self.samplers };
        match (template.program.stride, template.program.variable) {
            (0, _) => SetResult::failed(Reason::EmptyTemplate, body.len()),
            (_, true) => variable(&run, body, sink.flows),
            (stride, false) => {
                let count = body.len() / stride;
                fixed(&run, body, count, sink.flows);
                let flows = count as u32;
                // A set without room for one record, when it is not only padding, was cut short.
                let cut = count == 0 && !is_zero(body);
                let problem = cut.then_some((Reason::RecordTruncated, body.len()));
                SetResult { flows, options: 0, problem }
            }
        }
    }

    fn options(&mut self, id: u16, body: &[u8], sink: &mut Sink) -> SetResult {
        let mut result = SetResult::default();
        let mut told = Vec::new();
        if let Some(template) = self.templates.get(&id) {
            let (fields, least) = (&template.program.fields, template.program.stride);
            if least == 0 {
                return SetResult::failed(Reason::EmptyTemplate, body.len());
            }
            let mut places = Vec::with_capacity(fields.len());
            let mut rest = body;
            while rest.len() >= least && !is_padding(rest) {
                let Ok(len) = walk(fields, rest, &mut places) else {
                    result.problem = Some((Reason::RecordTruncated, rest.len()));
                    break;
                };
                let (version, scopes) = (self.version, template.scopes);
                told.push(OptionsRecord::read(version, scopes, fields, rest, &places));
                result.options += 1;
                rest = rest.get(len..).unwrap_or_default();
            }
        }
        told.into_iter().for_each(|record| self.apply(record, sink));
        result
    }

    /// What an options record tells replaces what an earlier one told.
    fn apply(&mut self, record: OptionsRecord, sink: &mut Sink) {
        self.system_init = record.system_init.or(self.system_init);
        let Some((key, rate)) = record.sampler else {
            return;
        };
        match self.samplers.set(key, rate, sink.limits.samplers_max) {
            Set::Same => {}
            Set::Full => sink.problem(Reason::SamplersFull),
            Set::Changed => sink.change(self, Changed::Sampler { key, rate }),
        }
    }

    fn context(
        &self,
        export_ms: i64,
        uptime: Option<u32>,
        template: Option<u16>,
        header_rate: Option<u32>,
        sink: &Sink,
    ) -> Context {
        Context {
            received: sink.received,
            exporter: i128::from_ne_bytes(sink.exporter),
            domain: self.id,
            version: self.version,
            template,
            export_ms,
            uptime,
            system_init: self.system_init,
            header_rate,
            waited: false,
        }
    }

    fn declarations(&mut self, kind: Kind, body: &[u8], sink: &mut Sink) {
        let fields_max = sink.limits.template_fields_max;
        for declared in Declarations::new(self.version, kind, body, fields_max) {
            match declared {
                Ok(declaration) => self.declare(declaration, sink),
                Err(reason) => {
                    sink.problem(reason);
                    self.counts.undecodable_sets += 1;
                }
            }
        }
    }

    fn declare(&mut self, declaration: Declaration, sink: &mut Sink) {
        if declaration.fields.is_empty() && self.version == 10 {
            self.withdraw(&declaration, sink);
            return;
        }
        if declaration.is_too_long() {
            sink.problem(Reason::TemplateTooLarge);
            return;
        }
        let id = declaration.id;
        match self.templates.get_mut(&id) {
            Some(known) if known.declaration == declaration => known.used = sink.received,
            _ => {
                if !self.make_room(id, sink) {
                    return;
                }
                self.learn(declaration.clone(), sink.received);
                sink.change(self, Changed::Template(declaration));
            }
        }
        self.replay(id, sink);
    }

    fn learn(&mut self, declaration: Declaration, used: i64) {
        let program = Program::compile(self.version, &declaration.fields);
        let scopes = declaration.fields.iter().take(usize::from(declaration.scope_fields));
        let scopes = scopes.filter(|field| field.len != 0).count();
        self.templates.insert(declaration.id, Template { declaration, program, scopes, used });
    }

    /// False where all exporters together have as many templates as may be.
    fn make_room(&mut self, id: u16, sink: &mut Sink) -> bool {
        if self.templates.contains_key(&id) {
            return true;
        }
        if self.templates.len() >= sink.limits.templates_max {
            let oldest = self.templates.iter().min_by_key(|(id, t)| (t.used, **id));
            if let Some((oldest, kind)) = oldest.map(|(&id, t)| (id, t.declaration.kind)) {
                sink.problem(Reason::TemplateEvicted);
                self.forget(oldest, kind, sink);
            }
        }
        if sink.total.templates >= sink.limits.templates_total_max {
            sink.problem(Reason::TemplatesFull);
            return false;
        }
        sink.own.templates += 1;
        sink.total.templates += 1;
        true
    }

    fn forget(&mut self, id: u16, kind: Kind, sink: &mut Sink) {
        if self.templates.remove(&id).is_some() {
            sink.own.templates -= 1;
            sink.total.templates -= 1;
            sink.change(self, Changed::Gone { kind, id });
        }
    }

    /// RFC 7011 §8.1: one template, or all of a kind where the id is that of the set.
    fn withdraw(&mut self, declaration: &Declaration, sink: &mut Sink) {
        let kind = declaration.kind;
        let all = matches!((declaration.id, kind), (2, Kind::Data) | (3, Kind::Options));
        let of_kind = self.templates.iter().filter(|(_, t)| t.declaration.kind == kind);
        let meant = of_kind.map(|(&id, _)| id).filter(|&id| all || id == declaration.id);
        for id in meant.collect::<Vec<u16>>() {
            self.forget(id, kind, sink);
        }
    }

    /// False where there is no room to wait.
    fn wait(&mut self, id: u16, body: &[u8], message: &Message, sink: &mut Sink) -> bool {
        let limits = sink.limits;
        let full = sink.own.waiting_sets >= limits.waiting_sets_max
            || sink.own.waiting_bytes + body.len() > limits.waiting_bytes_max
            || sink.total.waiting_bytes + body.len() > limits.waiting_total_bytes_max;
        if full {
            sink.problem(Reason::WaitingFull);
            self.counts.undecodable_sets += 1;
            return false;
        }
        for usage in [&mut *sink.own, &mut *sink.total] {
            usage.waiting_sets += 1;
            usage.waiting_bytes += body.len();
        }
        self.waiting.push_back(Waiting {
            id,
            received: sink.received,
            export_ms: message.export_ms,
            uptime: message.uptime,
            body: body.into(),
        });
        true
    }

    /// Decodes what waited for this template. Its rows get the receive time of now: time has been
    /// promised not to go back (DESIGN §4), and a note says that they waited.
    fn replay(&mut self, id: u16, sink: &mut Sink) {
        if !self.waiting.iter().any(|waiting| waiting.id == id) {
            return;
        }
        let all = std::mem::take(&mut self.waiting);
        let (ready, waiting): (Vec<Waiting>, Vec<Waiting>) =
            all.into_iter().partition(|waiting| waiting.id == id);
        self.waiting = waiting.into();
        for set in ready {
            release(&set, sink);
            let result = self.decode_set(id, &set.body, set.export_ms, set.uptime, true, sink);
            self.counts.records += u64::from(result.flows);
            self.counts.options_records += u64::from(result.options);
            self.ledger.decoded_late(result.flows + result.options, result.flows);
            let (flows, records) = (result.flows, result.flows + result.options);
            // Its packet was counted when it came.
            let units = Units { key: self.key(sink.exporter), records, flows, packets: 0 };
            sink.flows.end_datagram(flows, units);
            if let Some((reason, _)) = result.problem {
                sink.problem(reason);
                self.counts.undecodable_sets += 1;
            }
        }
        if self.waiting.is_empty() {
            self.ledger.settle(Settled::Decoded);
        }
    }

    /// Gives up what has waited too long.
    pub fn expire(&mut self, sink: &mut Sink) {
        let before = sink.received - sink.limits.waiting_ms_max;
        let mut expired = false;
        while self.waiting.front().is_some_and(|set| set.received <= before) {
            if let Some(set) = self.waiting.pop_front() {
                release(&set, sink);
                sink.problem(Reason::WaitingExpired);
                self.counts.expired_sets += 1;
                expired = true;
            }
        }
        if expired && self.waiting.is_empty() {
            self.ledger.settle(Settled::Expired);
        }
    }

    /// Frees what this domain holds of the limits.
    pub fn drop_from(&self, total: &mut Usage) {
        total.domains -= 1;
        total.templates -= self.templates.len();
        total.waiting_sets -= self.waiting.len();
        total.waiting_bytes -= self.waiting.iter().map(|set| set.body.len()).sum::<usize>();
    }

    /// Takes back what an earlier run learned; nothing waits for it yet.
    pub fn restore(&mut self, what: Changed, sink: &mut Sink) {
        match what {
            Changed::Template(declaration) => {
                if !declaration.is_too_long() && self.make_room(declaration.id, sink) {
                    self.learn(declaration, sink.received);
                }
            }
            Changed::Sampler { key, rate } => {
                self.samplers.set(key, rate, sink.limits.samplers_max);
            }
            Changed::Gone { .. } => {}
        }
    }
}

fn release(set: &Waiting, sink: &mut Sink) {
    for usage in [&mut *sink.own, &mut *sink.total] {
        usage.waiting_sets -= 1;
        usage.waiting_bytes -= set.body.len();
    }
}

/// Id and body of the next set.
fn next_set<'a>(cursor: &mut Cursor<'a>) -> Option<(u16, &'a [u8])> {
    let id = cursor.u16()?;
    let len = usize::from(cursor.u16()?);
    let body = cursor.take(len.checked_sub(4)?)?;
    Some((id, body))
}

/// What became of one data set.
#[derive(Clone, Copy, Debug, Default)]
struct SetResult {
    flows: u32,
    options: u32,
    /// Why the rest was not decoded, and its bytes.
    problem: Option<(Reason, usize)>,
}

impl SetResult {
    fn failed(reason: Reason, bytes: usize) -> SetResult {
        SetResult { problem: Some((reason, bytes)), ..SetResult::default() }
    }
}

fn fixed(run: &Run, body: &[u8], count: usize, flows: &mut FlowBatcher) {
    let stride = run.program.stride;
    let mut done = 0;
    while done < count {
        let n = flows.room().min(count - done);
        let from = body.get(done * stride..(done + n) * stride).unwrap_or_default();
        run.fixed(from, n, &mut flows.columns);
        done += n;
    }
}

fn variable(run: &Run, body: &[u8], flows: &mut FlowBatcher) -> SetResult {
    let mut result = SetResult::default();
    let mut places = Vec::with_capacity(run.program.fields.len());
    let mut rest = body;
    while rest.len() >= run.program.stride && !is_padding(rest) {
        let Ok(len) = walk(&run.program.fields, rest, &mut places) else {
            result.problem = Some((Reason::RecordTruncated, rest.len()));
            break;
        };
        let (record, behind) = rest.split_at(len);
        flows.room();
        run.variable(record, &places, &mut flows.columns);
        result.flows += 1;
        rest = behind;
    }
    result
}

/// RFC 7011 §3.3.1: zeros, fewer than the shortest record; sets are padded to 4 or 8 bytes.
fn is_padding(rest: &[u8]) -> bool {
    rest.len() < 8 && is_zero(rest)
}
