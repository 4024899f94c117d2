//! What the loop does with input good and bad, and with commits that fail.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bus::{Admin, CommitError, Crashing, Writer};

use super::bed::{Bed, ingest};
use super::toy::{Kind, PANICS, REFUSED, SOON, TOO_LARGE, ToyStage};
use crate::admin::Readiness;
use crate::shutdown::Shutdown;
use crate::task::{LoopError, LoopOptions, run};

const KINDS: [Kind; 2] = [Kind::Snapshots, Kind::Chunks];

/// Ten seconds of two messages a second each, one key each, and heartbeats.
fn seconds(bed: &Bed, writer: &Writer, from: i64, to: i64) {
    for second in from..to {
        let at = second * 1_000;
        bed.rows(writer, at, &[("a", 1, at + 100)]);
        bed.rows(writer, at, &[("b", 10, at + 600)]);
        bed.beat(writer, at + 1_000);
    }
}

fn expected(to: i64) -> Vec<(String, i64, i64)> {
    let windows = (0..to / 2).map(|w| w * 2_000);
    let mut sums: Vec<(String, i64, i64)> =
        windows.flat_map(|w| [("a".to_owned(), 2, w), ("b".to_owned(), 20, w)]).collect();
    sums.sort();
    sums
}

#[test]
fn windows_close_by_the_input_alone() {
    for kind in KINDS {
        let bed = Bed::new();
        seconds(&bed, &ingest("i", 1), 0, 10);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(bed.sums(), expected(10), "{kind:?}");
        assert_eq!(report.messages, 30, "{kind:?}");
        assert_eq!(report.dead_letters, 0, "{kind:?}");
    }
}

#[test]
fn what_is_wanted_soon_is_committed_when_no_more_input_is_there() {
    let committed_at = |value: i64| {
        let mut bed = Bed::new();
        bed.options.commit_interval = Duration::from_secs(3_600);
        let writer = ingest("i", 1);
        bed.rows(&writer, 0, &[("a", value, 100)]);
        // More input goes before it: ten messages are one commit.
        (0..10).for_each(|n| bed.rows(&writer, 0, &[("a", 1, 200 + n)]));
        let report = bed.run(ToyStage(Kind::Snapshots)).expect("it stops when told");
        assert_eq!((report.commits, report.messages), (1, 11));
        bed.commits_at.lock().expect("no panic holds it")[0]
    };
    // A message takes 20 ms of the bed's clock, idling at least 50.
    assert!(committed_at(SOON) <= Duration::from_millis(500), "{:?}", committed_at(SOON));
    assert!(committed_at(1) > Duration::from_secs(1), "{:?}", committed_at(1));
}

#[test]
fn a_restart_goes_on_where_the_commit_stood() {
    for kind in KINDS {
        let whole = Bed::new();
        seconds(&whole, &ingest("i", 1), 0, 20);
        whole.run(ToyStage(kind)).expect("it stops when told");
        let parts = Bed::new();
        for part in 0..5 {
            seconds(&parts, &ingest("i", 1), part * 4, part * 4 + 4);
            parts.run(ToyStage(kind)).expect("it stops when told");
        }
        assert_eq!(parts.sums(), expected(20), "{kind:?}");
        assert_eq!(parts.names("out"), whole.names("out"), "{kind:?}");
    }
}

#[test]
fn a_message_seen_before_is_dropped() {
    for kind in KINDS {
        let bed = Bed::new();
        let writer = ingest("i", 1);
        let message = bed.message(&writer, 0, &[("a", 1, 100)]);
        bed.put(message.clone());
        bed.put(message.clone());
        bed.beat(&writer, 1_000);
        bed.run(ToyStage(kind)).expect("it stops when told");
        // A restart remembers it too.
        bed.put(message);
        bed.beat(&writer, 2_000);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(report.duplicates, 1, "{kind:?}");
        assert_eq!(bed.sums(), [("a".to_owned(), 1, 0)], "{kind:?}");
    }
}

/// It is no fault of the input: the message is taken, and the rest of what it made goes out.
#[test]
fn an_output_that_no_message_can_carry_goes_to_the_dead_letters_of_its_topic() {
    for kind in KINDS {
        let bed = Bed::new();
        let writer = ingest("i", 1);
        bed.rows(&writer, 0, &[("a", TOO_LARGE, 100), ("b", 1, 200)]);
        bed.beat(&writer, 3_000);
        bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(bed.sums(), [("b".to_owned(), 1, 0)], "{kind:?}");
        let letters = bed.all("out.dlq");
        let letters: Vec<_> = letters.iter().filter(|r| r.header("dlq-kind").is_some()).collect();
        let [letter] = letters.as_slice() else { panic!("{letters:?}") };
        assert_eq!(letter.header("dlq-kind"), Some("row-too-large"));
        assert_eq!(letter.header("dlq-topic"), Some("out"));
        assert_eq!(letter.header("dlq-reason"), Some("too large"));
        assert_eq!(letter.header("rows"), Some("1"));
        assert!(bed.all("in.dlq").is_empty());
    }
}

#[test]
fn what_cannot_be_read_goes_to_the_dead_letters_whole() {
    for kind in KINDS {
        let bed = Bed::new();
        let writer = ingest("i", 1);
        let mut broken = bed.message(&writer, 0, &[("a", 1, 100)]);
        broken.payload = Some(bytes::Bytes::from_static(b"not arrow"));
        let mut nameless = bed.message(&writer, 0, &[("a", 1, 100)]);
        nameless.headers.retain(|(name, _)| &**name != "name");
        bed.put(broken.clone());
        bed.put(nameless);
        bed.rows(&writer, 0, &[("a", REFUSED, 100)]);
        bed.rows(&writer, 0, &[("a", 5, 100)]);
        bed.beat(&writer, 2_000);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(report.dead_letters, 3, "{kind:?}");
        assert_eq!(bed.sums(), [("a".to_owned(), 5, 0)], "{kind:?}");
        let dead = bed.all("in.dlq");
        let kinds: Vec<_> = dead.iter().map(|record| record.header("dlq-kind")).collect();
        assert_eq!(kinds, [Some("payload"), Some("headers"), Some("value")], "{kind:?}");
        assert_eq!(dead[0].payload, broken.payload);
        assert_eq!(dead[0].header("dlq-offset"), Some("0"));
        assert_eq!(dead[0].header("dlq-first-seen"), Some("100"));
    }
}

#[test]
fn a_message_on_which_the_engine_panics_is_found_and_skipped() {
    for kind in KINDS {
        let bed = Bed::new();
        let writer = ingest("i", 1);
        seconds(&bed, &writer, 0, 4);
        bed.rows(&writer, 4_000, &[("a", 100, 4_100)]);
        bed.rows(&writer, 4_000, &[("a", PANICS, 4_200)]);
        bed.rows(&writer, 4_000, &[("a", 200, 4_300)]);
        bed.beat(&writer, 5_000);
        bed.beat(&writer, 6_000);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!((report.panics, report.dead_letters), (1, 1), "{kind:?}");
        let mut wanted = expected(4);
        wanted.push(("a".to_owned(), 300, 4_000));
        wanted.sort();
        assert_eq!(bed.sums(), wanted, "{kind:?}");
        let dead = bed.all("in.dlq");
        assert_eq!(dead[0].header("dlq-offset"), Some("13"));
        assert_eq!(dead[0].header("dlq-kind"), Some("panic"));
        // A restart that reads the message again for its state does not panic any more.
        bed.beat(&writer, 7_000);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(report.panics, 0, "{kind:?}");
        assert_eq!(bed.all("in.dlq").len(), 1, "{kind:?}");
    }
}

#[test]
fn a_stage_stops_before_it_drains_a_topic() {
    let bed = Bed::new();
    let writer = ingest("i", 1);
    for at in 0..200 {
        let value = if at % 10 == 0 { REFUSED } else { 1 };
        bed.rows(&writer, at * 10, &[("a", value, at * 10)]);
    }
    let error = bed.run(ToyStage(Kind::Snapshots)).expect_err("one in ten is too many");
    assert!(matches!(error, LoopError::Breaker { dead: 11, messages: 101, .. }), "{error}");
}

#[test]
fn a_commit_that_failed_is_made_again_and_once() {
    for kind in KINDS {
        let plain = Bed::new();
        seconds(&plain, &ingest("i", 1), 0, 20);
        plain.run(ToyStage(kind)).expect("it stops when told");
        let bed = Bed::new();
        seconds(&bed, &ingest("i", 1), 0, 20);
        let errors =
            ["aborted", "unknown", "aborted", "aborted", "unknown"].map(|what| match what {
                "unknown" => CommitError::Indeterminate(what.to_owned()),
                _ => CommitError::Aborted(what.to_owned()),
            });
        bed.commit_errors.lock().expect("no panic holds it").extend(errors);
        let report = bed.run(ToyStage(kind)).expect("it stops when told");
        assert_eq!(report.commits_failed, 5, "{kind:?}");
        assert_eq!(bed.sums(), expected(20), "{kind:?}");
        assert_eq!(bed.names("out"), plain.names("out"), "{kind:?}");
    }
}

#[test]
fn a_fenced_instance_ends() {
    let bed = Bed::new();
    seconds(&bed, &ingest("i", 1), 0, 4);
    let fenced = CommitError::Fenced("epoch".to_owned());
    bed.commit_errors.lock().expect("no panic holds it").push(fenced);
    let error = bed.run(ToyStage(Kind::Snapshots)).expect_err("it is fenced");
    assert!(matches!(error, LoopError::Fenced(_)), "{error}");
}

#[test]
fn a_name_that_is_taken_ends_a_start() {
    let bed = Bed::new();
    let log: &dyn bus::Log = &*bed.log;
    let _other = log.join("toy", "a", &["in".to_owned()]).expect("the group is empty");
    let error = bed.run(ToyStage(Kind::Snapshots)).expect_err("the other lives");
    assert!(matches!(error, LoopError::NameTaken(_)), "{error}");
}

fn make_again(bed: &Bed) {
    bed.log.delete("in").expect("it is there");
    let settings = std::collections::BTreeMap::new();
    let (name, replication) = ("in".to_owned(), 1);
    let spec = bus::topics::TopicSpec { name, partitions: 1, replication, settings };
    bed.log.create(&spec).expect("it is gone");
}

#[test]
fn a_topic_made_again_under_committed_offsets_is_refused() {
    for kind in KINDS {
        let bed = Bed::new();
        seconds(&bed, &ingest("i", 1), 0, 4);
        bed.run(ToyStage(kind)).expect("it stops when told");
        make_again(&bed);
        let error = bed.run(ToyStage(kind)).expect_err("the offsets are of another topic");
        assert!(matches!(error, LoopError::TopicMadeAgain { .. }), "{error}");
    }
}

#[test]
fn a_topic_made_again_under_a_running_stage_ends_it() {
    let bed = Bed::new();
    seconds(&bed, &ingest("i", 1), 0, 4);
    let (log, shutdown) = (bed.log.clone(), Shutdown::new());
    let options = LoopOptions::new("a", "snapshots.toy.v1");
    std::thread::scope(|scope| {
        let stop = &shutdown;
        let running = scope.spawn(move || run(log, ToyStage(Kind::Snapshots), options, stop));
        let deadline = Instant::now() + Duration::from_secs(60);
        while bed.sums().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        make_again(&bed);
        while !running.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        shutdown.request();
        let error = running.join().expect("it does not panic").expect_err("it cannot go on");
        assert!(matches!(error, LoopError::TopicMadeAgain { .. }), "{error}");
    });
}

#[test]
fn an_instance_is_ready_when_its_tasks_are_restored() {
    let mut bed = Bed::new();
    bed.options.snapshots.interval = Duration::from_secs(3_600);
    seconds(&bed, &ingest("i", 1), 0, 4);
    bed.run(ToyStage(Kind::Snapshots)).expect("it stops when told");
    // What it says at each call of the log on its way, by dying there.
    let mut said = BTreeSet::new();
    for at in 1..2_000 {
        let readiness = Readiness::default();
        bed.options.ready = Some(readiness.condition("toy", "not in its group yet"));
        let log = Crashing::new(bed.log.clone(), Some(at));
        let ended = bed.run_on(log, ToyStage(Kind::Snapshots));
        let Some((_, why)) = readiness.unmet().pop() else { break };
        assert!(ended.is_err(), "it has ended well and never was ready: {why}");
        said.insert(why);
    }
    let wanted = ["0 of 1 tasks are restored", "not in its group yet"];
    assert_eq!(said.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

#[test]
fn late_rows_go_beside_the_topic_with_their_rules() {
    let bed = Bed::new();
    let writer = ingest("i", 1);
    seconds(&bed, &writer, 0, 6);
    bed.rows(&writer, 6_000, &[("a", 7, 100)]);
    bed.beat(&writer, 7_000);
    bed.run(ToyStage(Kind::Snapshots)).expect("it stops when told");
    assert_eq!(bed.sums(), expected(6));
    let late = bed.all("in.late");
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].header("late-rules"), Some("toy"));
    assert_eq!(late[0].header("schema"), Some("in/1"));
}

#[test]
fn snapshots_are_written_pointed_to_and_restored_from() {
    let bed = Bed::new();
    seconds(&bed, &ingest("i", 1), 0, 101);
    let report = bed.run(ToyStage(Kind::Snapshots)).expect("it stops when told");
    assert!(report.snapshots >= 2, "{report:?}");
    seconds(&bed, &ingest("i", 1), 101, 102);
    let report = bed.run(ToyStage(Kind::Snapshots)).expect("it stops when told");
    assert_eq!(report.messages, 3, "{report:?}");
    assert_eq!(bed.sums(), expected(102));
}
