//! The past that an engine asks for: every partition, from its time on, up to what is there.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::bed::{Bed, ingest};
use super::toy::rows;
use crate::task::engine::{Engine, History};
use crate::task::metrics::Tally;
use crate::task::{BadMessage, Count, Input, Outputs, history};

struct Asks {
    since_ms: Option<i64>,
    found: Vec<i64>,
    read: u32,
}

impl Engine for Asks {
    fn message(&mut self, _: &Input<'_>, _: &mut Outputs) -> Result<(), BadMessage> {
        Ok(())
    }

    fn history_wanted(&self) -> Option<History> {
        Some(History { topic: "out".to_owned(), since_ms: self.since_ms })
    }

    fn history(&mut self, batch: &RecordBatch) {
        let values: Vec<i64> = rows(batch).into_iter().map(|row| row.1).collect();
        assert!(!values.contains(&666), "an engine may fail on what it finds");
        self.found.extend(values);
    }

    fn history_read(&mut self) -> Vec<Count> {
        self.read += 1;
        Vec::new()
    }
}

fn found(bed: &Bed, since_ms: Option<i64>) -> Vec<i64> {
    let mut engine = Asks { since_ms, found: Vec::new(), read: 0 };
    history::read(&*bed.log, &mut engine, &mut Tally::default()).expect("it is read");
    assert_eq!(engine.read, 1);
    engine.found.sort_unstable();
    engine.found
}

#[test]
fn the_past_is_read_from_all_partitions_and_what_is_broken_is_passed_over() {
    let bed = Bed::new();
    assert!(found(&bed, None).is_empty(), "an empty topic has no past");
    let put = |value: i64, at_ms: i64| {
        let mut record = bed.message(&ingest("i", 1), 0, &[("a", value, at_ms)]);
        record.topic = Arc::from("out");
        record.partition = (value % 2) as u32;
        bed.put(record);
    };
    for value in 0..10 {
        put(value, value * 1_000);
    }
    put(666, 20_000);
    let mut broken = bed.message(&ingest("i", 1), 0, &[("a", 12, 21_000)]);
    broken.topic = Arc::from("out");
    broken.payload = Some("no arrow".into());
    bed.put(broken);
    put(13, 22_000);
    assert_eq!(found(&bed, None), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13]);
    assert_eq!(found(&bed, Some(7_500)), [8, 9, 13]);
    assert!(found(&bed, Some(1_000_000)).is_empty());
}
