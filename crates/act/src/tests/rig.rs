//! A small network, a device that counts, a log of rows, and a clock that the test moves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::rows::{
    Action, ActionState, Approval, ApprovalVerdict, Cause, Change, Contributor, Device, Element,
    ElementKind, Entity, Grouping, Incident, IncidentState, Interface, Member,
};

use crate::config::ActConfig;
use crate::driver::fake::FakeDriver;
use crate::driver::{Driver, DriverError, Drivers};
use crate::engine::{Act, Answer, Done, Effect, Kind, Miss, Network, Turn};
use crate::playbook::{Library, check_texts};

pub const OBJECT: &str = "1.3.6.1.2.1.2.2.1.7.2";
pub const START_MS: i64 = 1_700_000_000_000;

pub struct Rig {
    pub config: Arc<ActConfig>,
    pub library: Arc<Library>,
    pub act: Act,
    pub network: Network,
    pub device: Arc<FakeDriver>,
    pub hook: Arc<FakeDriver>,
    drivers: Drivers,
    /// Rows that stand.
    pub rows: Vec<Action>,
    pub changes: Vec<Change>,
    pub incidents: Vec<Incident>,
    pub approvals: Vec<Approval>,
    new_approvals: Vec<Approval>,
    calls: VecDeque<Effect>,
    answers: Vec<Answer>,
    pub now_ms: i64,
    pub mono: Duration,
    pub is_killed: bool,
    /// Kill the process when this says so of a place.
    pub crash: Option<Box<dyn FnMut(&Place<'_>) -> bool>>,
    pub crashes: u32,
}

/// Where a process may die.
pub enum Place<'a> {
    /// A row stands; nothing that it allows has begun.
    Stood(&'a Action),
    /// A call was made; nobody heard its answer.
    Called(&'a Effect),
}

pub fn playbook(name: &str, mode: &str, fault: &str, steps: &str) -> String {
    format!(
        "apiVersion: actions.scheduler.net/v1\nkind: Playbook\nmetadata: {{ name: {name} }}\n\
         spec:\n  mode: {mode}\n  trigger: {{ fault: {fault} }}\n  steps:\n{steps}"
    )
}

pub const UP: &str = "    - { name: up, action: interface.up, inputs: { device: \
    \"{{ trigger.device }}\", interface: \"{{ trigger.interface }}\" } }\n";
pub const DOWN: &str = "    - { name: down, action: interface.down, inputs: { device: \
    \"{{ trigger.device }}\", interface: \"{{ trigger.interface }}\" } }\n";
pub const HOOK: &str =
    "    - { name: hook, action: hook.call, inputs: { device: \"{{ trigger.device }}\" } }\n";
pub const NOTIFY: &str = "    - { name: tell, action: notification.send, inputs: { channel: c, \
    message: \"{{ trigger.headline }}\" } }\n";

pub fn actions(mode: &str) -> String {
    crate::playbook::tests::ACTIONS
        .replace("    effect: restores\n", &format!("    effect: restores\n    mode: {mode}\n"))
        .replace("    effect: cuts\n", &format!("    effect: cuts\n    mode: {mode}\n"))
}

pub fn link(a: (&str, &str), b: (&str, &str)) -> Element {
    let id = Element::link_id(a, b);
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let text = |text: &str| Some(text.to_owned());
    let name = id.trim_start_matches("link/").to_owned();
    Element {
        a_device: text(a.0),
        a_interface: text(a.1),
        b_device: text(b.0),
        b_interface: text(b.1),
        speed_bps: Some(1_000_000_000),
        ..element(&id, ElementKind::Link, &name)
    }
}

pub fn element(id: &str, kind: ElementKind, name: &str) -> Element {
    Element {
        domain: "default".to_owned(),
        time_ms: 0,
        id: id.to_owned(),
        kind,
        name: name.to_owned(),
        role: None,
        site: None,
        address: None,
        exporter: None,
        class: None,
        a_device: None,
        a_interface: None,
        b_device: None,
        b_interface: None,
        speed_bps: None,
        management: None,
        members: Vec::new(),
        removed: false,
    }
}

pub fn network() -> Network {
    let mut network = Network::default();
    for (name, management) in [("edge1", false), ("core1", false), ("core2", false), ("mgmt", true)]
    {
        let node = element(&format!("node/{name}"), ElementKind::Node, name);
        network.element(Element { management: Some(management), ..node }, 100);
        let device = Device {
            domain: "default".to_owned(),
            device: name.to_owned(),
            address: format!("192.0.2.{}", name.len()),
            exporter: None,
            role: "router".to_owned(),
            class: Some("sim".to_owned()),
            site: Some("s1".to_owned()),
            snmp_port: Some(161),
            snmp_credential: Some("lab".to_owned()),
            updated_ms: 0,
        };
        network.device(device, 100);
    }
    let links = [
        (("edge1", "Gi0/2"), ("core1", "Gi0/1")),
        (("edge1", "Gi0/3"), ("core2", "Gi0/1")),
        (("core1", "Gi0/9"), ("core2", "Gi0/9")),
        (("core1", "Gi0/8"), ("mgmt", "eth0")),
    ];
    for (a, b) in links {
        network.element(link(a, b), 100);
    }
    let interface = Interface {
        domain: "default".to_owned(),
        device: "edge1".to_owned(),
        name: "Gi0/2".to_owned(),
        if_index: 2,
        alias: None,
        descr: None,
        speed_bps: Some(1_000_000_000),
        admin_up: None,
        oper_up: None,
        address: None,
        from_ms: 0,
        received_ms: 0,
    };
    network.interface(interface, 100);
    network.is_ready = true;
    network
}

pub fn incident(fault: &str, kind: &str, name: &str) -> Incident {
    Incident {
        domain: "default".to_owned(),
        id: "i1".to_owned(),
        revision: 1,
        state: IncidentState::Open,
        opened_ms: START_MS,
        updated_ms: START_MS,
        resolved_ms: None,
        grouping: Grouping::Cause,
        entity: Some(Entity { kind: kind.to_owned(), name: name.to_owned() }),
        headline: format!("{fault} of {name}"),
        score: None,
        members: vec![Member {
            id: "a1".to_owned(),
            rule: "link-admin-down".to_owned(),
            key: String::new(),
            model: "row".to_owned(),
            opened_ms: START_MS,
            cleared_ms: None,
            value: None,
            expected: None,
            score: None,
            why: String::new(),
        }],
        contributors: Vec::<Contributor>::new(),
        cause: Some(Cause {
            fault: fault.to_owned(),
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

// === impl Rig ===

impl Rig {
    pub fn new(actions: &str, playbooks: &[String]) -> Rig {
        Rig::with(ActConfig::default(), actions, playbooks)
    }

    pub fn with(config: ActConfig, actions: &str, playbooks: &[String]) -> Rig {
        let texts: Vec<(&str, &str)> = playbooks.iter().map(|text| ("p.yaml", &**text)).collect();
        let library = check_texts(actions, &texts).unwrap_or_else(|e| panic!("{e}"));
        let (config, library) = (Arc::new(config), Arc::new(library));
        let device = Arc::new(FakeDriver::readable());
        device.set(OBJECT, "2");
        let hook = Arc::new(FakeDriver::blind());
        let (snmp, blind): (Arc<dyn Driver>, Arc<dyn Driver>) = (device.clone(), hook.clone());
        let drivers = Drivers::default()
            .with("snmp", snmp)
            .with("webhook", Arc::clone(&blind))
            .with("notify", blind);
        Rig {
            act: Act::new(Arc::clone(&config), Arc::clone(&library)),
            config,
            library,
            network: network(),
            device,
            hook,
            drivers,
            rows: Vec::new(),
            changes: Vec::new(),
            incidents: Vec::new(),
            approvals: Vec::new(),
            new_approvals: Vec::new(),
            calls: VecDeque::new(),
            answers: Vec::new(),
            now_ms: START_MS,
            mono: Duration::ZERO,
            is_killed: false,
            crash: None,
            crashes: 0,
        }
    }

    pub fn incident(&mut self, incident: Incident) {
        self.incidents.push(incident.clone());
        self.act.incident(incident);
    }

    /// The last incident, changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Incident)) {
        let mut next = self.incidents.last().expect("there is one").clone();
        next.revision += 1;
        next.updated_ms = self.now_ms;
        change(&mut next);
        self.incident(next);
    }

    /// Its anomalies clear.
    pub fn heal(&mut self) {
        let now_ms = self.now_ms;
        self.change(|incident| {
            incident.state = IncidentState::Quiet;
            incident.members.iter_mut().for_each(|member| member.cleared_ms = Some(now_ms));
        });
    }

    pub fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
        self.mono += Duration::from_millis(ms as u64);
    }

    /// One turn, its commit, and at most one call. Whether anything happened.
    pub fn step(&mut self) -> bool {
        let is_killed = self.is_killed;
        let done = self.act.turn(Turn {
            now_ms: self.now_ms,
            mono: self.mono,
            network: &self.network,
            approvals: &std::mem::take(&mut self.new_approvals),
            answers: std::mem::take(&mut self.answers),
            is_killed,
        });
        let Done { rows, changes, effects } = done;
        let any = !rows.is_empty();
        self.changes.extend(changes.into_iter().map(|(_, change)| change));
        self.rows.extend(rows.iter().cloned());
        if rows.iter().any(|row| self.dies(&Place::Stood(row))) {
            self.restart();
            return true;
        }
        self.act.stood();
        self.calls.extend(effects);
        let Some(effect) = self.calls.pop_front() else {
            return any;
        };
        let result = self.call(&effect);
        if self.dies(&Place::Called(&effect)) {
            self.restart();
            return true;
        }
        self.answers.push(Answer { key: effect.key, result });
        true
    }

    fn dies(&mut self, place: &Place<'_>) -> bool {
        let dies = self.crash.as_mut().is_some_and(|crash| crash(place));
        if dies {
            self.crash = None;
            self.crashes += 1;
        }
        dies
    }

    fn call(&self, effect: &Effect) -> Result<String, Miss> {
        if effect.not_after.is_some_and(|not_after| self.mono >= not_after) {
            return Err(Miss::LeaseOver);
        }
        let driver = self.drivers.get(&effect.call.driver).map_err(Miss::Driver)?;
        let writes = matches!(effect.key.kind, Kind::Write | Kind::WriteBack);
        let made: Result<String, DriverError> =
            if writes { driver.write(&effect.call) } else { driver.read(&effect.call) };
        made.map_err(Miss::Driver)
    }

    /// Another process: the same log, a clock of its own.
    pub fn restart(&mut self) {
        self.calls.clear();
        self.answers.clear();
        self.mono = Duration::from_secs(77_777);
        self.act = Act::new(Arc::clone(&self.config), Arc::clone(&self.library));
        for incident in &self.incidents {
            self.act.incident(incident.clone());
        }
        for row in &self.rows {
            self.act.row(row);
        }
        self.new_approvals = self.approvals.clone();
    }

    /// Until nothing happens; time stands.
    pub fn run(&mut self) {
        for _ in 0..200 {
            if !self.step() {
                return;
            }
        }
        panic!("no end: {:#?}", self.states());
    }

    /// Until nothing happens for so long.
    pub fn run_for(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.run();
            self.wait(500);
        }
        self.run();
    }

    pub fn approve(&mut self) {
        let hash = self.rows.last().and_then(|row| row.plan_hash.clone()).expect("there is a plan");
        self.say(&hash, ApprovalVerdict::Approve, self.now_ms + 60_000);
    }

    pub fn say(&mut self, hash: &str, verdict: ApprovalVerdict, until_ms: i64) {
        let row = self.rows.last().expect("there is a row");
        let approval = Approval {
            domain: row.domain.clone(),
            time_ms: self.now_ms,
            execution: row.execution.clone(),
            incident: row.incident.clone(),
            plan_hash: hash.to_owned(),
            verdict,
            who: "ann".to_owned(),
            reason: None,
            until_ms,
        };
        self.approvals.push(approval.clone());
        self.new_approvals.push(approval);
    }

    pub fn states(&self) -> Vec<&'static str> {
        self.rows.iter().map(|row| row.state.as_str()).collect()
    }

    pub fn last(&self) -> ActionState {
        self.rows.last().expect("there is a row").state
    }
}
