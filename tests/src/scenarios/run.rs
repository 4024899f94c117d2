//! One run: a seed's network with one fault (or none), through every stage in simulated receive
//! time, on the shipped configuration. The network goes on only while the last stage keeps up, so
//! that a repair comes when it would in life. Nothing here looks at the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus::{Log, ReadEvent, Reader};
use gannet::config::{Config, Stage};
use gannet::stages::Prepared;
use gannet::{inventory, shipped, simnet};
use ingest::IngestFeed;
use model::rows::{Action, ActionState, Anomaly, AnomalyKind, Approval, ApprovalVerdict, Incident};
use model::time::rfc3339;
use runtime::admin::Readiness;
use runtime::process;
use runtime::shutdown::Shutdown;
use sim::net::{Fault, Net, Params, Placed};

use super::devices::{self, Shared, Writes, Written, lock};

/// Network time before the fault: models and rates have a past.
pub const CALM_S: u64 = 600;
/// After a repair has ended, or a fault that has none: what comes back would come by then.
const AFTER_S: i64 = 90;
/// The network may be so far ahead of the last stage. Grace is 1 s, and ingest's heartbeats and
/// each stage's go once a second.
const LEAD_MS: i64 = 4_000;
const STEP_MS: i64 = 100;
/// For the last stage to come to a time, in real time: a machine that is busy is not a failure.
const PATIENCE: Duration = Duration::from_secs(120);
/// A Monday morning: the daily curve is on its way up.
const START_MS: i64 = 1_790_586_000_000;
/// A person who looks at the plan at once; the word goes through the log as the console writes it.
const WHO: &str = "scenario";

/// What a run is told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub fault: Fault,
    pub seed: u64,
    pub deaf: bool,
    /// Of a quiet run, whose length nothing else decides.
    pub quiet_s: u64,
}

/// What a run showed, as a consumer of the topics sees it.
#[derive(Debug, Default)]
pub struct Shown {
    /// Every revision, in order.
    pub incidents: Vec<Incident>,
    pub actions: Vec<Action>,
    pub anomalies: Vec<Anomaly>,
    pub writes: Vec<Written>,
    /// The network's start.
    pub start_ms: i64,
    pub end_ms: i64,
    pub took: Duration,
}

struct Running<'a> {
    config: &'a Config,
    log: &'a Arc<dyn Log>,
    net: Shared,
    feed: IngestFeed,
    reader: Box<dyn Reader>,
    words: console::Words,
    now_ms: i64,
    /// The last stage's watermark by writer and partition.
    reached: BTreeMap<(String, u32), i64>,
    shown: Shown,
}

pub fn run(told: Told) -> Result<(Shown, Shared)> {
    let begun = Instant::now();
    let config = Arc::new(shipped::in_memory(&[])?.value);
    let log = bus::open(&config.bus)?;
    let wanted = bus::topics::catalogue(&config.bus);
    bus::topics::apply(log.admin(), &wanted)?;
    let net = Net::new(params(told));
    let known = inventory::load_text("the network's inventory", &net.inventory())?;
    inventory::apply(&*log, &config, &known, START_MS)?;
    let (net, writes) = (Shared::new(net.into()), Writes::default());

    let stages = [Stage::Detect, Stage::Correlate, Stage::Act];
    let prepared = Prepared::new(&config, &stages)?.simulated(devices::drivers(&net, &writes));
    let threads = prepared.threads(&config, &log, &stages, &Readiness::default())?;
    let shutdown = Shutdown::new();
    let ran = std::thread::scope(|scope| {
        let stages = scope.spawn(|| process::run(threads, &config.process, &shutdown));
        let ran = Running::new(&config, &log, &net).and_then(|running| running.run(told));
        shutdown.request();
        let stopped = stages.join().expect("the frame of a process does not panic");
        match (ran, stopped) {
            (ran, Ok(())) => ran,
            // Why the stages ended says more than that nothing came any more.
            (_, Err(error)) => Err(error.into()),
        }
    });
    let mut shown = ran?;
    shown.writes = std::mem::take(&mut lock(&writes));
    shown.took = begun.elapsed();
    Ok((shown, net))
}

fn params(told: Told) -> Params {
    let placed = Placed { fault: told.fault, after_s: CALM_S, for_s: None, at: None };
    let faults = if told.fault == Fault::None { Vec::new() } else { vec![placed] };
    let (seed, deaf, start_ms) = (told.seed, told.deaf, START_MS);
    Params { seed, deaf, start_ms, faults, ..Params::default() }
}

/// The longest that a fault is waited for: the slowest rule for it, with room.
fn limit_s(told: Told) -> u64 {
    match told.fault {
        Fault::None => told.quiet_s,
        // `cpu_usage > 90 for 5 minutes`.
        Fault::Cpu => CALM_S + 600,
        _ => CALM_S + 300,
    }
}

// === impl Running ===

impl<'a> Running<'a> {
    fn new(config: &'a Config, log: &'a Arc<dyn Log>, net: &Shared) -> Result<Running<'a>> {
        let mut reader = log.reader()?;
        let mut from = Vec::new();
        for topic in ["evidence.v1", "incidents.v1", "actions.v1"] {
            from.extend(bus::from_start(&**log, &mut *reader, &config.bus.topic(topic))?);
        }
        reader.assign(&from)?;
        let (ingest, instance) = (&config.ingest, config.instance());
        Ok(Running {
            config,
            log,
            net: Arc::clone(net),
            feed: IngestFeed::new(ingest, &**log, &config.bus, &instance, 1, START_MS)?,
            reader,
            words: console::Words::new(Arc::clone(log), config.bus.clone(), &instance, 1),
            now_ms: START_MS,
            reached: BTreeMap::new(),
            shown: Shown { start_ms: START_MS, ..Shown::default() },
        })
    }

    fn run(mut self, told: Told) -> Result<Shown> {
        let limit_ms = START_MS + limit_s(told) as i64 * 1_000;
        let mut end_ms = limit_ms;
        while self.now_ms < end_ms {
            self.second()?;
            end_ms = self.end_ms(limit_ms);
        }
        self.shown.end_ms = self.now_ms;
        Ok(self.shown)
    }

    /// A second of the network's time.
    fn second(&mut self) -> Result<()> {
        let until_ms = self.now_ms + 1_000;
        while self.now_ms < until_ms {
            self.now_ms += STEP_MS;
            simnet::step(&mut self.feed, &mut lock(&self.net), self.now_ms)?;
        }
        self.feed.advance(self.now_ms)?;
        self.feed.settle(PATIENCE)?;
        self.catch_up()
    }

    /// Reads what the stages say until the last one has come close.
    fn catch_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let partitions = self.partitions("actions.v1")? as usize;
        loop {
            while let ReadEvent::Record(record) = self.reader.poll(Duration::from_millis(1))? {
                self.record(&record)?;
            }
            let heard = self.reached.len() >= partitions;
            let least = self.reached.values().min().copied().filter(|_| heard);
            let is_young = self.now_ms - START_MS < LEAD_MS * 2;
            if is_young || least.is_some_and(|least| least >= self.now_ms - LEAD_MS) {
                return Ok(());
            }
            let at = least.map_or("nowhere".to_owned(), rfc3339);
            ensure!(Instant::now() < deadline, "the stages stand still at {at}");
        }
    }

    fn record(&mut self, record: &bus::Record) -> Result<()> {
        let Ok((meta, batch)) = bus::frame::read(record, &self.config.bus.limits) else {
            bail!("a record of {} cannot be read", record.topic);
        };
        let schema = meta.schema.split('/').next().unwrap_or_default().to_owned();
        if *record.topic == *self.config.bus.topic("actions.v1")
            && let Some(wm_ms) = meta.wm_ms
        {
            let key = (meta.producer.clone(), record.partition);
            let reached = self.reached.entry(key).or_insert(wm_ms);
            *reached = wm_ms.max(*reached);
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match schema.as_str() {
            "evidence.anomaly" => self.shown.anomalies.extend(Anomaly::from_batch(&batch)?),
            "incidents" => self.shown.incidents.extend(Incident::from_batch(&batch)?),
            "actions" => {
                for action in Action::from_batch(&batch)? {
                    self.action(&action)?;
                    self.shown.actions.push(action);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Approves what waits for a person.
    fn action(&mut self, action: &Action) -> Result<()> {
        if action.state != ActionState::AwaitingApproval {
            return Ok(());
        }
        let approval = Approval {
            domain: action.domain.clone(),
            time_ms: self.now_ms,
            execution: action.execution.clone(),
            incident: action.incident.clone(),
            plan_hash: action.plan_hash.clone().context("a plan that waits has a hash")?,
            verdict: ApprovalVerdict::Approve,
            who: WHO.to_owned(),
            reason: None,
            until_ms: self.now_ms + 600_000,
        };
        Ok(self.words.approval(&approval)?)
    }

    /// When the run is over: a while after all that was begun has ended.
    fn end_ms(&self, limit_ms: i64) -> i64 {
        let last = |id: &str| self.shown.actions.iter().rev().find(|a| a.execution == id);
        let ids = self.shown.actions.iter().map(|action| action.execution.as_str());
        let mut ends = Vec::new();
        for id in ids {
            match last(id) {
                Some(row) if is_end(row) => ends.push(row.time_ms),
                _ => return limit_ms,
            }
        }
        match ends.into_iter().max() {
            Some(end_ms) => limit_ms.min(end_ms + AFTER_S * 1_000),
            None => limit_ms,
        }
    }

    fn partitions(&self, topic: &str) -> Result<u32> {
        let found = self.log.admin().describe(&self.config.bus.topic(topic))?;
        Ok(found.with_context(|| format!("there is no topic {topic}"))?.partitions)
    }
}

/// Whether an execution has ended with this row.
pub fn is_end(row: &Action) -> bool {
    use ActionState::{
        Confirmed, Expired, Failed, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn,
    };
    let ends =
        [Confirmed, Expired, Failed, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn];
    row.step.is_none() && ends.contains(&row.state)
}

/// Every revision of every incident with its members, for a person who looks for a cause.
pub fn revisions(shown: &Shown) -> String {
    let at_s = |at_ms: i64| (at_ms - shown.start_ms) as f64 / 1_000.0;
    let mut text = String::new();
    for incident in &shown.incidents {
        let Incident { id, revision, state, headline, .. } = incident;
        let merged = incident.merged_into.as_deref().unwrap_or("-");
        text += &format!(
            "{:.1} {id}/{revision} {} merged {merged}: {headline}\n",
            at_s(incident.updated_ms),
            state.as_str()
        );
        for member in &incident.members {
            let cleared = member.cleared_ms.map_or("open".to_owned(), |ms| at_s(ms).to_string());
            let (id, rule, key) = (&member.id, &member.rule, &member.key);
            text += &format!("    {id} {rule} {key} {} to {cleared}\n", at_s(member.opened_ms));
        }
    }
    text
}

/// Anomalies that opened, for a line about a run that went wrong.
pub fn opened(shown: &Shown) -> Vec<String> {
    let opened = shown.anomalies.iter().filter(|anomaly| anomaly.kind == AnomalyKind::Open);
    let name = |anomaly: &Anomaly| {
        let entity = anomaly.entity.as_ref().map_or("", |entity| entity.name.as_str());
        let at_s = (anomaly.time_ms - shown.start_ms) / 1_000;
        format!("{at_s} s {} {entity}", anomaly.rule)
    };
    opened.map(name).collect()
}
