//! An ingest instance as the log sees it: flows under names that rise, a heartbeat a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use bus::config::LimitsConfig;
use bus::{Log, Meta, Name, OutRecord, Outgoing, Producer, Time, Where, Writer, frame, heartbeat};
use model::schema;

const SOURCES: [&str; 3] = ["flows.v1", "metrics.v1", "events.v1"];

pub struct Feed {
    producer: Box<dyn Producer>,
    prefix: String,
    partitions: u32,
    sequence: i64,
    limits: LimitsConfig,
}

// === impl Feed ===

impl Feed {
    pub fn new(log: &dyn Log, prefix: &str, partitions: u32) -> Result<Feed> {
        let producer = log.producer("ingest", "bench")?;
        // A message of 5,000 rows of all these columns is above the usual aim of 250 KB.
        let limits = LimitsConfig { bytes_aim: 900_000, ..LimitsConfig::default() };
        Ok(Feed { producer, prefix: prefix.to_owned(), partitions, sequence: 0, limits })
    }

    /// Sends one message of flows; its bytes.
    pub fn flows(&mut self, partition: u32, batch: RecordBatch, at_ms: i64) -> Result<u64> {
        let topic = schema::flows();
        let meta = Meta {
            schema: topic.header(),
            schema_fp: schema::fingerprint(&batch.schema()),
            producer: "bench".to_owned(),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: Some(at_ms),
            name: self.name(),
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        };
        let outgoing = Outgoing {
            topic: Arc::from(format!("{}flows.v1", self.prefix)),
            to: Where::Fixed(partition),
            batch,
            key: None,
            time: Time::Column("received".to_owned()),
            meta,
        };
        let framed = frame(outgoing, self.partitions, &self.limits)?;
        let mut bytes = 0;
        for record in &framed.records {
            bytes += record.payload.as_ref().map_or(0, |payload| payload.len() as u64);
            send(self.producer.as_mut(), record)?;
        }
        Ok(bytes)
    }

    /// Says to every partition of every source that time has come to `wm_ms`.
    pub fn heartbeats(&mut self, wm_ms: i64) -> Result<()> {
        for source in SOURCES {
            let topic: Arc<str> = Arc::from(format!("{}{source}", self.prefix));
            for partition in 0..self.partitions {
                let name = self.name();
                let beat = heartbeat(&topic, partition, wm_ms, name, "bench", Vec::new());
                send(self.producer.as_mut(), &beat)?;
            }
        }
        Ok(())
    }

    /// Waits until all of it is on the log.
    pub fn finish(&mut self) -> Result<()> {
        drain(self.producer.as_mut())
    }

    fn name(&mut self) -> Name {
        self.sequence += 1;
        let (stage, instance) = ("ingest".to_owned(), "bench".to_owned());
        let writer = Writer::Instance { stage, instance, epoch: 1 };
        Name { writer, offset: self.sequence, index: 0 }
    }
}

/// Sends a record, waiting while the queue is full.
pub fn send(producer: &mut dyn Producer, record: &OutRecord) -> Result<()> {
    while producer.send(record)?.is_none() {
        reported(producer, Duration::from_millis(10))?;
    }
    if producer.in_flight() % 1_000 == 999 {
        reported(producer, Duration::ZERO)?;
    }
    Ok(())
}

/// Waits for all deliveries.
pub fn drain(producer: &mut dyn Producer) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while producer.in_flight() > 0 {
        anyhow::ensure!(Instant::now() < deadline, "the broker does not take the input");
        reported(producer, Duration::from_millis(100))?;
    }
    Ok(())
}

fn reported(producer: &mut dyn Producer, wait: Duration) -> Result<()> {
    for delivery in producer.poll(wait) {
        delivery.result.map_err(anyhow::Error::msg).context("the input was not taken")?;
    }
    Ok(())
}
