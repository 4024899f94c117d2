//! Anomalies that end otherwise than by points inside their band.

use model::rows::{Anomaly, AnomalyKind, Entity, Event};

use super::rig::{Message, Rollups, detect, rules};
use super::rows::{Flow, flows};
use crate::rules::Source;

const START: i64 = 1_700_000_000_000;

/// Windows of ten seconds; one destination stays, the other one stops while it is out of its band.
fn run(rule: &str, windows: i64, last: i64, also: &dyn Fn(i64) -> Vec<u32>) -> Vec<Anomaly> {
    let mut messages = Vec::new();
    for number in 0..windows {
        let received = START + number * 10_000 + 1_000;
        let rows = |dst: u32, count: u64| -> Vec<Flow> {
            let flow = Flow {
                received,
                last: None,
                src: 1,
                dst,
                protocol: 6,
                flags: 16,
                packets: count,
                bytes: 100,
            };
            vec![flow]
        };
        let mut all = rows(1, 5);
        if number <= last {
            all.extend(rows(2, 500));
        } else {
            all.extend(also(number).into_iter().flat_map(|dst| rows(dst, 5)));
        }
        messages.push(Message { batch: flows(&all), watermark_ms: received + 9_000 });
    }
    detect(&rules(rule), Source::Flows, &[messages], 1).1
}

fn rule(more: &str) -> String {
    format!(
        "
- name: packets
  from: flows
  window: {{ size: 10s }}
  sql: SELECT dst_addr, sum(packets) AS packets FROM flows GROUP BY dst_addr
  entity: {{ kind: host, column: dst_addr }}
  watch: [{{ value: packets, models: [threshold: {{ above: 100 }}] }}]
  {more}
"
    )
}

#[test]
fn a_series_that_is_forgotten_ends_its_anomaly_in_words_that_say_so() {
    let anomalies = run(&rule("forget_after: 6"), 20, 3, &|_| Vec::new());
    let kinds: Vec<AnomalyKind> = anomalies.iter().map(|anomaly| anomaly.kind).collect();
    assert_eq!(kinds, [AnomalyKind::Open, AnomalyKind::Clear]);
    let (open, clear) = (&anomalies[0], &anomalies[1]);
    assert_eq!((&clear.id, &clear.entity), (&open.id, &open.entity));
    assert_eq!(
        clear.why,
        "series forgotten: no point of it for 70 s; whether it recovered is not known"
    );
    // The eleventh window: the fourth was the last with a point, and six may pass.
    assert_eq!(clear.time_ms, START.div_euclid(10_000) * 10_000 + 110_000);
    // As long as it is remembered, missing points clear nothing.
    let remembered = run(&rule("forget_after: 100"), 20, 3, &|_| Vec::new());
    assert_eq!(remembered.len(), 1);
}

#[test]
fn a_series_that_gives_way_to_others_ends_its_anomaly_too() {
    // Others in every window, each task far beyond its limit.
    let others = |number: i64| (number as u32 * 10..number as u32 * 10 + 6).collect();
    let anomalies = run(&rule("groups_max: 4"), 20, 3, &others);
    let said = anomalies.iter().find(|anomaly| anomaly.kind == AnomalyKind::Clear);
    let why = said.map(|anomaly| anomaly.why.as_str()).unwrap_or_default();
    assert!(why.starts_with("series forgotten: the rule has more series"), "{anomalies:?}");
}

/// Of a rule without a window the row that ends it has the same id as those that opened it.
#[test]
fn a_row_rule_that_says_when_it_clears_does() {
    let rules = rules(include_str!("../../../../../config/rules.yaml"));
    let event = |second: i64, entity: &str, state: &str| Event {
        domain: "default".into(),
        received_ms: START + second * 1000,
        device: "192.0.2.1".into(),
        entity: Some(entity.into()),
        kind: "link".into(),
        state: Some(state.into()),
        severity: Some(3),
        device_time_ms: None,
        text: Some(format!("{entity} is {state}")),
    };
    let mut task = Rollups::new(&rules, Source::Events, 0);
    for rows in [
        vec![event(0, "ge-0", "down"), event(0, "ge-1", "down")],
        vec![event(1, "ge-0", "testing"), event(2, "ge-0", "up")],
        vec![event(3, "ge-0", "down")],
    ] {
        let batch = Event::to_batch(&rows).unwrap();
        task.push(&Message { batch, watermark_ms: START });
    }
    use AnomalyKind::{Clear, Open};
    // Whatever comes up ends the anomaly of being shut too.
    let all = &task.rolled.evidence;
    let said: Vec<&Anomaly> = all.iter().filter(|anomaly| anomaly.rule == "link-down").collect();
    let kinds: Vec<AnomalyKind> = said.iter().map(|anomaly| anomaly.kind).collect();
    assert_eq!(kinds, [Open, Open, Clear, Open]);
    let interface = Entity { kind: "interface".into(), name: "192.0.2.1 ge-0".into() };
    assert_eq!(said[0].entity, Some(interface));
    assert_eq!(said[2].why, "link-down: ge-0 is up");
    assert_eq!((&said[0].id, &said[0].id), (&said[2].id, &said[3].id));
    assert_ne!(said[0].id, said[1].id);
}
