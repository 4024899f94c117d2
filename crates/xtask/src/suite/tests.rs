//! Reading cargo's lines, and what counts as failed, skipped and passed.

use std::process::Command;
use std::time::Duration;

use anyhow::anyhow;

use super::cargo_test::read;
use super::report::{Outcome, Tally, conclude};
use super::watch::Watch;
use super::{Options, choose};
use crate::machine::{self, Missing};

const CARGO: &str = "\
   Compiling bus v0.1.0
     Running unittests src/lib.rs (target/release/deps/bus-1)
running 3 tests
test a ... ok
test b::c ... FAILED
test d ... ignored
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s
---- e stdout ----
skipped: no Kafka; to mend: set KAFKA_BOOTSTRAP
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s
";

fn tally(passed: usize, failed: usize, skipped: usize) -> Tally {
    Tally { passed, failed, skipped }
}

fn lacking_python() -> anyhow::Error {
    Missing::new(machine::PYTHON, "no python\nat all", "install it").into()
}

#[test]
fn cargo_lines_are_counted() {
    let outcome = read(CARGO);
    assert_eq!(outcome.tally, tally(12, 1, 2));
    assert_eq!(outcome.summary, "12 passed, 1 failed, 2 skipped in 2 test binaries");
    assert_eq!(outcome.details[0], "test b::c ... FAILED");
    assert_eq!(outcome.details[1], "skipped: no Kafka; to mend: set KAFKA_BOOTSTRAP");
}

#[test]
fn what_the_machine_lacks_is_skipped_unless_required() {
    let took = Duration::from_millis(1500);
    let (skipped, lines) = conclude("python", Err(lacking_python()), &[], took);
    assert_eq!(skipped, tally(0, 0, 1));
    assert_eq!(lines[0], "skipped  python       1.5 s  no python");
    assert_eq!(lines[1], "         to mend: install it");
    let require = |need: &str| conclude("python", Err(lacking_python()), &[need.into()], took);
    assert_eq!(require("python").0, tally(0, 1, 0));
    assert_eq!(require("kafka").0, tally(0, 0, 1));
}

#[test]
fn an_error_is_a_failure() {
    let error = anyhow!("it broke\nhere");
    let (failed, lines) = conclude("build", Err(error), &[], Duration::ZERO);
    assert_eq!(failed, tally(0, 1, 0));
    assert_eq!(lines, ["FAILED   build        0.0 s  it broke", "         here"]);
    let outcome = Outcome { tally: tally(5, 1, 0), ..Outcome::default() };
    assert!(conclude("cargo", Ok(outcome), &[], Duration::ZERO).1[0].starts_with("FAILED"));
}

#[test]
fn the_sum_is_the_last_line() {
    let mut sum = tally(1, 2, 3);
    sum += tally(10, 20, 30);
    assert_eq!(sum.to_string(), "11 passed, 22 failed, 33 skipped");
}

#[test]
fn a_sum_is_read_back() {
    assert_eq!(Tally::read("12 passed, 1 failed, 0 skipped"), Some(tally(12, 1, 0)));
    for line in
        ["", "12 passed", "a passed, 1 failed, 0 skipped", "1 passed, 1 failed, 0 skipped, x"]
    {
        assert_eq!(Tally::read(line), None, "{line}");
    }
}

#[test]
fn parts_are_chosen_by_name_and_speed() {
    let names = |options: &Options| -> Vec<&str> {
        choose(options).unwrap().iter().map(|part| part.name).collect()
    };
    let only = Options { only: vec!["tidy".into()], ..Options::default() };
    assert_eq!(names(&only), ["tidy"]);
    let fast = names(&Options { fast: true, ..Options::default() });
    assert!(fast.contains(&"cargo") && !fast.contains(&"kafka") && !fast.contains(&"python"));
    let unknown = Options { only: vec!["tidi".into()], ..Options::default() };
    assert!(choose(&unknown).is_err());
    let unknown = Options { require: vec!["java".into()], ..Options::default() };
    assert!(choose(&unknown).is_err());
}

/// A shell that waits for a child of its own.
fn shell(script: &str) -> std::process::Child {
    Command::new("sh").args(["-c", script]).spawn().unwrap()
}

#[test]
fn what_hangs_is_ended_at_its_limit_and_nothing_else() {
    let mut hanging = shell("sleep 600; exit 3");
    let watch = Watch::start(hanging.id(), "", Duration::from_millis(200));
    assert_eq!(hanging.wait().unwrap().code(), Some(3), "its child was ended");
    assert!(watch.end());

    let mut spared = shell("sleep 0.7; exit 4");
    let watch = Watch::start(spared.id(), "sleep 0.7", Duration::from_millis(100));
    assert_eq!(spared.wait().unwrap().code(), Some(4));
    assert!(watch.end());

    let mut quick = shell("exit 5");
    let watch = Watch::start(quick.id(), "", Duration::from_secs(600));
    assert_eq!(quick.wait().unwrap().code(), Some(5));
    assert!(!watch.end());
}
