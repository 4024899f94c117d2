//! Real interfaces: snmpd in a network namespace is polled, a link goes down and comes back, a port
//! is shut, becomes an incident and is opened again by the shipped playbook, over SNMP.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use console::Words;
use model::rows::{
    Action, ActionState, Approval, ApprovalVerdict, Entity, Incident, IncidentState, Quality,
};

use super::log::Topics;
use super::namespace::{Made, Namespace};
use super::pipeline::Pipeline;
use super::snmpd::{PORT, READS, Snmpd, WRITES};
use super::verdict::{Check, Outcome, latest};
use super::{POLL, now_ms};
use crate::process::copied;
use crate::process::site::{CONFIG, Site};

const DEVICE: &str = "edge1";
/// Loses its carrier.
const PULLED: &str = "port0";
/// Is shut.
const SHUT: &str = "port1";
/// snmpd looks at the kernel every few seconds, a poll comes every second, and each stage has a
/// heartbeat; on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(45);
/// Verified on top of that, and looked at every few seconds.
const REPAIRED_WITHIN: Duration = Duration::from_secs(90);
const NAME: &str = "interfaces";
/// What ingest counts of agents that it has trouble with.
const UNWANTED: [&str; 6] =
    ["polls_cut", "polls_dropped", "faults", "fallbacks", "breakers_opened", "answers_unusable"];

struct Lab {
    pipeline: Pipeline,
    topics: Topics,
    snmpd: Snmpd,
    namespace: Namespace,
}

pub fn run(bootstrap: &str) -> Result<Vec<Check>> {
    let namespace = match Namespace::make(&[PULLED, SHUT])? {
        Made::Here(namespace) => namespace,
        Made::NotAllowed(reason) => {
            let outcome = Outcome::Skipped(format!("no network namespaces here: {reason}"));
            return Ok(vec![Check { name: NAME.to_owned(), outcome }]);
        }
    };
    let mut lab = Lab::start(bootstrap, namespace)?;
    let mut checks = Vec::new();
    for (name, each) in Lab::CHECKS {
        let check = Check::of(&format!("{NAME}: {name}"), each(&mut lab));
        let has_failed = matches!(check.outcome, Outcome::Failed(_));
        checks.push(check);
        if has_failed {
            eprintln!("{}", lab.pipeline.tails());
            return Ok(checks);
        }
    }
    checks.push(lab.pipeline.drained(&format!("{NAME}: drain")));
    Ok(checks)
}

type Each = fn(&mut Lab) -> Result<String>;

// === impl Lab ===

impl Lab {
    const CHECKS: [(&str, Each); 5] = [
        ("polled", Lab::polled),
        ("linkdown", Lab::linkdown),
        ("shut port", Lab::repair),
        ("false alarms", Lab::others),
        ("counters", Lab::counters),
    ];

    fn start(bootstrap: &str, namespace: Namespace) -> Result<Lab> {
        let mut site = Site::new(bootstrap, "e2e-snmpd", 2)?;
        configure(&mut site)?;
        let snmpd = Snmpd::start(&namespace, site.dir())?;
        site.apply_topics()?;
        let address = namespace.address;
        let inventory = format!(
            "devices:\n  - {{ name: {DEVICE}, address: {address}, role: router, \
             snmp: {{ port: {PORT}, credential: lab }} }}\n"
        );
        site.apply_inventory(&inventory)?;
        let pipeline = Pipeline::on(site, &["act", "correlate", "detect", "ingest"])?;
        let topics = Topics::open(&pipeline.bus)?;
        Ok(Lab { pipeline, topics, snmpd, namespace })
    }

    /// All interfaces of the namespace stand on the log, and are up.
    fn polled(&mut self) -> Result<String> {
        let wanted = BTreeSet::from(["lo", "mgmt0", PULLED, SHUT].map(str::to_owned));
        self.until("the interfaces", SEEN_WITHIN, |topics| {
            let all = topics.interfaces()?;
            let up = all.iter().filter(|row| row.device == DEVICE && row.oper_up == Some(true));
            let names: BTreeSet<String> = up.map(|row| row.name.clone()).collect();
            Ok((names == wanted).then_some(()))
        })?;
        Ok(format!("snmpd's {} interfaces are on interfaces.v1, and up", wanted.len()))
    }

    /// A cable is pulled and put back.
    fn linkdown(&mut self) -> Result<String> {
        let begun = Instant::now();
        self.namespace.set_outer(PULLED, "down")?;
        let incident = self.incident(PULLED, |incident| incident.state == IncidentState::Open)?;
        let found = begun.elapsed();
        is_of(&incident, PULLED, "link-down")?;
        let begun = Instant::now();
        self.namespace.set_outer(PULLED, "up")?;
        self.incident(PULLED, |incident| incident.state != IncidentState::Open)?;
        let (found, over, line) = (seconds(found), seconds(begun.elapsed()), incident.headline);
        Ok(format!("\"{line}\" after {found}, over {over} after the link was back"))
    }

    /// A port is shut; the plan waits, is approved, and opens it.
    fn repair(&mut self) -> Result<String> {
        let begun = Instant::now();
        self.namespace.set(SHUT, "down")?;
        let incident = self.incident(SHUT, |incident| incident.state == IncidentState::Open)?;
        let found = begun.elapsed();
        is_of(&incident, SHUT, "admin-down")?;
        let waits = self.until("a plan", SEEN_WITHIN, |topics| {
            let waits = |row: &Action| row.state == ActionState::AwaitingApproval;
            let mine = |row: &Action| row.incident == incident.id && waits(row);
            Ok(topics.actions()?.into_iter().find(mine))
        })?;
        ensure!(!self.namespace.is_up(SHUT)?, "{SHUT} is up before the approval");
        let begun = Instant::now();
        self.approve(&waits)?;
        let end = self.until("the end of the repair", REPAIRED_WITHIN, |topics| {
            let mine = |row: &Action| row.execution == waits.execution && is_end(row);
            Ok(topics.actions()?.into_iter().find(mine))
        })?;
        let confirmed = begun.elapsed();
        ensure!(end.state == ActionState::Confirmed, "{:?}: {}", end.state, end.reason);
        ensure!(self.namespace.is_up(SHUT)?, "confirmed, but the kernel has {SHUT} down");
        self.incident(SHUT, |incident| incident.state == IncidentState::Resolved)?;
        let (found, confirmed) = (seconds(found), seconds(confirmed));
        let (line, reason) = (incident.headline, end.reason);
        Ok(format!("\"{line}\" after {found}, confirmed {confirmed} after approval ({reason})"))
    }

    fn others(&mut self) -> Result<String> {
        let incidents = self.topics.incidents()?;
        let about = [PULLED, SHUT].map(entity);
        let is_other = |incident: &&&Incident| {
            incident.merged_into.is_none() && !incident.entity.iter().any(|e| about.contains(e))
        };
        let latest = latest(&incidents);
        let wrong: Vec<&str> =
            latest.values().filter(is_other).map(|incident| incident.headline.as_str()).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(format!("{} incidents, of what was done", latest.len()))
    }

    /// Every answer of snmpd was understood, and the polls themselves are traffic that it counts.
    fn counters(&mut self) -> Result<String> {
        for name in UNWANTED {
            let name = format!("gannet_ingest_snmp_{name}_total");
            let count = self.pipeline.metric("ingest", &name)?;
            ensure!(count == 0.0, "{name} is {count}");
        }
        let rates = self.topics.metrics()?.into_iter().filter(|row| {
            let is_counter = row.metric == "ifHCInOctets" && row.quality == Quality::Ok;
            is_counter && row.entity.as_deref() == Some("mgmt0")
        });
        let most = rates.filter_map(|row| row.rate).fold(0.0, f64::max);
        ensure!(most > 0.0, "mgmt0 has no traffic by its counters");
        let of = |name: &str| self.pipeline.metric("ingest", name);
        let polls = of("gannet_ingest_snmp_polls_total")?;
        let requests = of("gannet_ingest_snmp_requests_total")?;
        Ok(format!("{polls} polls in {requests} requests, at most {most:.0} octets/s on mgmt0"))
    }

    fn incident(&mut self, port: &str, is: impl Fn(&Incident) -> bool) -> Result<Incident> {
        self.until(&format!("an incident of {port}"), SEEN_WITHIN, |topics| {
            let changes = topics.incidents()?;
            let about = |incident: &&Incident| incident.entity == Some(entity(port));
            let found = latest(&changes).into_values().filter(about).find(|found| is(found));
            Ok(found.cloned())
        })
    }

    fn approve(&self, waits: &Action) -> Result<()> {
        let (bus, log, now) = (&self.pipeline.bus, bus::open(&self.pipeline.bus)?, now_ms()?);
        let words = Words::new(log, bus.clone(), "e2e", u64::try_from(now)?);
        let approval = Approval {
            domain: waits.domain.clone(),
            time_ms: now,
            execution: waits.execution.clone(),
            incident: waits.incident.clone(),
            plan_hash: waits.plan_hash.clone().context("a plan that waits has a hash")?,
            verdict: ApprovalVerdict::Approve,
            who: "e2e".to_owned(),
            reason: None,
            until_ms: now + 600_000,
        };
        Ok(words.approval(&approval)?)
    }

    /// Looks at the topics until they show it.
    fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&Topics) -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            self.pipeline.check()?;
            self.snmpd.check()?;
            if let Some(found) = found(&self.topics)? {
                return Ok(found);
            }
            ensure!(begun.elapsed() < limit, "{what}: not within {limit:?}");
            std::thread::sleep(POLL);
        }
    }
}

/// The shipped playbooks and bindings, and a poll every second.
fn configure(site: &mut Site) -> Result<()> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let playbooks = site.dir().join("playbooks");
    std::fs::create_dir(&playbooks)?;
    copied(&shipped.join("playbooks"), &playbooks)?;
    std::fs::copy(shipped.join("actions.yaml"), site.dir().join("actions.yaml"))?;
    site.ingest =
        format!("snmp: {{ interval_ms: 1000, credentials: {{ lab: {{ community: {READS} }} }} }}");
    let more = format!(
        "correlate: {{ resolve_after_s: 5 }}\n\
         act: {{ playbooks: playbooks, actions: actions.yaml }}\n\
         drivers: {{ snmp: {{ credentials: {{ lab: {WRITES} }} }} }}\n"
    );
    site.configure(CONFIG, &site.bus, &more)
}

fn entity(port: &str) -> Entity {
    Entity { kind: "interface".to_owned(), name: format!("{DEVICE} {port}") }
}

fn is_of(incident: &Incident, port: &str, fault: &str) -> Result<()> {
    let line = &incident.headline;
    ensure!(line.contains(DEVICE) && line.contains(port), "the headline is {line:?}");
    let found = incident.cause.as_ref().map(|cause| cause.fault.as_str());
    ensure!(found == Some(fault), "{line:?} has the cause {found:?}, not {fault}");
    Ok(())
}

/// Whether an execution has ended with this row.
fn is_end(row: &Action) -> bool {
    use ActionState::{
        Confirmed, Expired, Failed, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn,
    };
    let ends =
        [Confirmed, Expired, Failed, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn];
    row.step.is_none() && ends.contains(&row.state)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
