//! A run that copies one topic to another, crashed at every point there is and taken over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Crashing;
use crate::embedded::EmbeddedLog;
use crate::log::{CommitError, Committed, Event, Log, LogError, ReadEvent, TaskId, Transaction};
use crate::record::OutRecord;
use crate::topics::TopicSpec;

const LONG: Duration = Duration::from_secs(10);
const RECORDS: u8 = 5;

fn record(topic: &str, n: u8) -> OutRecord {
    OutRecord {
        topic: Arc::from(topic),
        partition: 0,
        timestamp_ms: i64::from(n),
        key: None,
        headers: Vec::new(),
        payload: Some(Bytes::from(vec![n])),
    }
}

fn log() -> Arc<dyn Log> {
    let log = EmbeddedLog::in_memory().unwrap();
    for name in ["in", "out"] {
        let (name, settings) = (name.to_owned(), BTreeMap::new());
        log.admin().create(&TopicSpec { name, partitions: 1, replication: 1, settings }).unwrap();
    }
    let mut producer = log.producer("feeder", "f").unwrap();
    for n in 0..RECORDS {
        producer.send(&record("in", n)).unwrap();
    }
    while producer.in_flight() > 0 {
        producer.poll(LONG);
    }
    Arc::new(log)
}

/// Copies until all is copied, or dead.
fn copy(log: &dyn Log) -> Result<(), CommitError> {
    let mut tasks = log.join("copy", "i", &["in".to_owned()])?;
    let id = TaskId { topic: Arc::from("in"), partition: 0 };
    let mut done = 0;
    while done < i64::from(RECORDS) {
        match tasks.next(LONG)? {
            Event::Assigned(_) => {
                done = tasks.committed(&id)?.map_or(0, |at| at.offset);
                tasks.start(&id, done)?;
            }
            Event::Record(found) => {
                done = found.offset + 1;
                let outputs = vec![record("out", found.payload.unwrap()[0])];
                let position = Committed { offset: done, metadata: String::new() };
                tasks.commit(Transaction { outputs, positions: vec![(id.clone(), position)] })?;
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(tasks.leave(LONG)?)
}

fn copied(log: &dyn Log) -> Vec<u8> {
    let mut reader = log.reader().unwrap();
    reader.assign(&[("out".to_owned(), 0, 0)]).unwrap();
    let mut seen = Vec::new();
    while let ReadEvent::Record(record) = reader.poll(LONG).unwrap() {
        seen.push(record.payload.unwrap()[0]);
    }
    seen
}

#[test]
fn whatever_the_point_of_the_crash_each_record_is_copied_once() {
    let counting = Crashing::new(log(), None);
    copy(&*counting).unwrap();
    let points = counting.points();
    assert!(points > 20, "{points}");
    for at in 1..=points {
        let log = log();
        let crashing = Crashing::new(Arc::clone(&log), Some(at));
        let error = copy(&*crashing).unwrap_err();
        assert!(matches!(error, CommitError::Log(LogError::CrashPoint(k)) if k == at), "{error}");
        assert!(crashing.is_dead());
        // A restart under the same name, as of a process.
        copy(&*log).unwrap();
        assert_eq!(copied(&*log), (0..RECORDS).collect::<Vec<_>>(), "point {at}");
    }
}

#[test]
fn the_dead_stay_dead() {
    let crashing = Crashing::new(log(), Some(3));
    let mut tasks = crashing.join("copy", "i", &["in".to_owned()]).unwrap();
    assert!(tasks.next(LONG).is_err());
    assert!(tasks.next(LONG).is_err());
    assert!(crashing.admin().describe("in").is_err());
    assert!(crashing.producer("p", "i").is_err());
}
