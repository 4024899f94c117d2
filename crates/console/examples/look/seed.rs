//! A network with incidents of every kind, as rows on a log: one open with a plan that waits, one
//! repaired, one rolled back, one that nothing explains, and data from exporters and devices.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bus::{BusConfig, Log, Meta, Name, OutRecord, Outgoing, Time, Where, Writer, frame};
use bytes::Bytes;
use model::DEFAULT_DOMAIN;
use model::rows::{
    Action, ActionState, Cause, Contributor, Device, Element, ElementKind, Entity, Event, Gate,
    GateVerdict, Grouping, Incident, IncidentState, Interface, Member, Metric, Quality, RunnerUp,
    Signal,
};
use model::schema::{self, TopicSchema};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PATIENCE: Duration = Duration::from_secs(30);

/// Rows on their way to a log.
pub struct Seed<'a> {
    log: &'a dyn Log,
    bus: &'a BusConfig,
    epoch: u64,
    sequence: i64,
    records: Vec<OutRecord>,
}

const DEVICES: [(&str, &str, &str); 14] = [
    ("edge1", "router", "10.255.0.1"),
    ("edge2", "router", "10.255.0.2"),
    ("core1", "router", "10.255.0.3"),
    ("core2", "router", "10.255.0.4"),
    ("core3", "router", "10.255.0.5"),
    ("core4", "router", "10.255.0.6"),
    ("dist1", "router", "10.255.0.7"),
    ("dist2", "router", "10.255.0.8"),
    ("acc1", "switch", "10.255.0.9"),
    ("acc2", "switch", "10.255.0.10"),
    ("acc3", "switch", "10.255.0.11"),
    ("acc4", "switch", "10.255.0.12"),
    ("acc5", "switch", "10.255.0.13"),
    ("mgmt1", "switch", "10.255.0.14"),
];

const LINKS: [(&str, &str, &str, &str); 22] = [
    ("edge1", "Te0/1", "core1", "Te0/1"),
    ("edge1", "Te0/2", "core2", "Te0/1"),
    ("edge2", "Te0/1", "core3", "Te0/1"),
    ("edge2", "Te0/2", "core4", "Te0/1"),
    ("core1", "Te0/2", "core2", "Te0/2"),
    ("core3", "Te0/2", "core4", "Te0/2"),
    ("core1", "Te0/3", "core3", "Te0/3"),
    ("core2", "Te0/3", "core4", "Te0/3"),
    ("core1", "Te0/4", "dist1", "Te0/1"),
    ("core3", "Te0/4", "dist1", "Te0/2"),
    ("core2", "Te0/4", "dist2", "Te0/1"),
    ("core4", "Te0/4", "dist2", "Te0/2"),
    ("dist1", "Te0/3", "dist2", "Te0/3"),
    ("acc1", "Gi0/1", "dist1", "Gi0/4"),
    ("acc1", "Gi0/2", "dist2", "Gi0/4"),
    ("acc2", "Gi0/1", "dist1", "Gi0/5"),
    ("acc2", "Gi0/2", "dist2", "Gi0/5"),
    ("acc3", "Gi0/1", "dist1", "Gi0/6"),
    ("acc4", "Gi0/1", "dist2", "Gi0/7"),
    ("acc5", "Gi0/1", "dist2", "Gi0/8"),
    ("core1", "Gi0/5", "mgmt1", "Gi0/1"),
    ("core2", "Gi0/5", "mgmt1", "Gi0/2"),
];

const NETWORKS: [(&str, &str, &str); 5] = [
    ("internet", "edge1", "Te0/0"),
    ("servers", "acc1", "Gi0/10"),
    ("clients-a", "acc2", "Gi0/10"),
    ("clients-b", "acc3", "Gi0/10"),
    ("branch", "acc5", "Gi0/10"),
];

/// Everything, with times that end at `now_ms`.
pub fn network(log: &dyn Log, bus: &BusConfig, now_ms: i64) -> Result<()> {
    let mut seed = Seed::new(log, bus, now_ms);
    seed.topology(now_ms)?;
    seed.telemetry(now_ms)?;
    seed.incident(&waiting(now_ms - 95_000))?;
    seed.incident(&flood(now_ms - 1_500_000))?;
    seed.incident(&saturated(now_ms - 4_800_000))?;
    seed.incident(&unexplained(now_ms - 500_000))?;
    seed.incident(&silent(now_ms - 9_000_000))?;
    seed.actions(&plan(now_ms - 70_000))?;
    seed.actions(&repaired(now_ms - 1_460_000))?;
    seed.actions(&rolled_back(now_ms - 4_700_000))?;
    seed.send()
}

pub fn member(id: &str, rule: &str, key: &str, opened_ms: i64, why: &str) -> Member {
    Member {
        id: id.to_owned(),
        rule: rule.to_owned(),
        key: format!("domain=default,{key}"),
        model: "row".to_owned(),
        opened_ms,
        cleared_ms: None,
        value: None,
        expected: None,
        score: None,
        why: why.to_owned(),
    }
}

pub fn entity(kind: &str, name: &str) -> Option<Entity> {
    Some(Entity { kind: kind.to_owned(), name: name.to_owned() })
}

pub fn incident(id: &str, opened_ms: i64, headline: &str) -> Incident {
    Incident {
        domain: DEFAULT_DOMAIN.to_owned(),
        id: id.to_owned(),
        revision: 1,
        state: IncidentState::Open,
        opened_ms,
        updated_ms: opened_ms + 4_000,
        resolved_ms: None,
        grouping: Grouping::Cause,
        entity: None,
        headline: headline.to_owned(),
        score: None,
        members: Vec::new(),
        contributors: Vec::new(),
        cause: None,
        changes: Vec::new(),
        reopened: 0,
        merged_into: None,
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// A link that somebody shut, what it caused, and a plan that waits for approval.
pub fn waiting(at: i64) -> Incident {
    let down = "device says: %LINK-5-CHANGED: Interface TenGigabitEthernet0/1, changed state to \
                administratively down";
    let mut full = member(
        "a-util",
        "interface-utilization",
        "device=edge1,entity=Te0/2",
        at + 21_000,
        "if_out_utilization 96.2 is above 90 for 30 s",
    );
    full.value = Some(96.2);
    full.expected = Some(41.0);
    full.score = Some(7.4);
    Incident {
        revision: 3,
        updated_ms: at + 21_000,
        entity: entity("interface", "edge1 Te0/1"),
        score: Some(7.4),
        members: vec![
            member("a-admin", "link-admin-down", "device=edge1,entity=Te0/1", at, down),
            member(
                "a-down",
                "link-down",
                "device=core1,entity=Te0/1",
                at + 300,
                "device says: \
                %LINK-3-UPDOWN: Interface TenGigabitEthernet0/1, changed state to down",
            ),
            member(
                "a-bgp1",
                "bgp-down",
                "device=edge1,entity=10.0.1.2",
                at + 900,
                "device says: \
                %BGP-5-ADJCHANGE: neighbor 10.0.1.2 Down Interface flap",
            ),
            member(
                "a-bgp2",
                "bgp-down",
                "device=core1,entity=10.0.1.1",
                at + 950,
                "device says: \
                %BGP-5-ADJCHANGE: neighbor 10.0.1.1 Down Interface flap",
            ),
            full,
            member("a-cpu", "cpu-usage", "device=acc4", at + 12_000, "cpu_usage 91 is above 90"),
        ],
        cause: Some(Cause {
            fault: "admin-down".to_owned(),
            probability: 0.93,
            runner_up: Some(RunnerUp {
                entity: Entity { kind: "device".into(), name: "core1".into() },
                fault: "node-down".to_owned(),
                probability: 0.05,
            }),
            why:
                "edge1 itself says that Te0/1 was shut, 0.3 s before core1 saw its end go down. If \
                  core1 were down, its five other links would be down too; they carry traffic."
                    .to_owned(),
            path: texts(&[
                "interface edge1 Te0/1",
                "link core1 Te0/1--edge1 Te0/1",
                "device core1",
            ]),
            affected: texts(&["device core1", "link core2 Te0/1--edge1 Te0/2", "node internet"]),
            unexplained: texts(&["a-cpu"]),
        }),
        ..incident(
            "inc-7f3a91c2",
            at,
            "edge1 Te0/1 was shut by an operator: all traffic of edge1 \
            goes over Te0/2, which is full",
        )
    }
}

fn flood(at: i64) -> Incident {
    let mut one = member(
        "b-flood",
        "syn-flood",
        "dst_addr=198.51.100.20",
        at,
        "48,210 SYN packets in 10 s where at most 640 were expected",
    );
    one.value = Some(48_210.0);
    one.expected = Some(420.0);
    one.score = Some(14.2);
    one.cleared_ms = Some(at + 62_000);
    let share =
        |name: &str, weight: f64, share: f64| Contributor { name: name.to_owned(), weight, share };
    Incident {
        revision: 4,
        state: IncidentState::Resolved,
        updated_ms: at + 362_000,
        resolved_ms: Some(at + 362_000),
        entity: entity("host", "198.51.100.20"),
        score: Some(14.2),
        members: vec![one],
        contributors: vec![share("10.255.0.1", 41_000.0, 0.85), share("10.255.0.2", 7_210.0, 0.15)],
        cause: Some(Cause {
            fault: "flood".to_owned(),
            probability: 0.97,
            runner_up: None,
            why: "One destination, 3,912 sources, SYN only; seen by edge1 first.".to_owned(),
            path: texts(&["host 198.51.100.20"]),
            affected: texts(&["node servers"]),
            unexplained: Vec::new(),
        }),
        changes: texts(&["exe-20 0 ended"]),
        ..incident(
            "inc-52b0d7e9",
            at,
            "SYN flood on 198.51.100.20 (servers), most of it through \
            edge1",
        )
    }
}

fn saturated(at: i64) -> Incident {
    let mut one = member(
        "c-util",
        "interface-utilization",
        "device=acc5,entity=Gi0/1",
        at,
        "if_out_utilization 98.9 is above 90 for 30 s",
    );
    one.value = Some(98.9);
    one.score = Some(6.1);
    Incident {
        revision: 5,
        state: IncidentState::Quiet,
        updated_ms: at + 900_000,
        entity: entity("interface", "acc5 Gi0/1"),
        members: vec![one],
        cause: Some(Cause {
            fault: "saturated".to_owned(),
            probability: 0.81,
            runner_up: None,
            why: "83 % of it is one talker, 203.0.113.9.".to_owned(),
            path: texts(&["interface acc5 Gi0/1"]),
            affected: texts(&["node branch"]),
            unexplained: Vec::new(),
        }),
        reopened: 1,
        ..incident("inc-0c11aa48", at, "acc5 Gi0/1 is full: 83 % from 203.0.113.9")
    }
}

fn unexplained(at: i64) -> Incident {
    Incident {
        grouping: Grouping::Entity,
        entity: entity("exporter", "10.255.0.9"),
        members: vec![member(
            "d-traffic",
            "exporter-traffic",
            "exporter=10.255.0.9",
            at,
            "2.1 G bytes where 0.9 G to 1.4 G were expected, three windows running",
        )],
        ..incident("inc-88d0f211", at, "Traffic through exporter 10.255.0.9 is above its level")
    }
}

fn silent(at: i64) -> Incident {
    Incident {
        revision: 2,
        state: IncidentState::Resolved,
        updated_ms: at + 1_800_000,
        resolved_ms: Some(at + 1_800_000),
        entity: entity("exporter", "10.255.0.12"),
        members: vec![member("e-silent", "exporter-silent", "device=10.255.0.12", at, "no record")],
        cause: Some(Cause {
            fault: "exporter-silent".to_owned(),
            probability: 0.995,
            runner_up: None,
            why: "The device answers its polls; only its flows stopped.".to_owned(),
            path: Vec::new(),
            affected: Vec::new(),
            unexplained: Vec::new(),
        }),
        ..incident("inc-31c7e6b0", at, "Exporter 10.255.0.12 (acc4) stopped sending flows")
    }
}

pub const PLAN_HASH: &str = "9d41c07ab5e2f318";

/// One step of an execution, of which a test changes what it is about.
pub fn action(execution: &str, incident: &str, serial: u32, state: ActionState) -> Action {
    Action {
        domain: DEFAULT_DOMAIN.to_owned(),
        time_ms: 0,
        execution: execution.to_owned(),
        incident: incident.to_owned(),
        playbook: "link-restore".to_owned(),
        serial,
        state,
        step: None,
        attempt: 0,
        device: None,
        entity: None,
        action: None,
        driver: None,
        command: None,
        result: None,
        reason: String::new(),
        plan_hash: None,
        plan: None,
        gates: Vec::new(),
        who: None,
        until_ms: None,
    }
}

fn gate(name: &str, verdict: GateVerdict, reason: &str) -> Gate {
    Gate { name: name.to_owned(), verdict, reason: reason.to_owned() }
}

/// A plan that waits for a person.
pub fn plan(at: i64) -> Vec<Action> {
    let plan = serde_json::json!({
        "execution": "exe-41", "incident": "inc-7f3a91c2", "playbook": "link-restore",
        "mode": "approve",
        "steps": [
            { "name": "check", "action": "interface.read", "driver": "snmp", "effect": "reads",
              "device": "edge1", "entity": "Te0/1", "says": "read the state of Te0/1",
              "diff": "", "command": "GET ifAdminStatus.1 ifOperStatus.1" },
            { "name": "bring_up", "action": "interface.up", "driver": "snmp", "effect": "restores",
              "device": "edge1", "entity": "Te0/1", "says": "Te0/1 administratively up",
              "before": "ifAdminStatus down(2)",
              "diff": "- ifAdminStatus down(2)\n+ ifAdminStatus up(1)",
              "command": "SET ifAdminStatus.1 = INTEGER 1",
              "inverse_command": "SET ifAdminStatus.1 = INTEGER 2" }
        ],
        "skipped": [{ "name": "page_on_call", "action": "notification.send",
                      "reason": "its `when` is false: severity is not major" }],
        "verify": { "within_ms": 60000, "by_anomalies": true }
    });
    let step = |serial, state| Action {
        time_ms: at + i64::from(serial) * 200,
        ..action("exe-41", "inc-7f3a91c2", serial, state)
    };
    vec![
        Action { reason: "its trigger fired".into(), ..step(0, ActionState::Proposed) },
        Action {
            reason: "one interface of edge1 is set administratively up".into(),
            plan_hash: Some(PLAN_HASH.into()),
            plan: Some(plan.to_string()),
            gates: vec![
                gate("blast-radius", GateVerdict::Pass, "1 device, at most 2 are allowed"),
                gate("redundancy", GateVerdict::Pass, "nothing is taken away"),
                gate("management", GateVerdict::Pass, "edge1 stays reachable over core2"),
                gate("rate", GateVerdict::Pass, "1 change in the last hour, at most 6"),
                gate("approval", GateVerdict::Hold, "nothing is applied without a person's word"),
            ],
            ..step(1, ActionState::Planned)
        },
        Action {
            reason: "one interface of edge1 is set administratively up".into(),
            plan_hash: Some(PLAN_HASH.into()),
            until_ms: Some(at + 900_000),
            ..step(2, ActionState::AwaitingApproval)
        },
    ]
}

fn course(
    execution: &str,
    incident: &str,
    playbook: &str,
    step: serde_json::Value,
    states: &[(i64, ActionState, &str)],
    at: i64,
) -> Vec<Action> {
    let text = |name: &str| step[name].as_str().map(str::to_owned);
    let plan = serde_json::json!({ "steps": [step], "verify": { "within_ms": 60000 } });
    let mut all = Vec::new();
    for (serial, (after_ms, state, reason)) in (0u32..).zip(states) {
        let of_step =
            matches!(state, ActionState::Applying | ActionState::Applied | ActionState::RolledBack);
        all.push(Action {
            time_ms: at + after_ms,
            playbook: playbook.to_owned(),
            reason: (*reason).to_owned(),
            step: of_step.then_some(0),
            device: text("device").filter(|_| of_step),
            command: text("command").filter(|_| *state == ActionState::Applying),
            result: (*state == ActionState::Applied).then(|| "accepted".to_owned()),
            plan_hash: Some("c0ffee00c0ffee00".to_owned()),
            plan: (*state == ActionState::Planned).then(|| plan.to_string()),
            who: (*state == ActionState::Approved).then(|| "ada".to_owned()),
            ..action(execution, incident, serial, *state)
        });
    }
    all
}

fn repaired(at: i64) -> Vec<Action> {
    let step = serde_json::json!({
        "name": "drop", "action": "traffic.drop", "driver": "sim", "effect": "limits",
        "device": "edge1", "says": "drop SYN packets to 198.51.100.20",
        "diff": "+ drop tcp syn to 198.51.100.20/32", "command": "drop tcp-syn 198.51.100.20/32",
        "inverse_command": "no drop tcp-syn 198.51.100.20/32"
    });
    let states = [
        (0, ActionState::Planned, "drop at the edge"),
        (100, ActionState::AwaitingApproval, "a person must say so"),
        (8_000, ActionState::Approved, "approved"),
        (8_100, ActionState::Applying, "about to write"),
        (8_400, ActionState::Applied, "edge1 took it"),
        (8_500, ActionState::Verifying, "the flood must end within 60 s"),
        (22_000, ActionState::Confirmed, "the anomaly cleared after 13 s and edge1 has the rule"),
    ];
    course("exe-20", "inc-52b0d7e9", "flood-drop", step, &states, at)
}

fn rolled_back(at: i64) -> Vec<Action> {
    let step = serde_json::json!({
        "name": "limit", "action": "traffic.rate_limit", "driver": "sim", "effect": "limits",
        "device": "edge1", "says": "limit 203.0.113.9 to 50 Mbit/s",
        "diff": "+ rate-limit 203.0.113.9 50m", "command": "rate-limit 203.0.113.9 50m",
        "inverse_command": "no rate-limit 203.0.113.9"
    });
    let states = [
        (0, ActionState::Planned, "limit the talker at the edge"),
        (9_000, ActionState::Approved, "approved"),
        (9_100, ActionState::Applying, "about to write"),
        (9_300, ActionState::Applied, "edge1 said yes"),
        (9_400, ActionState::Verifying, "utilization must fall within 60 s"),
        (69_400, ActionState::RollingBack, "after 60 s acc5 Gi0/1 is as full as before"),
        (
            69_900,
            ActionState::RolledBack,
            "edge1 accepted the command and did not do it: the \
            verification failed, and it was taken back",
        ),
    ];
    course("exe-12", "inc-0c11aa48", "talker-limit", step, &states, at)
}

// === impl Seed ===

impl<'a> Seed<'a> {
    pub fn new(log: &'a dyn Log, bus: &'a BusConfig, now_ms: i64) -> Seed<'a> {
        let epoch = u64::try_from(now_ms).unwrap_or(0);
        Seed { log, bus, epoch, sequence: 0, records: Vec::new() }
    }

    pub fn send(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.records);
        Ok(bus::deliver(self.log, "seed", "seed", &records, PATIENCE)?)
    }

    pub fn incident(&mut self, incident: &Incident) -> Result<()> {
        let batch = Incident::to_batch(std::slice::from_ref(incident))?;
        let key = Some(incident.id.clone());
        self.put("incidents.v1", schema::incidents(), "domain", batch, key, incident.updated_ms)
    }

    pub fn actions(&mut self, actions: &[Action]) -> Result<()> {
        let time_ms = actions.last().map_or(0, |action| action.time_ms);
        let batch = Action::to_batch(actions)?;
        self.put("actions.v1", schema::actions(), "domain", batch, None, time_ms)
    }

    pub fn signals(&mut self, signals: &[Signal]) -> Result<()> {
        let time_ms = signals.iter().map(|signal| signal.window_end_ms).max().unwrap_or(0);
        let batch = Signal::to_batch(signals)?;
        self.put("signals.v1", schema::signals(), "key", batch, None, time_ms)
    }

    pub fn topology(&mut self, now_ms: i64) -> Result<()> {
        for (name, role, address) in DEVICES {
            let element = Element {
                role: Some(role.to_owned()),
                address: Some(address.to_owned()),
                ..element(ElementKind::Node, &format!("node/{name}"), name)
            };
            self.element(&element, now_ms)?;
        }
        for (name, device, interface) in NETWORKS {
            let element = Element {
                role: Some("network".to_owned()),
                a_device: Some(device.to_owned()),
                a_interface: Some(interface.to_owned()),
                ..element(ElementKind::Node, &format!("node/{name}"), name)
            };
            self.element(&element, now_ms)?;
        }
        for (a, a_interface, b, b_interface) in LINKS {
            let id = Element::link_id((a, a_interface), (b, b_interface));
            let name = id.trim_start_matches("link/").to_owned();
            let (first, second) = match (a, a_interface) <= (b, b_interface) {
                true => ((a, a_interface), (b, b_interface)),
                false => ((b, b_interface), (a, a_interface)),
            };
            let element = Element {
                a_device: Some(first.0.to_owned()),
                a_interface: Some(first.1.to_owned()),
                b_device: Some(second.0.to_owned()),
                b_interface: Some(second.1.to_owned()),
                speed_bps: Some(10_000_000_000),
                ..element(ElementKind::Link, &id, &name)
            };
            self.element(&element, now_ms)?;
        }
        Ok(())
    }

    fn element(&mut self, element: &Element, now_ms: i64) -> Result<()> {
        let element = Element { time_ms: now_ms, ..element.clone() };
        let batch = Element::to_topology(std::slice::from_ref(&element))?;
        let key = Some(element.record_key());
        self.put("topology.v1", schema::topology(), "domain", batch, key, now_ms)
    }

    fn telemetry(&mut self, now_ms: i64) -> Result<()> {
        let curve = |i: i64| 41.0 + 6.0 * (i as f64 / 9.0).sin() + 2.0 * (i as f64 * 1.7).sin();
        let full = |i: i64| if i >= 82 { 93.0 + (i % 4) as f64 } else { curve(i) };
        self.series(
            "interface-utilization",
            "device=edge1,entity=Te0/2",
            "utilization",
            full,
            now_ms,
        )?;
        let none = |i: i64| if i >= 82 { 0.4 } else { curve(i + 20) };
        self.series(
            "interface-utilization",
            "device=edge1,entity=Te0/1",
            "utilization",
            none,
            now_ms,
        )?;
        let cpu = |i: i64| if i >= 84 { 91.0 } else { 30.0 + (i % 7) as f64 };
        self.series("cpu-usage", "device=acc4", "cpu_usage", cpu, now_ms)?;
        let bytes =
            |i: i64| 1.1e9 + 1.5e8 * (i as f64 / 8.0).sin() + if i > 80 { 9e8 } else { 0.0 };
        self.series("exporter-traffic", "exporter=10.255.0.9", "bytes", bytes, now_ms)?;
        for (at, (name, role, address)) in DEVICES.into_iter().enumerate() {
            self.device(name, role, address, now_ms)?;
            self.heard(name, address, at, now_ms)?;
        }
        Ok(())
    }

    fn series(
        &mut self,
        rule: &str,
        key: &str,
        value_name: &str,
        value: impl Fn(i64) -> f64,
        now_ms: i64,
    ) -> Result<()> {
        let first = now_ms / 10_000 * 10_000 - 900_000;
        let middle = value(20);
        let point = |i: i64| {
            let value = value(i);
            let is_anomalous = i >= 82;
            let wide = middle * 0.25;
            Signal {
                domain: DEFAULT_DOMAIN.to_owned(),
                rule: rule.to_owned(),
                rule_fp: "f".to_owned(),
                key: format!("domain=default,{key}"),
                window_start_ms: first + (i - 1) * 10_000,
                window_end_ms: first + i * 10_000,
                value_name: value_name.to_owned(),
                value: Some(value).filter(|_| i != 40),
                complete: true,
                expected: (i > 12).then_some(middle),
                lower: (i > 12).then_some(middle - wide),
                upper: (i > 12).then_some(middle + wide),
                score: Some(if is_anomalous { 7.0 } else { 0.4 }),
                anomalous: is_anomalous,
                anomalies: None,
                inputs: Vec::new(),
            }
        };
        self.signals(&(0..=90).map(point).collect::<Vec<_>>())
    }

    fn device(&mut self, name: &str, role: &str, address: &str, now_ms: i64) -> Result<()> {
        let device = Device {
            domain: DEFAULT_DOMAIN.to_owned(),
            device: name.to_owned(),
            address: address.to_owned(),
            exporter: None,
            role: role.to_owned(),
            class: Some("sim".to_owned()),
            site: None,
            snmp_port: Some(161),
            snmp_credential: Some("sim".to_owned()),
            updated_ms: now_ms,
        };
        let batch = Device::to_batch(std::slice::from_ref(&device))?;
        let key = Some(device.record_key());
        self.put("inventory.v1", schema::inventory(), "device", batch, key, now_ms)?;
        for index in 1..=4 {
            let interface = Interface {
                domain: DEFAULT_DOMAIN.to_owned(),
                device: name.to_owned(),
                name: format!("Te0/{index}"),
                if_index: index,
                alias: Some("to the core".to_owned()),
                descr: None,
                speed_bps: Some(10_000_000_000),
                admin_up: Some(!(name == "edge1" && index == 1)),
                oper_up: Some(!(name == "edge1" && index == 1 || name == "core1" && index == 1)),
                address: Some(address.to_owned()),
                from_ms: now_ms,
                received_ms: now_ms,
            };
            let batch = Interface::to_batch(std::slice::from_ref(&interface))?;
            let key = Some(interface.record_key());
            self.put("interfaces.v1", schema::interfaces(), "device", batch, key, now_ms)?;
        }
        Ok(())
    }

    fn heard(&mut self, name: &str, address: &str, at: usize, now_ms: i64) -> Result<()> {
        let metric = |device: &str, metric: &str, value: f64| Metric {
            domain: DEFAULT_DOMAIN.to_owned(),
            received_ms: now_ms - 3_000,
            device: device.to_owned(),
            entity: None,
            metric: metric.to_owned(),
            value,
            rate: Some(value / 10.0),
            quality: Quality::Ok,
            device_time_ms: None,
            instance: Some("seed".to_owned()),
        };
        let answers = if name == "acc3" { 0.0 } else { 1.0 };
        let mut rows = vec![
            metric(name, "snmp_up", answers),
            metric(name, "sysUpTime", 4_320_000.0 + at as f64),
            metric(name, "cpu_usage", if name == "acc4" { 91.0 } else { 20.0 + at as f64 }),
        ];
        if at < 2 || name.starts_with("acc") {
            let records = if name == "acc4" { 0.0 } else { 9_000.0 + 200.0 * at as f64 };
            rows.push(metric(address, "exporter_datagrams", records / 24.0));
            rows.push(metric(address, "exporter_records", records));
            rows.push(metric(address, "exporter_received", records));
            rows.push(metric(address, "exporter_lost", if name == "acc2" { 210.0 } else { 0.0 }));
            rows.push(metric(address, "exporter_waiting", if name == "acc5" { 4.0 } else { 0.0 }));
        }
        let batch = Metric::to_batch(&rows)?;
        self.put("metrics.v1", schema::metrics(), "device", batch, None, now_ms - 3_000)?;
        let event = Event {
            domain: DEFAULT_DOMAIN.to_owned(),
            received_ms: now_ms - 95_000,
            device: name.to_owned(),
            entity: Some("Te0/1".to_owned()),
            kind: "link".to_owned(),
            state: Some("down".to_owned()),
            severity: Some(3),
            device_time_ms: None,
            text: Some(
                "%LINK-3-UPDOWN: Interface TenGigabitEthernet0/1, changed state to down".into(),
            ),
        };
        if name == "core1" || name == "edge1" {
            let batch = Event::to_batch(std::slice::from_ref(&event))?;
            self.put("events.v1", schema::events(), "device", batch, None, now_ms - 95_000)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        topic: &str,
        schema: &TopicSchema,
        column: &str,
        batch: RecordBatch,
        key: Option<String>,
        time_ms: i64,
    ) -> Result<()> {
        let topic = self.bus.topic(topic);
        let info = self.log.admin().describe(&topic)?;
        let partitions = info.map_or(1, |info| info.partitions);
        let writer = Writer::Instance {
            stage: "seed".to_owned(),
            instance: "seed".to_owned(),
            epoch: self.epoch,
        };
        let outgoing = Outgoing {
            topic: Arc::from(topic),
            to: Where::ByColumn(column.to_owned()),
            batch,
            key: key.map(Bytes::from),
            time: Time::At(time_ms),
            meta: Meta {
                schema: schema.header(),
                schema_fp: schema.fingerprint.clone(),
                producer: "seed".to_owned(),
                rows: 0,
                min_ts_ms: time_ms,
                max_ts_ms: time_ms,
                wm_ms: None,
                name: Name { writer, offset: self.sequence, index: 0 },
                config_fp: None,
                replay_id: None,
                extra: Vec::new(),
            },
        };
        let framed = frame(outgoing, partitions, &self.bus.limits)?;
        self.sequence += 1;
        self.records.extend(framed.records);
        Ok(())
    }
}

pub fn element(kind: ElementKind, id: &str, name: &str) -> Element {
    Element {
        domain: DEFAULT_DOMAIN.to_owned(),
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
