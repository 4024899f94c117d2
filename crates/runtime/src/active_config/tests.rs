//! Two instances and one stage, on the embedded log; where the rule is a cluster's, the
//! configuration says `kafka` while the log stays the embedded one.

use bus::config::Engine;
use bus::{BusConfig, EmbeddedLog, Log, topics};
use serde::Serialize;

use super::{ActiveConfigError, Decisive, Publisher, WhileLive, activate, difference, enter, read};

#[derive(Serialize)]
struct Part {
    rules: Vec<&'static str>,
    limit: u32,
}

fn decisive(limit: u32) -> Decisive {
    Decisive::of("detect", &Part { rules: vec!["flood", "silent"], limit }).unwrap()
}

fn log(engine: Engine) -> (EmbeddedLog, BusConfig) {
    let config = BusConfig { engine, ..BusConfig::default() };
    let log = EmbeddedLog::in_memory().unwrap();
    topics::apply(log.admin(), &topics::catalogue(&config)).unwrap();
    (log, config)
}

fn by(instance: &str) -> Publisher<'_> {
    Publisher { instance, now_ms: 1_000 }
}

#[test]
fn the_first_instance_publishes_and_the_second_agrees() {
    let (log, bus) = log(Engine::Kafka);
    assert_eq!(read(&log, &bus, "detect").unwrap(), None);
    assert_eq!(enter(&log, &bus, &decisive(1), by("a")).unwrap(), 1);
    assert_eq!(enter(&log, &bus, &decisive(1), by("b")).unwrap(), 1);
    let active = read(&log, &bus, "detect").unwrap().unwrap();
    assert_eq!((active.instance.as_str(), active.from_ms), ("a", 1_000));
    assert_eq!(active.text, decisive(1).text);
    assert_eq!(read(&log, &bus, "correlate").unwrap(), None);
}

#[test]
fn on_a_cluster_another_configuration_refuses_and_says_what_differs() {
    let (log, bus) = log(Engine::Kafka);
    enter(&log, &bus, &decisive(1), by("a")).unwrap();
    let error = enter(&log, &bus, &decisive(2), by("b")).unwrap_err().to_string();
    assert!(error.contains("- limit: 1\n+ limit: 2\n"), "{error}");
    assert!(error.contains("gannet config activate --config FILE"), "{error}");

    let activate = |decisive: &Decisive| {
        activate(&log, &bus, decisive, &["rollup", "score"], by("b"), WhileLive::Refuse).unwrap()
    };
    assert_eq!(activate(&decisive(2)), Some(2));
    assert_eq!(activate(&decisive(2)), None);
    assert_eq!(enter(&log, &bus, &decisive(2), by("b")).unwrap(), 2);
    // And back to the first, under its old key.
    assert_eq!(activate(&decisive(1)), Some(3));
    assert!(enter(&log, &bus, &decisive(2), by("b")).is_err());
}

#[test]
fn while_instances_live_only_force_activates() {
    let (log, bus) = log(Engine::Kafka);
    enter(&log, &bus, &decisive(1), by("a")).unwrap();
    let _joined = log.join("score", "a", &[bus.topic("partials.v1")]).unwrap();
    let try_it = |live| activate(&log, &bus, &decisive(2), &["rollup", "score"], by("b"), live);
    let error = try_it(WhileLive::Refuse).unwrap_err();
    let ActiveConfigError::StillLive { instances, .. } = error else { panic!("{error}") };
    assert_eq!(instances, ["score/a"]);
    assert_eq!(try_it(WhileLive::Force).unwrap(), Some(2));
}

#[test]
fn one_process_alone_takes_the_next_serial() {
    let (log, bus) = log(Engine::Embedded);
    assert_eq!(enter(&log, &bus, &decisive(1), by("a")).unwrap(), 1);
    assert_eq!(enter(&log, &bus, &decisive(2), by("a")).unwrap(), 2);
    assert_eq!(enter(&log, &bus, &decisive(2), by("a")).unwrap(), 2);
}

#[test]
fn a_difference_shows_changes_with_their_neighbours_only() {
    let old = "a\nb\nc\nd\ne\nf\ng\nh";
    let new = "a\nb\nc\nX\ne\nf\ng\nh\ni";
    let wanted = "  …\n  b\n  c\n- d\n+ X\n  e\n  f\n  g\n  h\n+ i";
    assert_eq!(difference::lines(old, new), wanted);
    assert_eq!(difference::lines(old, old), "");
    let many: String = (0..5_000).map(|i| format!("{i}\n")).collect();
    let other: String = (0..5_000).map(|i| format!("x{i}\n")).collect();
    assert!(difference::lines(&many, &other).ends_with("and 9940 lines more"));
}
