//! What is the embedded log's own: restart on disk, two processes, retention, compaction, latency.
//! What both engines promise is in the conformance suite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::EmbeddedLog;
use super::groups::{Group, Step};
use crate::config::BusConfig;
use crate::log::{Committed, Event, Log, LogError, ReadEvent, TaskId, Transaction};
use crate::record::OutRecord;
use crate::topics::TopicSpec;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(1);

fn topic(log: &dyn Log, name: &str, partitions: u32, settings: &[(&str, &str)]) {
    let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        settings: settings.collect::<BTreeMap<_, _>>(),
    };
    log.admin().create(&spec).unwrap();
}

fn record(topic: &str, partition: u32, timestamp_ms: i64, payload: Vec<u8>) -> OutRecord {
    OutRecord {
        topic: Arc::from(topic),
        partition,
        timestamp_ms,
        key: None,
        headers: vec![(Arc::from("h"), Bytes::from_static(&[0, 255, 1]))],
        payload: Some(Bytes::from(payload)),
    }
}

fn send_all(log: &dyn Log, records: Vec<OutRecord>) {
    let mut producer = log.producer("t", "i").unwrap();
    let deadline = Instant::now() + LONG * 6;
    for record in records {
        while producer.send(&record).unwrap().is_none() {
            assert!(Instant::now() < deadline, "the log does not take it");
            producer.poll(LONG);
        }
    }
    while producer.in_flight() > 0 {
        for delivery in producer.poll(LONG) {
            delivery.result.unwrap();
        }
    }
}

fn read_all(log: &dyn Log, topic: &str, partition: u32) -> Vec<crate::record::Record> {
    let mut reader = log.reader().unwrap();
    let (start, _) = reader.range(topic, partition).unwrap();
    reader.assign(&[(topic.to_owned(), partition, start)]).unwrap();
    let mut all = Vec::new();
    loop {
        match reader.poll(LONG).unwrap() {
            ReadEvent::Record(record) => all.push(record),
            ReadEvent::End { .. } => return all,
            ReadEvent::Idle => panic!("no end within {LONG:?}"),
        }
    }
}

fn on_disk(dir: &std::path::Path) -> BusConfig {
    let mut config = BusConfig::default();
    config.embedded.path = Some(dir.join("log.redb"));
    config
}

#[test]
fn a_log_on_disk_is_as_it_was_after_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let task = TaskId { topic: Arc::from("a"), partition: 1 };
    let id = {
        let log = EmbeddedLog::open(&config).unwrap();
        topic(&log, "a", 2, &[]);
        let mut tasks = log.join("s", "i", &["a".to_owned()]).unwrap();
        assert!(matches!(tasks.next(LONG).unwrap(), Event::Assigned(t) if t.len() == 2));
        let position = Committed { offset: 7, metadata: "note".to_owned() };
        let outputs = vec![record("a", 1, 5, vec![1, 2, 3])];
        let positions = vec![(task.clone(), position)];
        tasks.commit(Transaction { outputs, positions }).unwrap();
        log.core.shared.state().topic("a").unwrap().topic.id()
    };
    let log = EmbeddedLog::open(&config).unwrap();
    assert_eq!(log.admin().describe("a").unwrap().unwrap().id, id);
    assert_eq!(read_all(&log, "a", 1)[0].payload.as_deref(), Some(&[1, 2, 3][..]));
    let mut tasks = log.join("s", "i", &["a".to_owned()]).unwrap();
    let committed = tasks.committed(&task).unwrap().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (7, "note"));
}

#[test]
fn a_second_open_of_the_same_file_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let _log = EmbeddedLog::open(&config).unwrap();
    let error = EmbeddedLog::open(&config).err().unwrap().to_string();
    assert!(error.contains("another process has it open"), "{error}");
}

#[test]
fn old_chunks_go_by_time_and_a_reader_below_the_start_hears_so() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[("retention.ms", "1000")]);
    // Three chunks' worth of records, a second apart from chunk to chunk.
    let records = (0..3_500i64).map(|i| record("a", 0, i, vec![0; 10]));
    send_all(&log, records.collect());
    let mut reader = log.reader().unwrap();
    let (start, end) = reader.range("a", 0).unwrap();
    assert_eq!(end, 3_500);
    assert_eq!(start, 2 * 1_024, "chunks whose largest time is below 3,499 - 1,000 are gone");
    let error = reader.assign(&[("a".to_owned(), 0, start - 1)]).unwrap_err();
    assert!(matches!(error, LogError::Truncated { start: 2_048, wanted: 2_047, .. }), "{error}");
}

#[test]
fn old_chunks_go_by_size() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[("retention.bytes", "10000000")]);
    send_all(&log, (0..100).map(|i| record("a", 0, i, vec![0; 500_000])).collect());
    assert!(log.bytes() < 15_000_000, "{}", log.bytes());
    assert!(log.bytes() > 5_000_000, "{}", log.bytes());
    let left = read_all(&log, "a", 0);
    assert_eq!(left.last().unwrap().offset, 99);
}

#[test]
fn offsets_by_time_are_exact_across_chunks() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[]);
    send_all(&log, (0..3_000i64).map(|i| record("a", 0, i * 10, vec![0; 4])).collect());
    let mut reader = log.reader().unwrap();
    for offset in [0, 1, 1_023, 1_024, 1_500, 2_999] {
        assert_eq!(reader.offset_at("a", 0, offset * 10).unwrap(), offset);
        assert_eq!(reader.offset_at("a", 0, offset * 10 - 9).unwrap(), offset);
    }
    assert_eq!(reader.offset_at("a", 0, 29_991).unwrap(), 3_000);
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_each_key() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[("cleanup.policy", "compact")]);
    let keyed = |i: i64| {
        let key = Some(Bytes::from(format!("k{}", i % 10)));
        OutRecord { key, ..record("a", 0, i, i.to_le_bytes().to_vec()) }
    };
    send_all(&log, (0..5_000).map(keyed).collect());
    let left = read_all(&log, "a", 0);
    // One commit removes a bounded number; the next ones go on.
    send_all(&log, (5_000..5_010).map(keyed).collect());
    assert!(left.len() < 4_500);
    let mut last = BTreeMap::new();
    for record in read_all(&log, "a", 0) {
        last.insert(record.key.unwrap(), record.payload.unwrap());
    }
    let values: Vec<i64> =
        last.values().map(|v| i64::from_le_bytes(v[..].try_into().unwrap())).collect();
    assert_eq!(values, (5_000..5_010).collect::<Vec<_>>());
}

/// What keeps its superseded records for a week (incidents, with a heartbeat a second) filled a log
/// of bounded size after days, and then nobody had anything to write that would have made room.
#[test]
fn superseded_records_make_room_before_their_time() {
    let mut config = BusConfig::default();
    config.embedded.bytes_max = 4 << 20;
    let log = EmbeddedLog::open(&config).unwrap();
    let week = [("cleanup.policy", "compact,delete"), ("min.compaction.lag.ms", "604800000")];
    topic(&log, "a", 1, &week);
    topic(&log, "b", 1, &[]);
    let keyed = |i: i64| {
        let key = Some(Bytes::from(format!("k{}", i % 3)));
        OutRecord { key, ..record("a", 0, i, vec![0; 1_000]) }
    };
    send_all(&log, (0..20_000).map(keyed).collect());
    send_all(&log, vec![record("b", 0, 1, vec![0; 10])]);
    let left = read_all(&log, "a", 0);
    assert_eq!(left.last().unwrap().offset, 19_999);
    let keys: BTreeSet<Bytes> = left.iter().rev().take(3).filter_map(|r| r.key.clone()).collect();
    assert_eq!(keys.len(), 3, "the last of each key is there");
    assert!(log.bytes() <= 4 << 20, "{}", log.bytes());
}

#[test]
fn a_member_whose_name_joins_again_is_evicted() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[]);
    let inputs = ["a".to_owned()];
    let mut old = log.join("s", "i", &inputs).unwrap();
    assert!(matches!(old.next(LONG).unwrap(), Event::Assigned(_)));
    let mut new = log.join("s", "i", &inputs).unwrap();
    assert!(matches!(new.next(LONG).unwrap(), Event::Assigned(_)));
    assert!(matches!(old.next(LONG).unwrap(), Event::Revoked(_)));
    assert!(old.next(SHORT).is_err());
    let error = old.commit(Transaction::default()).unwrap_err();
    assert!(matches!(error, crate::CommitError::Fenced(_)), "{error}");
    drop(old);
    assert_eq!(log.admin().members("s").unwrap(), ["i"]);
}

#[test]
fn tasks_are_shared_evenly_and_stay_where_they_are() {
    let tasks: Vec<TaskId> =
        (0..7).map(|partition| TaskId { topic: Arc::from("a"), partition }).collect();
    let inputs = ["a".to_owned()];
    let mut group = Group::default();
    let mut owned: BTreeMap<u64, Vec<TaskId>> = BTreeMap::new();
    for id in 1..=4u64 {
        group.join(id, &format!("i{id}"), &inputs);
        group.rebalance(&tasks);
        let mut quiet = 0;
        while quiet < 2 {
            quiet += 1;
            for id in 1..=id {
                match group.step(id) {
                    Step::Assigned(new) => owned.entry(id).or_default().extend(new),
                    Step::Revoked(gone) => {
                        owned.get_mut(&id).unwrap().retain(|task| !gone.contains(task));
                    }
                    _ => continue,
                }
                quiet = 0;
            }
        }
        let mut sizes: Vec<usize> = owned.values().map(Vec::len).collect();
        sizes.sort_unstable();
        let even = 7 / owned.len();
        assert!(sizes.iter().all(|n| (even..=even + 1).contains(n)), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 7);
    }
}

#[test]
fn a_waiting_reader_hears_of_a_commit_at_once() {
    let log = EmbeddedLog::in_memory().unwrap();
    topic(&log, "a", 1, &[]);
    let mut reader = log.reader().unwrap();
    reader.assign(&[("a".to_owned(), 0, 0)]).unwrap();
    assert!(matches!(reader.poll(LONG).unwrap(), ReadEvent::End { next: 0, .. }));
    let (sender, received) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 200 {
            if let ReadEvent::Record(_) = reader.poll(LONG).unwrap() {
                seen += 1;
                sender.send(Instant::now()).unwrap();
            }
        }
    });
    let mut producer = log.producer("t", "i").unwrap();
    let mut took = Vec::new();
    for i in 0..200 {
        let sent = Instant::now();
        producer.send(&record("a", 0, i, vec![0; 100])).unwrap();
        took.push(received.recv().unwrap() - sent);
        producer.poll(LONG);
    }
    thread.join().unwrap();
    took.sort_unstable();
    println!("send to read: median {:?}, 90 % {:?}", took[100], took[180]);
    assert!(took[100] < Duration::from_millis(20), "{:?}", took[100]);
}

#[test]
fn a_full_log_drops_what_nobody_waits_for_and_puts_producers_off_for_the_rest() {
    let mut config = BusConfig::default();
    config.embedded.bytes_max = 20_000_000;
    let log = EmbeddedLog::open(&config).unwrap();
    topic(&log, "free", 1, &[]);
    topic(&log, "read", 1, &[]);
    let payload = vec![0; 500_000];
    send_all(&log, (0..100).map(|i| record("free", 0, i, payload.clone())).collect());
    assert!(log.bytes() < 26_000_000, "{}", log.bytes());

    let mut tasks = log.join("s", "i", &["read".to_owned()]).unwrap();
    assert!(matches!(tasks.next(LONG).unwrap(), Event::Assigned(_)));
    let mut producer = log.producer("t", "i").unwrap();
    let mut sent = 0;
    let deadline = Instant::now() + LONG;
    let mut put_off = 0;
    // What the stage has not committed stays: in the end nothing more is taken.
    while put_off < 100 {
        assert!(Instant::now() < deadline, "{sent} sent");
        match producer.send(&record("read", 0, sent, payload.clone())).unwrap() {
            Some(_) => (sent, put_off) = (sent + 1, 0),
            None => put_off += 1,
        }
        producer.poll(SHORT);
    }
    let mut reader = log.reader().unwrap();
    assert_eq!(reader.range("read", 0).unwrap().0, 0);
    // Its commit makes room.
    let task = TaskId { topic: Arc::from("read"), partition: 0 };
    let position = Committed { offset: sent, metadata: String::new() };
    let positions = vec![(task, position)];
    tasks.commit(Transaction { outputs: Vec::new(), positions }).unwrap();
    assert!(producer.send(&record("read", 0, sent, payload)).unwrap().is_some());
    assert!(reader.range("read", 0).unwrap().0 > 0);
}
