//! The demo's course as the topics tell it: the anomaly, the incident, the plan, a person's word,
//! and how the repair ended. What is printed of it is left to `tell`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::{Log, ReadEvent, Record};
use model::rows::{Action, ActionState, Anomaly, AnomalyKind, Entity, Incident};
use runtime::shutdown::Shutdown;
use serde::Serialize;
use sim::net::Fault;

use super::tell;
use crate::approve::Client;
use crate::config::Config;

/// How the demo goes.
pub struct Story {
    pub begun: Instant,
    /// Without an incident for so long, something is wrong.
    pub patience: Duration,
    pub approve: bool,
    pub ending: Ending,
    /// Where to write how it went.
    pub summary: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    AfterRepair,
    /// Of this length, from the start of the process.
    After(Duration),
    /// Ctrl-C.
    WhenTold,
}

/// When what happened, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub page: Option<Duration>,
    pub anomaly: Option<Duration>,
    pub incident: Option<Duration>,
    pub repair: Option<Duration>,
}

/// How it went, for programs; times in seconds since the start.
#[derive(Serialize)]
struct Summary<'a> {
    page_s: Option<f64>,
    anomaly_s: Option<f64>,
    incident_s: Option<f64>,
    repair_s: Option<f64>,
    incidents: usize,
    root: Option<&'a Entity>,
    fault: Option<&'a str>,
    ended: Option<&'static str>,
    peak_memory_mb: Option<u64>,
}

/// What was read so far.
struct Course<'a> {
    story: &'a Story,
    page: &'a str,
    console: Client,
    times: Times,
    incident: Option<Incident>,
    /// The execution that is told of, and the hash of its plan.
    execution: Option<String>,
    ended: Option<ActionState>,
    incidents: BTreeSet<String>,
}

const POLL: Duration = Duration::from_millis(50);
/// For a repair, once there is a plan: approval, verification (120 s as shipped) and the way back.
const REPAIR_PATIENCE: Duration = Duration::from_secs(240);

/// How long a fault may take to become an incident: the rules' own times (`config/rules.yaml`).
pub fn patience(fault: Fault) -> Duration {
    match fault {
        Fault::Cpu => Duration::from_secs(420),
        _ => Duration::from_secs(120),
    }
}

// === impl Story ===

impl Story {
    pub fn tell(
        &self,
        log: &dyn Log,
        config: &Config,
        page: &str,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let token = config.console.token.as_ref().map(|token| token.0.clone());
        let mut course = Course {
            story: self,
            page,
            console: Client::new(page, token),
            times: Times::default(),
            incident: None,
            execution: None,
            ended: None,
            incidents: BTreeSet::new(),
        };
        let mut reader = log.reader()?;
        let mut from = Vec::new();
        for topic in ["evidence.v1", "incidents.v1", "actions.v1"] {
            from.extend(bus::from_start(log, &mut *reader, &config.bus.topic(topic))?);
        }
        reader.assign(&from)?;
        while !shutdown.requested() {
            course.look_at_page();
            course.lose_patience()?;
            if let ReadEvent::Record(record) = reader.poll(POLL)? {
                course.record(&record, config)?;
            }
            let is_over = match self.ending {
                Ending::AfterRepair => course.ended.is_some(),
                Ending::After(length) => self.begun.elapsed() >= length,
                Ending::WhenTold => false,
            };
            if is_over {
                shutdown.request();
                course.write_summary()?;
                return course.verdict();
            }
        }
        course.write_summary()
    }
}

// === impl Course ===

impl Course<'_> {
    fn since(&self) -> Duration {
        self.story.begun.elapsed()
    }

    fn look_at_page(&mut self) {
        if self.times.page.is_none() && self.console.incidents().is_ok() {
            self.times.page = Some(self.since());
            tell::page(self.since(), self.page);
        }
    }

    fn lose_patience(&self) -> Result<()> {
        if self.story.ending != Ending::AfterRepair {
            return Ok(());
        }
        match self.times.incident {
            None if self.since() > self.story.patience => {
                bail!("no incident within {:?}", self.story.patience)
            }
            Some(at) if self.since() > at + REPAIR_PATIENCE => {
                bail!("the repair did not end within {REPAIR_PATIENCE:?}")
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, record: &Record, config: &Config) -> Result<()> {
        let Ok((meta, batch)) = bus::frame::read(record, &config.bus.limits) else {
            return Ok(());
        };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match meta.schema.split('/').next().unwrap_or_default() {
            "evidence.anomaly" => self.anomalies(&Anomaly::from_batch(&batch)?),
            "incidents" => self.incidents(Incident::from_batch(&batch)?),
            "actions" => {
                for action in Action::from_batch(&batch)? {
                    self.action(&action)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn anomalies(&mut self, anomalies: &[Anomaly]) {
        let mut opened = anomalies.iter().filter(|anomaly| anomaly.kind == AnomalyKind::Open);
        if let (None, Some(first)) = (self.times.anomaly, opened.next()) {
            self.times.anomaly = Some(self.since());
            tell::anomaly(self.since(), first);
        }
    }

    fn incidents(&mut self, incidents: Vec<Incident>) {
        for incident in incidents {
            self.incidents.insert(incident.id.clone());
            let is_ours = self.incident.as_ref().is_none_or(|ours| ours.id == incident.id);
            if !is_ours {
                if incident.revision == 0 {
                    tell::other(self.since(), &incident);
                }
                continue;
            }
            let told = |incident: &Incident| {
                let fault = incident.cause.as_ref().map(|cause| cause.fault.clone());
                (fault, incident.entity.clone(), incident.state)
            };
            if self.incident.as_ref().map(told) != Some(told(&incident)) {
                tell::incident(self.since(), &incident);
            }
            self.times.incident.get_or_insert(self.story.begun.elapsed());
            self.incident = Some(incident);
        }
    }

    fn action(&mut self, action: &Action) -> Result<()> {
        let ours = self.incident.as_ref().is_some_and(|ours| ours.id == action.incident);
        // Only what is planned is told of: a proposal that no plan follows is not.
        if !ours || self.execution.as_ref().is_some_and(|id| *id != action.execution) {
            return Ok(());
        }
        match action.state {
            ActionState::Proposed => return Ok(()),
            ActionState::Planned => {
                self.execution = Some(action.execution.clone());
                tell::plan(self.since(), action);
            }
            ActionState::AwaitingApproval => self.ask(action)?,
            _ => tell::step(self.since(), action),
        }
        if action.step.is_none() && is_end(action.state) {
            if action.state == ActionState::Confirmed {
                self.times.repair = Some(self.since());
            }
            self.ended = Some(action.state);
            tell::closing(&self.times, self.incident.as_ref(), action, self.page);
        }
        Ok(())
    }

    fn ask(&self, action: &Action) -> Result<()> {
        let hash = action.plan_hash.as_deref().context("a plan that waits has a hash")?;
        tell::question(self.since(), &action.execution, hash, self.page);
        if self.story.approve {
            self.console_knows(&action.execution)?;
            let (who, why) = ("demo --approve", "the demo was told to");
            self.console.decide(&action.execution, "approve", hash, who, why)?;
        }
        Ok(())
    }

    /// The console reads the same topic; it may be a moment behind.
    fn console_knows(&self, execution: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.console.execution(execution) {
                Ok(repair) if repair.can_decide => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Ok(_) if Instant::now() > deadline => bail!("the console does not ask for a word"),
                _ => std::thread::sleep(POLL),
            }
        }
    }

    fn verdict(&self) -> Result<()> {
        match self.ended {
            None | Some(ActionState::Confirmed) => Ok(()),
            Some(other) => bail!("the repair is not verified: it ended as {}", other.as_str()),
        }
    }

    fn write_summary(&self) -> Result<()> {
        let Some(path) = &self.story.summary else {
            return Ok(());
        };
        let cause = self.incident.as_ref().and_then(|incident| incident.cause.as_ref());
        let summary = Summary {
            page_s: self.times.page.map(|at| at.as_secs_f64()),
            anomaly_s: self.times.anomaly.map(|at| at.as_secs_f64()),
            incident_s: self.times.incident.map(|at| at.as_secs_f64()),
            repair_s: self.times.repair.map(|at| at.as_secs_f64()),
            incidents: self.incidents.len(),
            root: self.incident.as_ref().and_then(|incident| incident.entity.as_ref()),
            fault: cause.map(|cause| cause.fault.as_str()),
            ended: self.ended.map(ActionState::as_str),
            peak_memory_mb: tell::peak_memory_mb(),
        };
        std::fs::write(path, serde_json::to_string(&summary)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// States that nothing follows, of a whole execution.
fn is_end(state: ActionState) -> bool {
    use ActionState::{
        Confirmed, Expired, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn,
    };
    matches!(
        state,
        Confirmed | Expired | Refused | Rejected | RolledBack | Stuck | Unknown | Withdrawn
    )
}
