//! The parts of the run that need no broker: captures, softflowd's words, verdicts, streams of
//! polls.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use model::rows::{Entity, Grouping, Incident, IncidentState, Member};

use super::pcap::Capture;
use super::relay::Asked;
use super::softflowd::{Exported, statistics};
use super::streams::{Gaps, is_one, polls};
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

/// Requests of one device at milliseconds, by the pollers of these ports.
fn asked(begun: Instant, requests: &[(u64, u16)]) -> Vec<Asked> {
    let one = |&(at_ms, port): &(u64, u16)| Asked {
        device: 0,
        at: begun + Duration::from_millis(at_ms),
        from: SocketAddr::from(([127, 0, 0, 1], port)),
    };
    requests.iter().map(one).collect()
}

#[test]
fn a_device_polled_by_two_at_a_time_is_seen() {
    let interval = Duration::from_secs(1);
    let is_one = |requests: &[(u64, u16)]| {
        let polls = polls(&asked(Instant::now(), requests), 0);
        is_one(&polls, interval).is_ok()
    };
    assert!(is_one(&[(0, 1), (5, 1), (1_000, 1), (4_000, 2), (5_000, 2)]));
    assert!(!is_one(&[(0, 1), (3, 2), (1_000, 1), (1_003, 2)]), "both, in step");
    assert!(!is_one(&[(0, 1), (1_000, 2), (2_000, 1)]), "in turn");
    assert!(!is_one(&[(0, 1), (450, 1), (1_000, 1)]), "twice in an interval");
    assert!(!is_one(&[(0, 1), (1_000, 1), (1_200, 2)]), "the next one before its time");
}

#[test]
fn gaps_are_told_apart_by_what_lies_in_them() {
    let begun = Instant::now();
    let requests =
        [(0, 1), (1_000, 1), (2_500, 2), (2_510, 2), (3_500, 2), (9_500, 3), (10_500, 3)];
    let mut gaps = Gaps::default();
    gaps.add(&polls(&asked(begun, &requests), 0), begun + Duration::from_millis(4_000));
    let ms = Duration::from_millis;
    let wanted = Gaps { same: ms(1_000), handed_on: ms(1_500), across: ms(6_000) };
    assert_eq!(gaps, wanted);
}
