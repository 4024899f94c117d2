//! `config.v1` as it lies on the log: one configuration a message, key stage/fingerprint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use bus::{
    BusConfig, Log, Meta, Name, OutRecord, Outgoing, ReadEvent, Record, Time, Where, Writer, frame,
};
use bytes::Bytes;
use model::schema;

use super::{ActiveConfigError, Decisive, Published, Publisher, TOPIC};

/// For reading a small topic to its end and for one delivery.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

/// The active configuration of a stage. A message that is not one is skipped with a warning.
pub fn read(
    log: &dyn Log,
    bus: &BusConfig,
    stage: &str,
) -> Result<Option<Published>, ActiveConfigError> {
    let topic = bus.topic(TOPIC);
    let partitions = partitions(log, &topic)?;
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    for partition in 0..partitions {
        let (start, end) = reader.range(&topic, partition)?;
        if start < end {
            from.push((topic.clone(), partition, start));
        }
    }
    reader.assign(&from)?;
    let mut open: Vec<u32> = from.iter().map(|(_, partition, _)| *partition).collect();
    let mut active: Option<Published> = None;
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        match reader.poll(POLL)? {
            ReadEvent::End { partition, .. } => open.retain(|p| *p != partition),
            ReadEvent::Record(record) => {
                let found = published(&record, bus).filter(|found| found.stage == stage);
                active = active.into_iter().chain(found).max_by(by_rank);
            }
            ReadEvent::Idle => {}
        }
        if Instant::now() > deadline {
            let reason = format!("partitions {open:?} did not end within {PATIENCE:?}");
            return Err(ActiveConfigError::Unreadable { topic, reason });
        }
    }
    Ok(active)
}

/// The same winner for every reader, in whatever order partitions are read.
fn by_rank(a: &Published, b: &Published) -> std::cmp::Ordering {
    (a.serial, &a.fingerprint).cmp(&(b.serial, &b.fingerprint))
}

pub(super) fn publish(
    log: &dyn Log,
    bus: &BusConfig,
    decisive: &Decisive,
    serial: u64,
    publisher: Publisher<'_>,
) -> Result<(), ActiveConfigError> {
    let failed =
        |reason: String| ActiveConfigError::Publish { stage: decisive.stage.clone(), reason };
    let topic = bus.topic(TOPIC);
    let partitions = partitions(log, &topic)?;
    let outgoing = outgoing(&topic, decisive, serial, publisher).map_err(failed)?;
    let framed = frame(outgoing, partitions, &bus.limits).map_err(|e| failed(e.to_string()))?;
    let [record] = framed.records.as_slice() else {
        return Err(failed("it does not fit one message".to_owned()));
    };
    deliver(log, record, publisher.instance)?.map_err(failed)
}

/// Sends one record; the inner result is its delivery report.
fn deliver(
    log: &dyn Log,
    record: &OutRecord,
    instance: &str,
) -> Result<Result<(), String>, ActiveConfigError> {
    let mut producer = log.producer("config", instance)?;
    let deadline = Instant::now() + PATIENCE;
    let mut ticket = None;
    while Instant::now() < deadline {
        if ticket.is_none() {
            ticket = producer.send(record)?;
        }
        for delivery in producer.poll(POLL) {
            if Some(delivery.ticket) == ticket {
                return Ok(delivery.result.map(|_| ()));
            }
        }
    }
    Ok(Err(format!("no delivery report within {PATIENCE:?}")))
}

fn partitions(log: &dyn Log, topic: &str) -> Result<u32, ActiveConfigError> {
    let info = log.admin().describe(topic)?;
    info.map(|i| i.partitions).ok_or_else(|| ActiveConfigError::NoTopic(topic.to_owned()))
}

fn outgoing(
    topic: &str,
    decisive: &Decisive,
    serial: u64,
    publisher: Publisher<'_>,
) -> Result<Outgoing, String> {
    let schema = schema::config();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let from = TimestampMillisecondArray::from(vec![publisher.now_ms]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        text(&decisive.stage),
        text(&decisive.fingerprint),
        Arc::new(UInt64Array::from(vec![serial])),
        Arc::new(from),
        text(publisher.instance),
        text(&decisive.text),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema.arrow), columns);
    let instance = publisher.instance;
    let writer = Writer::Instance {
        stage: "config".to_owned(),
        instance: instance.to_owned(),
        epoch: serial,
    };
    Ok(Outgoing {
        topic: Arc::from(topic),
        to: Where::ByColumn("fingerprint".to_owned()),
        batch: batch.map_err(|e| e.to_string())?,
        key: Some(Bytes::from(format!("{}/{}", decisive.stage, decisive.fingerprint))),
        time: Time::At(publisher.now_ms),
        meta: Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: format!("config {instance} {}", crate::telemetry::VERSION),
            rows: 1,
            min_ts_ms: publisher.now_ms,
            max_ts_ms: publisher.now_ms,
            wm_ms: None,
            name: Name { writer, offset: 0, index: 0 },
            config_fp: Some(decisive.fingerprint.clone()),
            replay_id: None,
            extra: Vec::new(),
        },
    })
}

fn published(record: &Record, bus: &BusConfig) -> Option<Published> {
    // A tombstone takes a configuration out of the topic.
    record.payload.as_ref()?;
    match decode(record, bus) {
        Ok(published) => Some(published),
        Err(reason) => {
            let (topic, partition, offset) = (&*record.topic, record.partition, record.offset);
            tracing::warn!(topic, partition, offset, reason, "not a configuration, skipped");
            None
        }
    }
}

fn decode(record: &Record, bus: &BusConfig) -> Result<Published, String> {
    let (_, batch) = bus::frame::read(record, &bus.limits).map_err(|e| e.to_string())?;
    let batch = schema::config().conform(&batch).map_err(|e| e.to_string())?;
    if batch.num_rows() != 1 {
        return Err(format!("{} rows where one is wanted", batch.num_rows()));
    }
    let text = |name: &str| -> Result<String, String> {
        Ok(column::<StringArray>(&batch, name)?.value(0).to_owned())
    };
    Ok(Published {
        stage: text("stage")?,
        fingerprint: text("fingerprint")?,
        serial: column::<UInt64Array>(&batch, "serial")?.value(0),
        from_ms: column::<TimestampMillisecondArray>(&batch, "from")?.value(0),
        instance: text("instance")?,
        text: text("text")?,
    })
}

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<A>());
    column.ok_or_else(|| format!("no column {name} of the schema's type"))
}
