//! Who is waited for, as tables: a script of messages, and time after each.

use bus::{Name, Writer};

use super::bed::ingest;
use crate::task::writers::{Beat, Changes, Seen, Waiting, Writers};

/// Seconds are written as 1 for 1,000 ms.
struct Script {
    writers: Writers,
    sequence: i64,
    changes: Changes,
}

// === impl Script ===

impl Script {
    fn new(waiting: Waiting) -> Script {
        Script { writers: Writers::new(waiting, 4), sequence: 0, changes: Changes::default() }
    }

    fn instances() -> Script {
        Script::new(Waiting::Instances { left_out_after: 10, grace_ms: 0 })
    }

    fn beat(&mut self, writer: &Writer, second: i64) -> Option<i64> {
        self.say(writer, second, Beat::Heartbeat)
    }

    fn say(&mut self, writer: &Writer, second: i64, beat: Beat) -> Option<i64> {
        self.sequence += 1;
        let name = Name { writer: writer.clone(), offset: self.sequence, index: 0 };
        let wm = Some(second * 1_000);
        self.writers.see(&name, wm, beat, self.sequence, &mut self.changes);
        self.writers.watermarks().least().map(|wm| wm / 1_000)
    }
}

#[test]
fn one_of_two_dead_stalls_for_ten_heartbeats() {
    let mut script = Script::instances();
    let (a, b) = (ingest("a", 1), ingest("b", 1));
    script.beat(&a, 5);
    assert_eq!(script.beat(&b, 5), Some(5));
    // b dies; a goes on.
    for second in 6..15 {
        assert_eq!(script.beat(&a, second), Some(5), "second {second}");
    }
    assert_eq!(script.beat(&a, 15), Some(15));
    assert_eq!(script.changes.left_out, 1);
    // It comes back: time does not go back, and waits for it again.
    assert_eq!(script.beat(&b, 7), Some(15));
    assert_eq!(script.beat(&a, 16), Some(15));
    assert_eq!(script.beat(&b, 16), Some(16));
}

#[test]
fn three_writers_do_not_count_each_others_beats_together() {
    let mut script = Script::instances();
    let (a, b, c) = (ingest("a", 1), ingest("b", 1), ingest("c", 1));
    for writer in [&a, &b, &c] {
        script.beat(writer, 1);
    }
    for second in 2..11 {
        script.beat(&a, second);
        assert_eq!(script.beat(&b, second), Some(1), "second {second}");
    }
    assert_eq!(script.changes.left_out, 0);
    script.beat(&a, 11);
    assert_eq!(script.changes.left_out, 1);
}

#[test]
fn the_only_one_killed_stops_time_until_its_successor_speaks() {
    let mut script = Script::instances();
    script.beat(&ingest("a", 1), 5);
    assert_eq!(script.beat(&ingest("a", 2), 9), Some(9));
    // The old one's last words, from a spool: read, not waited for.
    assert_eq!(script.say(&ingest("a", 1), 5, Beat::Rows), Some(9));
    assert_eq!(script.beat(&ingest("a", 2), 10), Some(10));
    assert_eq!(script.changes.left_out, 0);
}

#[test]
fn another_instance_takes_over_after_ten_beats() {
    let mut script = Script::instances();
    script.beat(&ingest("a", 1), 5);
    let b = ingest("b", 1);
    for second in 6..15 {
        assert_eq!(script.beat(&b, second), Some(5));
    }
    assert_eq!(script.beat(&b, 15), Some(15));
}

#[test]
fn rows_are_a_sign_of_life() {
    let mut script = Script::instances();
    let (a, b) = (ingest("a", 1), ingest("b", 1));
    for second in 1..40 {
        script.beat(&a, second);
        script.say(&b, second, Beat::Rows);
    }
    assert_eq!(script.changes.left_out, 0);
    assert_eq!(script.writers.watermarks().least(), Some(39_000));
}

#[test]
fn grace_waits_for_newcomers() {
    let mut script = Script::new(Waiting::Instances { left_out_after: 10, grace_ms: 1_000 });
    assert_eq!(script.beat(&ingest("a", 1), 5), Some(4));
}

fn task(partition: u32) -> Writer {
    Writer::Task { stage: "rollup".to_owned(), topic_id: "t".to_owned(), partition }
}

#[test]
fn tasks_are_waited_for_until_all_have_spoken() {
    let sources = vec![("flows".to_owned(), vec![task(0), task(1)])];
    let mut script = Script::new(Waiting::Tasks { sources });
    assert_eq!(script.beat(&task(0), 5), None);
    // One that is not expected does not count.
    assert_eq!(script.beat(&ingest("console", 1), 9), None);
    assert_eq!(script.beat(&task(1), 7), Some(5));
    assert_eq!(script.writers.watermarks().of_source("flows"), Some(5_000));
    assert_eq!(script.writers.watermarks().of_source("metrics"), None);
    // Silence does not leave a task out.
    for second in 6..60 {
        script.beat(&task(0), second);
    }
    assert_eq!(script.writers.watermarks().least(), Some(7_000));
}

#[test]
fn a_full_table_forgets_only_whom_nobody_waits_for() {
    let mut script = Script::instances();
    for epoch in 1..=4 {
        script.beat(&ingest("a", epoch), epoch as i64);
    }
    script.beat(&ingest("b", 1), 5);
    assert_eq!(script.changes.evicted, 1);
    for other in ["c", "d", "e"] {
        script.beat(&ingest(other, 1), 5);
    }
    assert_eq!((script.changes.evicted, script.writers.len()), (3, 4));
    let name = Name { writer: ingest("e", 1), offset: 99, index: 0 };
    let seen = script.writers.see(&name, None, Beat::Rows, 99, &mut Changes::default());
    assert_eq!(seen, Seen::Refused);
}

#[test]
fn the_table_survives_being_saved_anywhere() {
    let (a, b) = (ingest("a", 1), ingest("b", 1));
    let mut whole = Script::instances();
    let mut parts = Script::instances();
    for second in 1..30 {
        for (script, restart) in [(&mut whole, false), (&mut parts, true)] {
            script.beat(&a, second);
            if second < 5 || second > 25 {
                script.beat(&b, second);
            }
            if restart {
                let text = serde_json::to_string(&script.writers.save()).expect("it is JSON");
                let mut fresh = Script::instances().writers;
                let saved = serde_json::from_str(&text).expect("it is JSON");
                fresh.restore(&saved).expect("it is ours");
                script.writers = fresh;
            }
        }
        assert_eq!(whole.writers.save(), parts.writers.save());
        assert_eq!(whole.writers.watermarks(), parts.writers.watermarks());
    }
    assert_eq!(whole.changes, parts.changes);
}
