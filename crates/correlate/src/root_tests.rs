//! Root cause: each fault against the root that it must get, on one small network; merging,
//! reopening, our own changes, and the same under every arrival and every restart.

use model::rows::{
    Anomaly, AnomalyKind, Change, ChangeState, Element, ElementKind, Entity, Feedback,
    FeedbackVerdict, Incident, IncidentState,
};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::task::{Engine, Outputs};

use crate::tests::{count, engine, message};
use crate::{CorrelateConfig, Correlator, metrics};

fn blank(kind: ElementKind, id: &str, name: &str) -> Element {
    Element {
        domain: "default".into(),
        time_ms: 1_000,
        id: id.into(),
        kind,
        name: name.into(),
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

fn node(name: &str, address: &str) -> Element {
    Element {
        address: Some(address.into()),
        exporter: Some(address.into()),
        management: (name == "core1").then_some(true),
        ..blank(ElementKind::Node, &format!("node/{name}"), name)
    }
}

fn link(a: (&str, &str), b: (&str, &str)) -> Element {
    let id = Element::link_id(a, b);
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    Element {
        a_device: Some(a.0.into()),
        a_interface: Some(a.1.into()),
        b_device: Some(b.0.into()),
        b_interface: Some(b.1.into()),
        ..blank(ElementKind::Link, &id, &id[5..])
    }
}

/// core1 and core2, edge1 and edge2 each to both; acc1 behind edge1, acc2 behind acc1.
fn map() -> Vec<Element> {
    let mut all = vec![
        node("core1", "10.0.0.1"),
        node("core2", "10.0.0.2"),
        node("edge1", "10.0.0.11"),
        node("edge2", "10.0.0.12"),
        node("acc1", "10.0.0.21"),
        node("acc2", "10.0.0.22"),
        link(("core1", "e0"), ("core2", "e0")),
        link(("core1", "e1"), ("edge1", "u1")),
        link(("core1", "e2"), ("edge2", "u1")),
        link(("core2", "e1"), ("edge1", "u2")),
        link(("core2", "e2"), ("edge2", "u2")),
        link(("edge1", "d1"), ("acc1", "u1")),
        link(("acc1", "d1"), ("acc2", "u1")),
    ];
    all.push(Element {
        address: Some("198.51.100.0/24".into()),
        a_device: Some("acc2".into()),
        a_interface: Some("d9".into()),
        ..blank(ElementKind::Node, "node/servers", "servers")
    });
    all.push(Element {
        members: vec!["link/core1 e1--edge1 u1".into(), "link/core1 e2--edge2 u1".into()],
        ..blank(ElementKind::Group, "group/conduit", "conduit")
    });
    all.push(Element {
        members: vec!["node/servers".into()],
        ..blank(ElementKind::Service, "service/web", "web")
    });
    all
}

fn say(rule: &str, kind: &str, name: &str, second: i64, what: AnomalyKind) -> Anomaly {
    Anomaly {
        domain: "default".into(),
        id: format!("{rule}/{name}"),
        time_ms: second * 1000,
        rule: rule.into(),
        key: format!("key={name}"),
        kind: what,
        model: "row".into(),
        entity: Some(Entity { kind: kind.into(), name: name.into() }),
        value_name: "row".into(),
        value: None,
        expected: None,
        lower: None,
        upper: None,
        score: None,
        why: format!("{rule}: {name}"),
        window_start_ms: second * 1000,
        contributors: Vec::new(),
    }
}

fn down(port: &str, second: i64) -> Anomaly {
    say("link-down", "interface", port, second, Open)
}

fn up(port: &str, second: i64) -> Anomaly {
    say("link-down", "interface", port, second, Clear)
}

fn gone(device: &str, second: i64) -> Anomaly {
    say("device-unreachable", "device", device, second, Open)
}

use AnomalyKind::{Clear, Open};

fn config() -> CorrelateConfig {
    CorrelateConfig { resolve_after_s: 60, reopen_within_s: 120, ..CorrelateConfig::default() }
}

enum Row {
    Topology(Vec<Element>),
    Anomalies(Vec<Anomaly>),
    Change(Change),
    Feedback(Feedback),
}

fn feed(engine: &mut Correlator, row: &Row, watermark_s: i64) -> Outputs {
    use model::schema;
    let (batch, schema, rows) = match row {
        Row::Topology(rows) => {
            (Element::to_batch(rows).unwrap(), schema::topology_evidence(), rows.len())
        }
        Row::Anomalies(rows) => (Anomaly::to_batch(rows).unwrap(), schema::anomalies(), rows.len()),
        Row::Change(row) => {
            (Change::to_batch(std::slice::from_ref(row)).unwrap(), schema::changes(), 1)
        }
        Row::Feedback(row) => {
            (Feedback::to_batch(std::slice::from_ref(row)).unwrap(), schema::feedback(), 1)
        }
    };
    let payload = model::ipc::encode(&batch).unwrap();
    message(engine, &schema.header(), payload, rows as u32, watermark_s).unwrap()
}

fn incidents(out: &Outputs) -> Vec<Incident> {
    let mine = out.data().filter(|data| data.topic == "incidents");
    mine.flat_map(|data| Incident::from_batch(&data.batch).unwrap()).collect()
}

fn play(elements: Vec<Element>, rows: Vec<Row>, until_s: i64) -> Vec<Incident> {
    let mut engine = engine(config());
    let mut told = incidents(&feed(&mut engine, &Row::Topology(elements), 0));
    for row in &rows {
        told.extend(incidents(&feed(&mut engine, row, 0)));
    }
    for second in 1..=until_s {
        told.extend(incidents(&feed(&mut engine, &Row::Anomalies(Vec::new()), second)));
    }
    told
}

/// The last revision of each incident that is not part of another.
fn last(told: &[Incident]) -> Vec<Incident> {
    let mut all: Vec<Incident> = Vec::new();
    for incident in told {
        all.retain(|other| other.id != incident.id);
        all.push(incident.clone());
    }
    all.retain(|incident| incident.merged_into.is_none());
    all.sort_by(|a, b| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
    all
}

fn explain(rows: Vec<Anomaly>, until_s: i64) -> Vec<Incident> {
    last(&play(map(), vec![Row::Anomalies(rows)], until_s))
}

/// `fault kind name` of an incident.
fn root(incident: &Incident) -> String {
    let entity = incident.entity.as_ref().unwrap();
    let fault = incident.cause.as_ref().map_or("none", |cause| &cause.fault);
    format!("{fault} {} {}", entity.kind, entity.name)
}

#[test]
fn each_fault_gets_its_root_and_one_incident() {
    let of = |rule: &str, kind: &str, name: &str, second| say(rule, kind, name, second, Open);
    let table: Vec<(&str, Vec<Anomaly>)> = vec![
        (
            "link-down link core1 e1--edge1 u1",
            vec![
                down("core1 e1", 100),
                down("edge1 u1", 101),
                of("bgp-down", "device", "edge1", 150),
                of("interface-utilization", "interface", "core2 e1", 140),
            ],
        ),
        (
            "admin-down interface edge1 u1",
            vec![down("core1 e1", 100), of("link-admin-down", "interface", "edge1 u1", 100)],
        ),
        (
            "node-down device edge2",
            vec![down("core1 e2", 100), down("core2 e2", 101), gone("edge2", 130)],
        ),
        (
            // What is behind it cannot be reached either. A device with one link that is silent and
            // one whose link is cut look alike; links are cut more often.
            "link-down link acc1 u1--edge1 d1",
            vec![
                down("edge1 d1", 100),
                gone("acc1", 130),
                gone("acc2", 131),
                of("exporter-silent", "exporter", "10.0.0.21", 140),
                of("exporter-silent", "exporter", "10.0.0.22", 140),
            ],
        ),
        (
            "flapping link core2 e1--edge1 u2",
            vec![
                down("core2 e1", 100),
                down("edge1 u2", 100),
                of("link-flapping", "interface", "core2 e1", 130),
                of("link-flapping", "interface", "edge1 u2", 140),
                of("interface-errors", "interface", "edge1 u2", 140),
            ],
        ),
        (
            "saturated interface acc1 d1",
            vec![
                of("interface-utilization", "interface", "acc1 d1", 100),
                of("exporter-traffic", "exporter", "10.0.0.21", 160),
            ],
        ),
        ("cpu device core1", vec![of("cpu-usage", "device", "core1", 100)]),
        (
            "flood host 198.51.100.7",
            vec![
                of("syn-flood", "host", "198.51.100.7", 100),
                of("exporter-traffic", "exporter", "10.0.0.22", 160),
            ],
        ),
        (
            "exporter-silent exporter 10.0.0.11",
            vec![of("exporter-silent", "exporter", "10.0.0.11", 100)],
        ),
        (
            "group-down group conduit",
            vec![
                down("core1 e1", 100),
                down("edge1 u1", 101),
                down("core1 e2", 101),
                down("edge2 u1", 101),
            ],
        ),
    ];
    for (want, rows) in table {
        let told = explain(rows.clone(), 400);
        assert_eq!(told.iter().map(root).collect::<Vec<_>>(), [want], "{told:#?}");
        let incident = &told[0];
        let cause = incident.cause.as_ref().unwrap();
        assert_eq!(incident.members.len(), rows.len(), "{want}");
        assert!(cause.unexplained.is_empty(), "{want}");
        assert!(cause.probability > 0.5 && cause.probability <= 1.0, "{want}: {cause:?}");
        let second = cause.runner_up.as_ref().map_or(0.0, |second| second.probability);
        assert!(second < cause.probability && second + cause.probability <= 1.0 + 1e-9);
        assert!(!incident.headline.contains("nothing on the map"), "{}", incident.headline);
    }
}

#[test]
fn it_speaks_at_once_and_keeps_its_id() {
    let rows = vec![down("edge1 d1", 100), gone("acc1", 130), gone("acc2", 131)];
    let told = play(map(), vec![Row::Anomalies(rows)], 400);
    assert_eq!(told[0].updated_ms, 100_000);
    assert_eq!(root(&told[0]), "link-down link acc1 u1--edge1 d1");
    let second = told[0].cause.as_ref().unwrap().runner_up.as_ref().unwrap();
    assert_ne!(second.fault, "");
    assert!(told.iter().all(|incident| incident.id == told[0].id));
    let affected = &told[0].cause.as_ref().unwrap().affected;
    for element in ["device acc2", "network servers", "service web"] {
        assert!(affected.contains(&element.to_owned()), "{affected:?}");
    }
}

#[test]
fn two_faults_are_two_incidents() {
    let rows =
        vec![down("core2 e2", 100), down("edge2 u2", 100), down("acc1 d1", 110), gone("acc2", 140)];
    let told = explain(rows, 400);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(root(&told[0]), "link-down link core2 e2--edge2 u2");
    assert_eq!(told[1].members.len(), 2);
}

#[test]
fn what_nothing_explains_stays_alone_and_says_so() {
    let told = explain(vec![say("exporter-traffic", "exporter", "10.0.0.1", 100, Open)], 400);
    assert_eq!(root(&told[0]), "none exporter 10.0.0.1");
    assert!(told[0].headline.contains("nothing on the map explains it"), "{}", told[0].headline);
    // A device that is silent while all its links are well: its agent, or noise.
    let told = explain(vec![gone("core2", 100)], 400);
    assert_eq!(root(&told[0]), "none device core2");
}

#[test]
fn an_incident_that_is_part_of_another_says_so() {
    let flaps = vec![
        down("edge1 u2", 100),
        say("link-flapping", "interface", "core2 e1", 130, Open),
        say("link-flapping", "interface", "edge1 u2", 130, Open),
    ];
    let id = play(map(), vec![Row::Anomalies(flaps.clone())], 150)[0].id.clone();
    // The device was faster than our own word.
    let rows = vec![
        Row::Anomalies(flaps),
        Row::Anomalies(vec![say("link-admin-down", "interface", "edge1 u2", 161, Open)]),
        Row::Change(change(&id, 162, ChangeState::Began, "interface.down")),
    ];
    let told = play(map(), rows, 200);
    let other = told.iter().rfind(|incident| incident.id != id).unwrap();
    assert_eq!(other.merged_into.as_deref(), Some(id.as_str()));
    assert_eq!(other.state, IncidentState::Resolved);
    assert!(other.members.is_empty());
    let left = last(&told);
    assert_eq!((left.len(), left[0].members.len()), (1, 4));
}

#[test]
fn what_comes_back_soon_reopens_its_incident() {
    let rows = vec![
        down("core1 e1", 100),
        down("edge1 u1", 100),
        up("core1 e1", 110),
        up("edge1 u1", 110),
        // Resolved at 170; to be reopened until 290.
        down("edge1 u1", 200),
        say("bgp-down", "device", "edge1", 201, Open),
    ];
    let told = play(map(), vec![Row::Anomalies(rows)], 260);
    assert!(told.iter().all(|incident| incident.id == told[0].id), "{told:#?}");
    let end = told.last().unwrap();
    assert_eq!((end.reopened, end.state), (1, IncidentState::Open));
    assert!(end.cause.as_ref().unwrap().unexplained.is_empty());
}

fn change(incident: &str, second: i64, state: ChangeState, action: &str) -> Change {
    Change {
        domain: "default".into(),
        time_ms: second * 1000,
        execution: "x1".into(),
        incident: incident.into(),
        step: 0,
        state,
        device: "edge1".into(),
        entity: Some("u2".into()),
        action: action.into(),
        text: "shut edge1 u2".into(),
    }
}

#[test]
fn what_we_did_ourselves_is_no_new_incident() {
    let flaps = |second| {
        vec![
            down("edge1 u2", 100),
            say("link-flapping", "interface", "core2 e1", second, Open),
            say("link-flapping", "interface", "edge1 u2", second, Open),
        ]
    };
    let first = play(map(), vec![Row::Anomalies(flaps(130))], 150);
    let id = &first[0].id;
    let rows = |last: ChangeState| {
        vec![
            Row::Anomalies(flaps(130)),
            Row::Change(change(id, 160, ChangeState::Began, "interface.down")),
            Row::Anomalies(vec![
                say("link-admin-down", "interface", "edge1 u2", 161, Open),
                down("core2 e1", 161),
                say("bgp-down", "device", "edge1", 162, Open),
                say("bgp-down", "device", "edge1", 170, Clear),
            ]),
            Row::Change(change(id, 165, ChangeState::Ended, "interface.down")),
            Row::Change(change(id, 200, last, "interface.down")),
        ]
    };
    let told = play(map(), rows(ChangeState::Ended), 195);
    assert!(told.iter().all(|incident| incident.id == *id), "{told:#?}");
    let end = told.last().unwrap();
    assert_eq!(end.state, IncidentState::Quiet, "the port that we shut keeps nothing open");
    assert_eq!(end.changes, ["x1 step 0 began", "x1 step 0 ended"]);
    assert!(end.headline.contains("a repair was made"), "{}", end.headline);
    assert_eq!(end.members.len(), 6);
    // Taken back: what is down counts again.
    let told = play(map(), rows(ChangeState::RolledBack), 210);
    assert_eq!(told.last().unwrap().state, IncidentState::Open);
}

#[test]
fn words_of_people_are_counted() {
    let mut engine = engine(config());
    let feedback = Feedback {
        domain: "default".into(),
        incident: "none".into(),
        time_ms: 50_000,
        verdict: FeedbackVerdict::Wrong,
        who: "noc".into(),
        text: None,
    };
    feed(&mut engine, &Row::Feedback(feedback), 0);
    let out = feed(&mut engine, &Row::Anomalies(Vec::new()), 60);
    assert_eq!(count(&out, metrics::FEEDBACK), 1);
    assert_eq!(count(&out, metrics::UNKNOWN), 1);
}

#[test]
fn the_map_is_republished_one_element_a_message() {
    let mut engine = engine(config());
    feed(&mut engine, &Row::Topology(map()), 0);
    let out = feed(&mut engine, &Row::Anomalies(Vec::new()), 10);
    let all: Vec<_> = out.data().filter(|data| data.topic == "topology").collect();
    assert_eq!(all.len(), map().len());
    let rows: Vec<Element> =
        all.iter().flat_map(|d| Element::from_topology(&d.batch).unwrap()).collect();
    for (row, data) in rows.iter().zip(&all) {
        assert_eq!(data.key.as_deref(), Some(row.record_key().as_bytes()));
    }
    // Applied again: no news. Removed: told, and gone.
    let again = map().into_iter().map(|e| Element { time_ms: 20_000, ..e }).collect();
    feed(&mut engine, &Row::Topology(again), 10);
    let less = Element { time_ms: 30_000, removed: true, ..map()[5].clone() };
    feed(&mut engine, &Row::Topology(vec![less]), 10);
    let out = feed(&mut engine, &Row::Anomalies(Vec::new()), 40);
    assert_eq!(count(&out, metrics::ELEMENTS), 1);
    assert_eq!(out.data().count(), 1);
}

#[test]
fn broken_maps_stop_nothing() {
    let odd = vec![
        link(("a", "1"), ("a", "1")),
        link(("a", "1"), ("b", "1")),
        link(("a", "1"), ("c", "1")),
        Element { a_interface: None, ..link(("x", "1"), ("y", "1")) },
        Element {
            members: vec!["group/g".into(), "link/none".into(), "?".into()],
            ..blank(ElementKind::Group, "group/g", "g")
        },
        Element {
            address: Some("10.0.0.0/99".into()),
            a_device: Some("b".into()),
            a_interface: Some("9".into()),
            ..blank(ElementKind::Node, "node/n", "n")
        },
    ];
    let rows = vec![
        down("a 1", 100),
        down("b 7", 100),
        down("unheard-of 1", 100),
        say("link-down", "interface", "nospace", 100, Open),
        say("syn-flood", "host", "10.0.0.1", 100, Open),
    ];
    let told = last(&play(odd, vec![Row::Anomalies(rows)], 200));
    assert_eq!(told.iter().map(|i| i.members.len()).sum::<usize>(), 5);
}

fn storm(seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ports = ["core1 e1", "edge1 u1", "core2 e1", "edge1 u2", "edge1 d1", "acc1 u1", "acc1 d1"];
    let devices = ["core2", "edge1", "edge2", "acc1", "acc2"];
    let mut rows = vec![Row::Topology(map())];
    for _ in 0..40 {
        let second = rng.random_range(10..800);
        let port = ports[rng.random_range(0..ports.len())];
        let device = devices[rng.random_range(0..devices.len())];
        let (rule, kind, name) = [
            ("link-down", "interface", port),
            ("link-admin-down", "interface", port),
            ("interface-utilization", "interface", port),
            ("device-unreachable", "device", device),
            ("cpu-usage", "device", device),
        ][rng.random_range(0..5)];
        let length = rng.random_range(1..200);
        rows.push(Row::Anomalies(vec![say(rule, kind, name, second, Open)]));
        rows.push(Row::Anomalies(vec![say(rule, kind, name, second + length, Clear)]));
    }
    rows.push(Row::Change(change("none", 300, ChangeState::Began, "interface.down")));
    rows
}

#[test]
fn roots_do_not_depend_on_arrival() {
    for seed in 0..10 {
        let run = |order: u64| {
            let mut rows = storm(seed);
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(order));
            play(Vec::new(), rows, 1_500)
        };
        let once = run(0);
        assert!(once.iter().any(|incident| incident.cause.is_some()));
        for order in 1..4 {
            assert_eq!(run(order), once, "{seed}/{order}");
        }
        let anomalies: usize = last(&once).iter().map(|i| i.members.len()).sum();
        assert!(anomalies > 0);
        for incident in last(&once) {
            assert_eq!(incident.state, IncidentState::Resolved, "{incident:#?}");
        }
    }
}

#[test]
fn a_restored_engine_finds_the_same_roots() {
    for seed in 0..3 {
        let mut whole = engine(config());
        let mut restored = engine(config());
        for row in storm(seed) {
            feed(&mut whole, &row, 0);
            feed(&mut restored, &row, 0);
        }
        for step in 1..200 {
            let blocks = whole.snapshot();
            restored = engine(config());
            restored.restore(&blocks).unwrap();
            assert_eq!(restored.snapshot(), blocks, "step {step}");
            let time = Row::Anomalies(Vec::new());
            let (a, b) = (feed(&mut whole, &time, step * 5), feed(&mut restored, &time, step * 5));
            assert_eq!(incidents(&a), incidents(&b), "step {step}");
        }
        assert_eq!(whole.snapshot(), restored.snapshot());
    }
}
