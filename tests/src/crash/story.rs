//! What happens to a network that correlate has on its map, once in each cycle: a link that fails,
//! comes back and fails again; one that flaps and that we shut ourselves; a conduit that is cut.
//! The devices' words go through rollup like any other event; the map, our changes and what people
//! say stand in evidence before their time comes, as the inventory, act and the console write them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use bus::{Meta, Name, OutRecord, Outgoing, Time, Where, Writer, frame};
use model::DEFAULT_DOMAIN;
use model::rows::{
    Change, ChangeState, Element, ElementKind, Event, Feedback, FeedbackVerdict, Incident,
};
use model::schema::{self, TopicSchema};

use super::input::{CYCLE_S, START_MS};
use super::stages::Stages;

/// When the map is there. Later than the second in which it is sent, so that time cannot pass it.
const MAP_MS: i64 = 2_500;
/// The first word of the two incidents that are changed and spoken of.
const CUT_MS: i64 = 3_000;
const FLAP_MS: i64 = 3_100;

/// `(ms of the cycle, device, interface, kind, state)`.
type Said = (i64, &'static str, &'static str, &'static str, &'static str);

const SAID: &[Said] = &[
    // A link is cut, comes back, and is cut again while its incident can be reopened.
    (CUT_MS, "core-1", "e1", "link", "down"),
    (CUT_MS + 200, "edge-1", "u1", "link", "down"),
    (CUT_MS + 500, "edge-1", "u1", "bgp", "down"),
    (4_000, "core-1", "e1", "link", "up"),
    (4_050, "edge-1", "u1", "link", "up"),
    (4_100, "edge-1", "u1", "bgp", "up"),
    (8_000, "edge-1", "u1", "link", "down"),
    (8_300, "core-1", "e1", "link", "down"),
    (9_200, "core-1", "e1", "link", "up"),
    (9_250, "edge-1", "u1", "link", "up"),
    // A link flaps; the port that we shut says so before we do.
    (FLAP_MS, "edge-2", "u2", "link", "down"),
    (4_200, "core-2", "e2", "link", "flapping"),
    (4_300, "edge-2", "u2", "link", "flapping"),
    (5_000, "edge-2", "u2", "link", "admin-down"),
    (6_000, "edge-2", "u2", "bgp", "down"),
    // Still of our change: a task that has forgotten it takes it for somebody else's.
    (8_150, "core-2", "e2", "link", "admin-down"),
    (9_000, "core-2", "e2", "link", "up"),
    (9_050, "edge-2", "u2", "link", "up"),
    (9_100, "edge-2", "u2", "bgp", "up"),
    // Two links of one conduit, one after the other: first two roots, then the one behind both.
    (9_500, "edge-1", "d1", "link", "down"),
    (9_700, "core-1", "e0", "link", "down"),
    (10_000, "acc-1", "u1", "link", "down"),
    (10_200, "core-2", "e0", "link", "down"),
    (11_000, "edge-1", "d1", "link", "up"),
    (11_050, "core-1", "e0", "link", "up"),
    (11_100, "acc-1", "u1", "link", "up"),
    (11_150, "core-2", "e0", "link", "up"),
];

/// Our change at the port that flaps.
const CHANGED: [(i64, ChangeState); 3] =
    [(5_500, ChangeState::Began), (6_500, ChangeState::Ended), (8_200, ChangeState::RolledBack)];
const HEARD_MS: i64 = 6_200;
/// The map changes while the conduit is being cut, and a device leaves it at the end.
const FASTER_MS: i64 = 9_800;
const REMOVED_MS: i64 = 12_000;

const NODES: [&str; 6] = ["core-1", "core-2", "edge-1", "edge-2", "acc-1", "acc-2"];
type End = (&'static str, &'static str);
const LINKS: [(End, End); 7] = [
    (("core-1", "e0"), ("core-2", "e0")),
    (("core-1", "e1"), ("edge-1", "u1")),
    (("core-1", "e2"), ("edge-2", "u1")),
    (("core-2", "e1"), ("edge-1", "u2")),
    (("core-2", "e2"), ("edge-2", "u2")),
    (("edge-1", "d1"), ("acc-1", "u1")),
    (("acc-1", "d1"), ("acc-2", "u1")),
];

/// The incidents of each cycle by when they opened. Their ids follow from content alone, so that a
/// run without changes and feedback tells those of every other run.
#[derive(Clone, Debug, Default)]
pub struct Ids(BTreeMap<i64, String>);

/// What must have happened in a run, or it shows nothing.
#[derive(Debug, Default)]
pub struct Told {
    /// Revisions that name a root, by its fault.
    roots: BTreeMap<String, usize>,
    merged: usize,
    reopened: usize,
    /// Revisions that list a change of our own.
    changed: usize,
}

// === impl Ids ===

impl Ids {
    pub fn of(incidents: &[Incident]) -> Ids {
        Ids(incidents.iter().map(|incident| (incident.opened_ms, incident.id.clone())).collect())
    }

    fn at(&self, ms: i64) -> Result<&str> {
        Ok(self.0.get(&ms).with_context(|| format!("no incident opened at {ms}"))?)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Told ===

impl Told {
    pub fn of(incidents: &[Incident]) -> Told {
        let mut told = Told::default();
        for incident in incidents {
            if let Some(cause) = &incident.cause {
                *told.roots.entry(cause.fault.clone()).or_default() += 1;
            }
            told.merged += usize::from(incident.merged_into.is_some());
            told.reopened += usize::from(incident.reopened > 0);
            told.changed += usize::from(!incident.changes.is_empty());
        }
        told
    }

    /// Whether the map was of use at all, and everything that it is here for has happened.
    pub fn is_whole(&self) -> bool {
        let wanted = ["link-down", "flapping", "group-down", "flood"];
        let named = wanted.iter().all(|fault| self.roots.contains_key(*fault));
        named && self.merged > 0 && self.reopened > 0 && self.changed > 0
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Told { roots, merged, reopened, changed } = self;
        let named: usize = roots.values().sum();
        write!(f, "{named} revisions with a root {roots:?}, {merged} merged, ")?;
        write!(f, "{reopened} reopened, {changed} with our changes")
    }
}

/// What the devices of a partition say in a second.
pub fn events(second: i64, partition: u32, partitions: u32) -> Vec<Event> {
    let phase_ms = second % CYCLE_S * 1_000;
    let cycle_ms = START_MS + second * 1_000 - phase_ms;
    let is_here = |said: &&Said| {
        let nth = NODES.iter().position(|node| *node == said.1).unwrap_or(0);
        (phase_ms..phase_ms + 1_000).contains(&said.0) && nth as u32 % partitions == partition
    };
    let mut said: Vec<&Said> = SAID.iter().filter(is_here).collect();
    said.sort_by_key(|said| said.0);
    said.into_iter().map(|said| event(cycle_ms, said)).collect()
}

fn event(cycle_ms: i64, (at_ms, device, interface, kind, state): &Said) -> Event {
    Event {
        domain: DEFAULT_DOMAIN.to_owned(),
        received_ms: cycle_ms + at_ms,
        device: (*device).to_owned(),
        entity: Some((*interface).to_owned()),
        kind: (*kind).to_owned(),
        state: Some((*state).to_owned()),
        severity: None,
        device_time_ms: None,
        text: None,
    }
}

/// The evidence of the cycle that begins with this second, if one does; without ids only the map.
pub fn evidence(stages: &Stages, second: i64, ids: &Ids) -> Result<Vec<OutRecord>> {
    if second % CYCLE_S != 0 {
        return Ok(Vec::new());
    }
    let cycle_ms = START_MS + second * 1_000;
    let send = |writer, schema, batch, nth| message(stages, writer, schema, batch, second + nth);
    let elements = Element::to_batch(&map(cycle_ms))?;
    let mut records = send("inventory", schema::topology_evidence(), elements, 1)?;
    if !ids.is_empty() {
        let (cut, flap) = (ids.at(cycle_ms + CUT_MS)?, ids.at(cycle_ms + FLAP_MS)?);
        for (nth, (at_ms, state)) in (1..).zip(CHANGED) {
            let row = change(cycle_ms + at_ms, flap, state);
            records.extend(send("act", schema::changes(), Change::to_batch(&[row])?, nth)?);
        }
        let words = [(cut, FeedbackVerdict::Right), (flap, FeedbackVerdict::Wrong)];
        let words = words.map(|(id, verdict)| feedback(cycle_ms + HEARD_MS, id, verdict));
        records.extend(send("console", schema::feedback(), Feedback::to_batch(&words)?, 1)?);
    }
    Ok(records)
}

fn message(
    stages: &Stages,
    writer: &str,
    schema: &TopicSchema,
    batch: RecordBatch,
    offset: i64,
) -> Result<Vec<OutRecord>> {
    let (stage, instance) = (writer.to_owned(), "one".to_owned());
    let meta = Meta {
        schema: schema.header(),
        schema_fp: schema.fingerprint.clone(),
        producer: writer.to_owned(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name { writer: Writer::Instance { stage, instance, epoch: 1 }, offset, index: 0 },
        config_fp: None,
        replay_id: None,
        extra: Vec::new(),
    };
    let outgoing = Outgoing {
        topic: Arc::from(stages.bus.topic("evidence.v1")),
        to: Where::ByColumn("domain".to_owned()),
        batch,
        key: None,
        time: Time::Column("time".to_owned()),
        meta,
    };
    Ok(frame(outgoing, stages.bus.topics.partitions_other, &Default::default())?.records)
}

// --- rows ---

fn map(cycle_ms: i64) -> Vec<Element> {
    let at_ms = cycle_ms + MAP_MS;
    let mut all: Vec<Element> = NODES.iter().map(|name| node(at_ms, name)).collect();
    all.extend(LINKS.iter().map(|(a, b)| link(at_ms, *a, *b)));
    all.push(Element {
        address: Some("198.51.100.0/24".to_owned()),
        a_device: Some("acc-1".to_owned()),
        a_interface: Some("d9".to_owned()),
        ..blank(at_ms, ElementKind::Node, "node/servers")
    });
    let conduit = [LINKS[0], LINKS[5]].map(|(a, b)| Element::link_id(a, b));
    all.push(Element {
        members: conduit.to_vec(),
        ..blank(at_ms, ElementKind::Group, "group/conduit")
    });
    all.push(Element {
        members: vec!["node/servers".to_owned()],
        ..blank(at_ms, ElementKind::Service, "service/web")
    });
    let (a, b) = LINKS[0];
    let speed_bps = Some(10_000_000_000);
    all.push(Element { speed_bps, ..link(cycle_ms + FASTER_MS, a, b) });
    all.push(Element { removed: true, ..node(cycle_ms + REMOVED_MS, "acc-2") });
    all
}

fn blank(time_ms: i64, kind: ElementKind, id: &str) -> Element {
    let (_, name) = id.split_once('/').unwrap_or_default();
    Element {
        domain: DEFAULT_DOMAIN.to_owned(),
        time_ms,
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

fn node(time_ms: i64, name: &str) -> Element {
    Element {
        management: (name == NODES[0]).then_some(true),
        ..blank(time_ms, ElementKind::Node, &format!("node/{name}"))
    }
}

fn link(time_ms: i64, a: End, b: End) -> Element {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    Element {
        a_device: Some(a.0.to_owned()),
        a_interface: Some(a.1.to_owned()),
        b_device: Some(b.0.to_owned()),
        b_interface: Some(b.1.to_owned()),
        ..blank(time_ms, ElementKind::Link, &Element::link_id(a, b))
    }
}

fn change(time_ms: i64, incident: &str, state: ChangeState) -> Change {
    Change {
        domain: DEFAULT_DOMAIN.to_owned(),
        time_ms,
        execution: format!("of-{incident}"),
        incident: incident.to_owned(),
        step: 0,
        state,
        device: "edge-2".to_owned(),
        entity: Some("u2".to_owned()),
        action: "interface.down".to_owned(),
        text: "shut edge-2 u2".to_owned(),
    }
}

fn feedback(time_ms: i64, incident: &str, verdict: FeedbackVerdict) -> Feedback {
    Feedback {
        domain: DEFAULT_DOMAIN.to_owned(),
        incident: incident.to_owned(),
        time_ms,
        verdict,
        who: "noc".to_owned(),
        text: None,
    }
}
