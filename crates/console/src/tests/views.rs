//! View models without HTTP: words, numbers, drawings, charts, folding.

use std::collections::BTreeSet;

use super::{NOW_MS, seed};
use crate::config::StoreConfig;
use crate::store::{Point, Row, SeriesKey, State};
use crate::view::{chart, incident, layout, topology, words};

fn state() -> State {
    State::new(StoreConfig::default(), false)
}

#[test]
fn numbers_and_times_are_short() {
    let numbers = [0.0, 0.042, 12.345, 950.0, 1234.0, 48_210.0, 1.1e9, -3.0e6, f64::NAN];
    let said: Vec<String> = numbers.map(words::number).to_vec();
    assert_eq!(said, ["0", "4.20e-2", "12.3", "950", "1234", "48.2 k", "1.1 G", "-3 M", "–"]);
    assert_eq!(words::span(8_000), "8 s");
    assert_eq!(words::span(95_000), "1 min 35 s");
    assert_eq!(words::span(3_600_000), "60 min");
    assert_eq!(words::span(12_000_000), "3 h 20 min");
    assert_eq!(words::clock(NOW_MS), "10:00:00");
    assert_eq!(words::percent(0.995), "over 99 %");
    assert_eq!(words::percent(0.93), "93 %");
    assert_eq!(words::key("domain=default,device=edge1,entity=Gi0/1"), "edge1 Gi0/1");
    assert_eq!(words::clip("ä€x", 2), "ä€…");
}

#[test]
fn the_same_network_is_drawn_the_same() {
    let nodes: BTreeSet<String> = ["a", "b", "c", "d", "e"].map(String::from).into();
    let links = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("x", "a"), ("a", "a")];
    let links = links.map(|(a, b)| (a.to_owned(), b.to_owned()));
    let once = layout::layers(&nodes, &links, &BTreeSet::from(["a".to_owned()]));
    assert_eq!(once, layout::layers(&nodes, &links, &BTreeSet::from(["a".to_owned()])));
    assert_eq!(once["a"].0, 0);
    assert_eq!(once["b"].0, 1);
    assert_eq!(once["c"].0, 2);
    assert_eq!(once["e"].0, 3, "what hangs on nothing stands below");
    assert!(layout::layers(&BTreeSet::new(), &[], &BTreeSet::new()).is_empty());
}

#[test]
fn a_large_network_is_drawn_around_what_is_wrong() {
    let mut state = state();
    for n in 0..500 {
        let name = format!("n{n}");
        let element = seed::element(model::rows::ElementKind::Node, &format!("node/{name}"), &name);
        state.apply(Row::Element(element));
        let (a, b) = (format!("n{}", n / 2), name);
        let mut link = seed::element(model::rows::ElementKind::Link, &format!("link/{n}"), "l");
        link.a_device = Some(a);
        link.b_device = Some(b);
        state.apply(Row::Element(link));
    }
    let mut incident = seed::waiting(NOW_MS);
    incident.entity = seed::entity("device", "n200");
    let drawing = topology::drawing(&state, &incident).unwrap();
    assert_eq!(drawing.nodes.len(), 40);
    assert_eq!(drawing.left_out, 460);
    let root = drawing.nodes.iter().find(|node| node.mark == "root").unwrap();
    assert_eq!((root.name.as_str(), root.says.as_str()), ("n200", "root cause"));
    assert!(drawing.nodes.iter().all(|node| node.x >= 0.0 && node.x <= topology::WIDTH));
}

fn point(at: i64, value: f64) -> Point {
    Point {
        start_ms: NOW_MS + at - 1,
        end_ms: NOW_MS + at,
        value,
        expected: 10.0,
        lower: 5.0,
        upper: 15.0,
        score: 0.0,
        is_anomalous: value > 15.0,
        is_complete: true,
    }
}

fn key() -> SeriesKey {
    SeriesKey { rule: "r".into(), key: "device=it's".into(), value_name: "v".into() }
}

#[test]
fn a_chart_has_gaps_marks_and_a_query() {
    let points = [point(0, 9.0), point(10, f64::NAN), point(20, 11.0), point(30, 40.0)];
    let chart = chart::chart(&key(), &points, NOW_MS + 20).unwrap();
    assert_eq!(chart.line.matches('M').count(), 2, "{}", chart.line);
    assert_eq!(chart.marks.len(), 1);
    assert_eq!(chart.last, "40");
    assert!(chart.opened_x.is_some());
    assert!(chart.query.contains("key = 'device=it''s'"));
    assert_eq!(chart.band.matches('Z').count(), 1);
}

#[test]
fn a_chart_of_anything_is_drawn_or_left_out() {
    let extreme = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MAX, f64::MIN, 1e-300];
    assert!(chart::chart(&key(), &[], NOW_MS).is_none());
    assert!(chart::chart(&key(), &[point(0, f64::NAN)], NOW_MS).is_none());
    for a in extreme {
        for b in extreme {
            let mut points = [point(0, a), point(5, b), point(5, a)];
            points[1].upper = a;
            points[2].lower = b;
            if let Some(chart) = chart::chart(&key(), &points, i64::MIN) {
                assert!(!chart.line.contains("NaN") && !chart.line.contains("inf"), "{a} {b}");
                assert!(!chart.band.contains("NaN") && !chart.band.contains("inf"), "{a} {b}");
                assert!(chart.y_ticks.len() < 10);
            }
        }
    }
}

#[test]
fn alerts_of_one_moment_are_one_line_of_the_timeline() {
    let mut state = state();
    let mut one = seed::waiting(NOW_MS);
    one.members = (0..30)
        .map(|n| {
            let key = format!("device=acc{n},entity=Gi0/1");
            seed::member(&format!("m{n}"), "link-down", &key, NOW_MS + n * 100, "down")
        })
        .collect();
    state.apply(Row::Incident(one));
    let page = incident::incident(&state, "inc-7f3a91c2").unwrap();
    let alerts: Vec<_> = page.timeline.iter().filter(|e| e.kind == "alert").collect();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].count, 30);
    assert!(alerts[0].title.ends_with("and 26 more"), "{}", alerts[0].title);
}
