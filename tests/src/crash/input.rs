//! The fixed input: rows and heartbeats of two ingest instances, with what goes wrong in life: a
//! resend, a message that is no Arrow, one that panics the engine, an instance that dies.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Log, Meta, Name, OutRecord, Producer, Writer, heartbeat};
use bytes::Bytes;

use super::toys::{PANICS, Row, batch};

/// Every topic of the run.
pub const TOPICS: &[&str] = &[
    "flows",
    "flows.dlq",
    "partials",
    "partials.dlq",
    "evidence",
    "evidence.dlq",
    "incidents",
    "snapshots.score",
    "snapshots.case",
];

/// The first second of the input, in ms: any will do.
pub const START_MS: i64 = 1_000_000;

struct Source {
    writer: Writer,
    next: i64,
}

/// Writes `seconds` of input to every partition of `flows`.
pub fn write(log: &dyn Log, prefix: &str, partitions: u32, seconds: i64) -> Result<()> {
    let mut producer = log.producer("ingest", "input")?;
    let seconds = by_second(prefix, partitions, seconds)?;
    seconds.iter().try_for_each(|records| send(producer.as_mut(), records))
}

/// The messages of each second, of all partitions.
pub fn by_second(prefix: &str, partitions: u32, seconds: i64) -> Result<Vec<Vec<OutRecord>>> {
    let topic: Arc<str> = Arc::from(format!("{prefix}flows"));
    let mut sources: Vec<[Source; 2]> =
        (0..partitions).map(|_| [Source::new("one"), Source::new("two")]).collect();
    let mut all = Vec::new();
    for second in 0..seconds {
        let mut records = Vec::new();
        for partition in 0..partitions {
            let sources = &mut sources[partition as usize];
            of_second(sources, &topic, partition, (second, seconds), &mut records)?;
        }
        all.push(records);
    }
    Ok(all)
}

fn of_second(
    sources: &mut [Source; 2],
    topic: &Arc<str>,
    partition: u32,
    (second, seconds): (i64, i64),
    records: &mut Vec<OutRecord>,
) -> Result<()> {
    let at = START_MS + second * 1_000;
    for (number, source) in sources.iter_mut().enumerate() {
        // The second instance dies in the middle; time goes on without it.
        if number == 1 && second > seconds / 2 {
            continue;
        }
        let key = |k: i64| format!("host-{}", (second * 7 + k + i64::from(partition)) % 5);
        let rows: Vec<Row> = (0..3).map(|k| (key(k), 1 + k, at + 100 * k)).collect();
        let message = source.rows(topic, partition, at, &rows)?;
        if second % 9 == 4 {
            records.push(message.clone());
        }
        records.push(message);
        let odd = seconds / 3;
        if number == 0 && second == odd {
            let mut broken = source.rows(topic, partition, at, &rows)?;
            broken.payload = Some(Bytes::from_static(b"no arrow at all"));
            records.push(broken);
        }
        if number == 0 && second == odd + 2 {
            let bad = [("host-0".to_owned(), PANICS, at)];
            records.push(source.rows(topic, partition, at, &bad)?);
        }
        let name = source.name();
        records.push(heartbeat(topic, partition, at + 1_000, name, "input", Vec::new()));
    }
    Ok(())
}

// === impl Source ===

impl Source {
    fn new(instance: &str) -> Source {
        let (stage, instance) = ("ingest".to_owned(), instance.to_owned());
        Source { writer: Writer::Instance { stage, instance, epoch: 1 }, next: 0 }
    }

    fn name(&mut self) -> Name {
        self.next += 1;
        Name { writer: self.writer.clone(), offset: self.next, index: 0 }
    }

    fn rows(
        &mut self,
        topic: &Arc<str>,
        partition: u32,
        at: i64,
        rows: &[Row],
    ) -> Result<OutRecord> {
        let meta = Meta {
            schema: "toy/1".to_owned(),
            schema_fp: "00".to_owned(),
            producer: "input".to_owned(),
            rows: u32::try_from(rows.len())?,
            min_ts_ms: at,
            max_ts_ms: at,
            wm_ms: Some(at),
            name: self.name(),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        };
        Ok(OutRecord {
            topic: Arc::clone(topic),
            partition,
            timestamp_ms: at,
            key: None,
            headers: meta.headers(),
            payload: Some(model::ipc::encode(&batch(rows))?),
        })
    }
}

/// Sends all and waits until all are delivered.
pub fn send(producer: &mut dyn Producer, records: &[OutRecord]) -> Result<()> {
    let failed = |producer: &mut dyn Producer, wait| -> Result<()> {
        for delivery in producer.poll(wait) {
            delivery.result.map_err(anyhow::Error::msg).context("the input was not taken")?;
        }
        Ok(())
    };
    for record in records {
        while producer.send(record)?.is_none() {
            failed(producer, Duration::from_millis(10))?;
        }
    }
    while producer.in_flight() > 0 {
        failed(producer, Duration::from_millis(100))?;
    }
    Ok(())
}
