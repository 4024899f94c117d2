//! A snapshot that was begun and given up must not be heard of in the next one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::config::LimitsConfig;
use bus::{Delivery, LogError, OutRecord, Producer, TaskId};
use bytes::Bytes;

use crate::task::snapshot::{Catalog, Snapshots, Taken};
use crate::task::stamp::Stamper;
use crate::task::{Block, SnapshotOptions};

/// What was sent, and whether it is delivered.
#[derive(Default)]
struct Wire {
    waiting: Vec<Delivery>,
    sent: u64,
    open: bool,
}

struct Slow(Arc<Mutex<Wire>>);

impl Producer for Slow {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        let mut wire = self.0.lock().unwrap();
        let (ticket, record) = (wire.sent, record.clone());
        wire.waiting.push(Delivery { ticket, result: Ok(ticket as i64), record });
        wire.sent += 1;
        Ok(Some(ticket))
    }

    fn poll(&mut self, _: Duration) -> Vec<Delivery> {
        let mut wire = self.0.lock().unwrap();
        if wire.open { std::mem::take(&mut wire.waiting) } else { Vec::new() }
    }

    fn in_flight(&self) -> usize {
        self.0.lock().unwrap().waiting.len()
    }
}

fn taken(task: &TaskId) -> Taken {
    Taken {
        task: task.clone(),
        topic_id: "t".to_owned(),
        at: 5,
        taken_ms: 0,
        state: serde_json::from_str(r#"{"s":null,"t":{"wm":null,"w":[]}}"#).unwrap(),
        blocks: vec![Block { name: "b".to_owned(), data: Bytes::from_static(b"state") }],
    }
}

#[test]
fn a_snapshot_given_up_is_not_heard_of_in_the_next_of_the_same_offset() {
    let stamper = Stamper {
        stage: "toy".to_owned(),
        version: String::new(),
        config_fp: String::new(),
        partitions: BTreeMap::new(),
        heartbeats: Vec::new(),
        limits: LimitsConfig::default(),
    };
    let wire = Arc::new(Mutex::new(Wire::default()));
    let producer = Box::new(Slow(wire.clone()));
    let mut snapshots = Snapshots::new(&stamper, 1, SnapshotOptions::new("snapshots"), producer);
    let task = TaskId { topic: Arc::from("in"), partition: 0 };
    let begin = |snapshots: &mut Snapshots| {
        snapshots.begin(taken(&task), &Catalog::new(), u64::MAX, 0).unwrap();
    };
    begin(&mut snapshots);
    assert!(snapshots.poll(0).unwrap().is_empty());
    snapshots.forget(&task);
    begin(&mut snapshots);
    wire.lock().unwrap().open = true;
    let mut ended = Vec::new();
    for _ in 0..4 {
        ended.extend(snapshots.poll(0).unwrap());
    }
    let [(_, Some(done))] = &ended[..] else {
        panic!("{} ended", ended.len());
    };
    // The piece given up was the first message, its successor the second, then its manifest.
    assert_eq!((done.pointer.at, done.pointer.o), (5, 2));
    assert!(snapshots.is_idle());
}
