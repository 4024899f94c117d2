//! The past that an engine asks for once its state is restored: committed rows of one topic, up to
//! what the topic holds now. What of it counts is the engine's own matter, and must follow from the
//! rows and the state alone: a second restore finds what was written since, too.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bus::{Log, LogError, Meta, ReadEvent, Reader, Record};

use super::engine::{Engine, History};
use super::metrics::{self, Tally};

/// One wait for a record; after `WAITS_MAX` of them in a row the log counts as silent.
const WAIT: Duration = Duration::from_millis(100);
const WAITS_MAX: u32 = 300;

/// Reads the history that the engine asks for, if it asks, and hands it over.
pub fn read<E: Engine>(log: &dyn Log, engine: &mut E, tally: &mut Tally) -> Result<(), LogError> {
    let Some(wanted) = engine.history_wanted() else {
        return Ok(());
    };
    let mut reader = log.reader()?;
    let mut ends = assign(log, reader.as_mut(), &wanted)?;
    let (mut waits, mut rows, mut unreadable) = (0, 0, 0);
    while !ends.is_empty() {
        match reader.poll(WAIT)? {
            ReadEvent::Record(record) => {
                waits = 0;
                match hand_over(engine, &record) {
                    Some(taken) => rows += taken,
                    None => unreadable += 1,
                }
                passed(&mut ends, record.partition, record.offset + 1);
            }
            ReadEvent::End { partition, next, .. } => passed(&mut ends, partition, next),
            ReadEvent::Idle => waits += 1,
        }
        if waits > WAITS_MAX {
            let limit = WAIT * WAITS_MAX;
            return Err(LogError::Timeout { call: "history", limit });
        }
    }
    tally.add(metrics::HISTORY_ROWS, "", "", rows);
    tally.add(metrics::HISTORY_UNREADABLE, "", "", unreadable);
    for count in engine.history_read() {
        let (label, value) = count.labels.into_iter().next().unwrap_or(("", String::new()));
        tally.add(count.metric, label, &value, count.step);
    }
    Ok(())
}

/// Every partition from the wanted time on, and where each one ends now.
fn assign(
    log: &dyn Log,
    reader: &mut dyn Reader,
    wanted: &History,
) -> Result<BTreeMap<u32, i64>, LogError> {
    let topic = &wanted.topic;
    let info = log.admin().describe(topic)?.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
    let (mut from, mut ends) = (Vec::new(), BTreeMap::new());
    for partition in 0..info.partitions {
        let (start, end) = reader.range(topic, partition)?;
        let first = match wanted.since_ms {
            Some(since_ms) => reader.offset_at(topic, partition, since_ms)?.max(start),
            None => start,
        };
        if first < end {
            from.push((topic.clone(), partition, first));
            ends.insert(partition, end);
        }
    }
    reader.assign(&from)?;
    Ok(ends)
}

fn passed(ends: &mut BTreeMap<u32, i64>, partition: u32, next: i64) {
    if ends.get(&partition).is_some_and(|end| next >= *end) {
        ends.remove(&partition);
    }
}

/// Rows that the engine took; `None` where the record is none that can be read.
fn hand_over<E: Engine>(engine: &mut E, record: &Record) -> Option<u64> {
    let meta = Meta::parse(record).ok()?;
    if meta.rows == 0 {
        return Some(0);
    }
    let payload = record.payload.as_ref()?;
    let batch = model::ipc::decode(payload, model::ipc::Limits::default()).ok()?;
    let take = AssertUnwindSafe(|| engine.history(&batch));
    catch_unwind(take).ok()?;
    Some(batch.num_rows() as u64)
}
