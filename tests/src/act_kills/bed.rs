//! What a run stands on: topics of its own on the broker, the network as act follows it, incidents
//! as correlate writes them, people's words as the console does, and the three receivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use bus::{Meta, Name, OutRecord, Outgoing, Time, Where, Writer, frame, heartbeat};
use bytes::Bytes;
use model::rows::{
    Approval, ApprovalVerdict, Cause, Device, Entity, Grouping, Incident, IncidentState, Interface,
    Member,
};
use model::schema::{self, TopicSchema};
use runtime::task::{Clock, SystemClock};

use super::agent::Agent;
use super::hook::Hook;
use super::point::{Means, Way};
use super::program::Program;
use super::{config, watch::Watch};
use crate::process::site::Site;

pub const DOMAIN: &str = "default";
pub const DEVICE: &str = "edge1";
/// The configuration's name in the site's folder.
pub const CONFIG: &str = "act.yaml";
/// Whose rows the incidents are.
const WRITER: &str = "correlate";
/// Of one record and its report.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Bed {
    pub site: Site,
    pub agent: Arc<Agent>,
    pub hook: Arc<Hook>,
    pub program: Program,
    pub words: console::Words,
    /// The id of correlate's input, which is in the name of all that its task says.
    evidence: String,
    offset: AtomicI64,
}

pub fn now_ms() -> i64 {
    SystemClock::default().wall_ms()
}

/// A broken interface, and what calls for a repair of it.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub index: u32,
    pub means: Means,
    pub way: Way,
}

// === impl Fault ===

impl Fault {
    pub fn incident(&self) -> String {
        format!("i{}", self.index)
    }

    /// The id that act gives to the one execution of it.
    pub fn execution(&self) -> String {
        let playbook = self.way.fault(self.means);
        act::engine::Execution::name(DOMAIN, &self.incident(), &playbook, 0)
    }

    /// What its call to apply, or to take back, has for a key.
    pub fn key(&self, way: &str) -> String {
        format!("{}/0/{way}", self.execution())
    }
}

// === impl Bed ===

impl Bed {
    /// With so many interfaces on its device.
    pub fn new(bootstrap: &str, name: &str, interfaces: u32) -> Result<Bed> {
        let site = Site::new(bootstrap, name, 1)?;
        site.apply_topics()?;
        let (agent, hook) = (Agent::bind()?, Hook::bind()?);
        let program = Program::write(site.dir())?;
        config::write(&site, hook.port, &program.path())?;
        let words = console::Words::new(Arc::clone(&site.log), site.bus.clone(), "person", 1);
        let evidence = site.log.admin().describe(&site.bus.topic("evidence.v1"))?;
        let evidence = evidence.context("no evidence")?.id;
        let offset = AtomicI64::new(0);
        let bed = Bed { site, agent, hook, program, words, evidence, offset };
        bed.network(interfaces)?;
        Ok(bed)
    }

    pub fn watch(&self) -> Result<Watch> {
        Watch::new(&*self.site.log, self.site.bus.topic("actions.v1"), self.site.bus.limits.clone())
    }

    fn network(&self, interfaces: u32) -> Result<()> {
        let device = Device {
            domain: DOMAIN.to_owned(),
            device: DEVICE.to_owned(),
            address: "127.0.0.1".to_owned(),
            exporter: None,
            role: "router".to_owned(),
            class: None,
            site: None,
            snmp_port: Some(self.agent.port),
            snmp_credential: Some(config::CREDENTIAL.to_owned()),
            updated_ms: now_ms(),
        };
        let (batch, key) = (Device::to_batch(std::slice::from_ref(&device))?, device.record_key());
        self.deliver(&self.framed("inventory.v1", schema::inventory(), batch, &key)?)?;
        let mut records = Vec::new();
        for index in 1..=interfaces {
            let (interface, schema) = (interface(index), schema::interfaces());
            let batch = Interface::to_batch(std::slice::from_ref(&interface))?;
            records.extend(self.framed("interfaces.v1", schema, batch, &interface.record_key())?);
        }
        self.deliver(&records)
    }

    /// Correlate says that time goes on.
    pub fn beats(&self) -> Result<()> {
        let topic = Arc::from(self.site.bus.topic("incidents.v1"));
        let mut beat = heartbeat(&topic, 0, now_ms(), self.name(), WRITER, Vec::new());
        beat.key = Some(Bytes::from(format!("heartbeat/{WRITER}")));
        self.deliver(&[beat])
    }

    /// The incident opens.
    pub fn breaks(&self, fault: &Fault) -> Result<()> {
        self.incident(&incident(fault))
    }

    /// Its anomalies clear.
    pub fn heals(&self, fault: &Fault) -> Result<()> {
        let mut incident = incident(fault);
        (incident.revision, incident.state) = (2, IncidentState::Quiet);
        incident.updated_ms += 1;
        incident.members[0].cleared_ms = Some(incident.updated_ms);
        self.incident(&incident)
    }

    fn incident(&self, incident: &Incident) -> Result<()> {
        let batch = Incident::to_batch(std::slice::from_ref(incident))?;
        self.deliver(&self.framed("incidents.v1", schema::incidents(), batch, &incident.id)?)
    }

    /// A person's approval of a plan, until a time.
    pub fn approve(&self, fault: &Fault, hash: &str, until_ms: i64) -> Result<()> {
        let approval = Approval {
            domain: DOMAIN.to_owned(),
            time_ms: now_ms(),
            execution: fault.execution(),
            incident: fault.incident(),
            plan_hash: hash.to_owned(),
            verdict: ApprovalVerdict::Approve,
            who: "person".to_owned(),
            reason: None,
            until_ms,
        };
        Ok(self.words.approval(&approval)?)
    }

    /// One row under correlate's name; the topics that are not correlate's do not ask.
    fn framed(
        &self,
        topic: &str,
        schema: &TopicSchema,
        batch: RecordBatch,
        key: &str,
    ) -> Result<Vec<OutRecord>> {
        let topic = self.site.bus.topic(topic);
        let now_ms = now_ms();
        let outgoing = Outgoing {
            topic: Arc::from(topic),
            to: Where::Fixed(0),
            batch,
            key: Some(Bytes::from(key.to_owned())),
            time: Time::At(now_ms),
            meta: self.meta(schema, now_ms),
        };
        Ok(frame(outgoing, 1, &self.site.bus.limits)?.records)
    }

    fn deliver(&self, records: &[OutRecord]) -> Result<()> {
        Ok(bus::deliver(&*self.site.log, WRITER, "test", records, PATIENCE)?)
    }

    /// The next name of correlate's task.
    fn name(&self) -> Name {
        let (stage, topic_id) = (WRITER.to_owned(), self.evidence.clone());
        let writer = Writer::Task { stage, topic_id, partition: 0 };
        let offset = self.offset.fetch_add(1, Ordering::SeqCst);
        Name { writer, offset, index: 0 }
    }

    fn meta(&self, schema: &TopicSchema, now_ms: i64) -> Meta {
        Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: WRITER.to_owned(),
            rows: 0,
            min_ts_ms: now_ms,
            max_ts_ms: now_ms,
            wm_ms: Some(now_ms),
            name: self.name(),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        }
    }
}

fn name(index: u32) -> String {
    format!("Gi0/{index}")
}

fn interface(index: u32) -> Interface {
    Interface {
        domain: DOMAIN.to_owned(),
        device: DEVICE.to_owned(),
        name: name(index),
        if_index: index,
        alias: None,
        descr: None,
        speed_bps: Some(1_000_000_000),
        admin_up: None,
        oper_up: None,
        address: None,
        from_ms: now_ms(),
        received_ms: now_ms(),
    }
}

fn incident(fault: &Fault) -> Incident {
    let (now_ms, cause) = (now_ms(), fault.way.fault(fault.means));
    let entity =
        Entity { kind: "interface".to_owned(), name: format!("{DEVICE} {}", name(fault.index)) };
    let member = Member {
        id: format!("a{}", fault.index),
        rule: "link-admin-down".to_owned(),
        key: String::new(),
        model: "row".to_owned(),
        opened_ms: now_ms,
        cleared_ms: None,
        value: None,
        expected: None,
        score: None,
        why: String::new(),
    };
    Incident {
        domain: DOMAIN.to_owned(),
        id: fault.incident(),
        revision: 1,
        state: IncidentState::Open,
        opened_ms: now_ms,
        updated_ms: now_ms,
        resolved_ms: None,
        grouping: Grouping::Cause,
        headline: format!("{cause} of {}", entity.name),
        entity: Some(entity),
        score: None,
        members: vec![member],
        contributors: Vec::new(),
        cause: Some(Cause {
            fault: cause,
            probability: 0.9,
            runner_up: None,
            why: String::new(),
            path: Vec::new(),
            affected: Vec::new(),
            unexplained: Vec::new(),
        }),
        changes: Vec::new(),
        reopened: 0,
        merged_into: None,
    }
}
