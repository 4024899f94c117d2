//! The parts of the run that need no broker: captures, softflowd's words, verdicts.

use std::net::Ipv4Addr;

use model::rows::{Entity, Grouping, Incident, IncidentState, Member};

use super::pcap::Capture;
use super::softflowd::{Exported, statistics};
use super::verdict::{self, Episode, Outcome, Report};

const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 10);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const EXPORTER: Ipv4Addr = Ipv4Addr::new(127, 90, 0, 1);

#[test]
fn a_capture_is_written_rewritten_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.pcap");
    let made = Capture::syn_flood(1, VICTIM, 1_000, 10.0);
    made.rewritten(VICTIM, OTHER, 4.0).write(&path).unwrap();
    let summary = Capture::read(&path).unwrap().summary().unwrap();
    assert_eq!((summary.packets, summary.target), (1_000, OTHER));
    assert!((summary.seconds - 2.5).abs() < 0.01, "{}", summary.seconds);
    assert!(summary.is_syn_flood);
    std::fs::write(&path, b"no capture").unwrap();
    assert!(Capture::read(&path).is_err());
}

#[test]
fn softflowd_says_what_it_sent() {
    let text = "x\nFlows exported: 37669 (37670 records) in 1198 packets (2 failures)\ny";
    let want = Exported { records: 37_670, datagrams: 1_198, failures: 2 };
    assert_eq!(statistics(text), Some(want));
    assert_eq!(statistics("Flows exported: many"), None);
}

fn incident(id: &str, host: Ipv4Addr, model: &str, opened_ms: i64) -> Incident {
    let member = Member {
        id: "a".into(),
        rule: "r".into(),
        key: "k".into(),
        model: model.into(),
        opened_ms,
        cleared_ms: None,
        value: None,
        expected: None,
        score: None,
        why: "w".into(),
    };
    Incident {
        domain: "default".into(),
        id: id.into(),
        revision: 1,
        state: IncidentState::Open,
        opened_ms,
        updated_ms: opened_ms,
        resolved_ms: None,
        grouping: Grouping::Entity,
        entity: Some(Entity { kind: "host".into(), name: host.to_string() }),
        headline: "h".into(),
        score: None,
        members: vec![member],
        contributors: Vec::new(),
        cause: None,
        changes: Vec::new(),
        reopened: 0,
        merged_into: None,
    }
}

fn flood(is_syn_flood: bool) -> Episode {
    Episode { name: "e".into(), victim: VICTIM, exporter: EXPORTER, is_syn_flood, begun_ms: 1_000 }
}

#[test]
fn verdicts_tell_right_from_wrong() {
    let passed = |check: verdict::Check| matches!(check.outcome, Outcome::Passed(_));
    let one = [incident("1", VICTIM, "syn-flood", 2_000)];
    let two = [one[0].clone(), incident("2", VICTIM, "level", 3_000)];
    let level = [incident("1", VICTIM, "level", 2_000)];
    let other = [incident("1", OTHER, "syn-flood", 2_000)];
    assert!(passed(verdict::episode(&one, &flood(true))));
    assert!(!passed(verdict::episode(&two, &flood(true))), "one incident, not two");
    assert!(!passed(verdict::episode(&level, &flood(true))), "it must be called what it is");
    assert!(!passed(verdict::episode(&[], &flood(true))));
    assert!(passed(verdict::episode(&level, &flood(false))));
    assert!(!passed(verdict::episode(&one, &flood(false))));
    assert!(passed(verdict::others(&one, &[flood(true)])));
    assert!(!passed(verdict::others(&other, &[flood(true)])));
    let silent = |from| [incident("1", from, "silence", 2_000)];
    assert!(passed(verdict::others(&silent(EXPORTER), &[flood(true)])), "it has sent all");
    assert!(!passed(verdict::others(&silent(OTHER), &[flood(true)])), "that one still sends");
    let level = [incident("1", EXPORTER, "level", 2_000)];
    assert!(!passed(verdict::others(&level, &[flood(true)])));
    assert!(passed(verdict::benign(&one, 2_000)));
    assert!(!passed(verdict::benign(&one, 2_001)));
    assert!(!passed(verdict::busy(&one, VICTIM)));
    assert!(passed(verdict::ledger("l", 10, 10, 0)));
    assert!(passed(verdict::ledger("l", 10, 7, 3)));
    assert!(!passed(verdict::ledger("l", 10, 7, 0)), "lost and not counted");
    assert!(!passed(verdict::ledger("l", 10, 10, 1)), "counted and not lost");
    assert!(!passed(verdict::ledger("l", 10, 11, 0)), "stored twice");
}

#[test]
fn the_last_line_is_the_tally() {
    let checks = vec![verdict::ledger("a", 1, 1, 0), verdict::ledger("b", 1, 0, 0)];
    let text = Report { checks }.to_string();
    assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 0 skipped"));
}
