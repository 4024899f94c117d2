//! The fixed input: flows, metrics and events of two ingest instances, with a SYN flood, a hot CPU
//! and a link that goes down in every cycle, and with what goes wrong in life: a resend, a message
//! that is no Arrow, one that panics the engine, rows that are late, an instance that dies. What
//! happens to the network on correlate's map is `story`'s.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use bus::{Meta, Name, OutRecord, Outgoing, Producer, Time, Where, Writer, frame, heartbeat};
use bytes::Bytes;
use detect::engine::{PANE, RULE};
use detect::rules::Source;
use model::rows::{Event, Metric, Quality};
use model::{DEFAULT_DOMAIN, addr};
use runtime::task::Input;

use super::stages::{Stages, wide};
use super::{memory, story};

/// The first second of the input, in ms: any will do that begins a window.
pub const START_MS: i64 = 1_000_000;
/// Seconds after which it all begins again, with another victim.
pub const CYCLE_S: i64 = 24;

/// Seconds of a cycle in which something happens.
const FLOOD: std::ops::Range<i64> = 4..8;
const FLOOD_WORSE: i64 = 6;
const HOT: std::ops::Range<i64> = 6..10;
const LINK_DOWN: i64 = 5;
const LINK_UP: i64 = 7;
const NO_ARROW: i64 = 3;
const POISON: i64 = 5;
const LATE: i64 = 9;
/// How late those rows are: their windows have closed.
const LATE_MS: i64 = 7_000;
/// The pane on whose states score's engine panics, in seconds of a cycle.
const POISON_PANE: i64 = 4;

const SYN: u16 = 2;
/// SYN, ACK, PSH and FIN: a connection that was.
const WHOLE: u16 = 27;
const POISON_HEADER: &str = "poison";

/// Whether rollup's engine is to panic on a message.
pub fn is_poison_to_rollup(input: &Input<'_>) -> bool {
    input.meta.extra.iter().any(|(name, _)| name == POISON_HEADER)
}

/// Whether score's engine is to panic on a message: the states of one rule's pane in each cycle.
pub fn is_poison_to_score(input: &Input<'_>) -> bool {
    let header = |wanted: &str| {
        let found = input.meta.extra.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let pane: Option<i64> = header(PANE).and_then(|pane| pane.parse().ok());
    let at = |pane: i64| (pane - START_MS).rem_euclid(CYCLE_S * 1_000);
    header(RULE) == Some("cpu") && pane.map(at) == Some(POISON_PANE * 1_000)
}

/// The messages of each second, of all partitions of all sources. Those that name an incident need
/// a run without them first.
pub fn by_second(stages: &Stages, seconds: i64) -> Result<Vec<Vec<OutRecord>>> {
    let nameless = with_ids(stages, seconds, &story::Ids::default())?;
    let incidents = memory::incidents(&stages.bus, &nameless.concat())?;
    with_ids(stages, seconds, &story::Ids::of(&incidents))
}

fn with_ids(stages: &Stages, seconds: i64, ids: &story::Ids) -> Result<Vec<Vec<OutRecord>>> {
    let (wide, narrow) = (wide(&stages.bus), stages.bus.topics.partitions_other);
    let sources = [(Source::Flows, wide), (Source::Metrics, narrow), (Source::Events, narrow)];
    let mut feeds = Vec::new();
    for (source, partitions) in sources {
        let topic: Arc<str> = Arc::from(stages.bus.topic(&format!("{}.v1", source.as_str())));
        feeds.extend((0..partitions).map(|partition| Feed {
            source,
            topic: Arc::clone(&topic),
            partition,
            partitions,
            sent: [0; INSTANCES.len()],
        }));
    }
    let of_second = |second| {
        let mut records = story::evidence(stages, second, ids)?;
        for feed in &mut feeds {
            feed.second(second, seconds, &mut records)?;
        }
        Ok(records)
    };
    (0..seconds).map(of_second).collect()
}

const INSTANCES: [&str; 2] = ["one", "two"];

/// One partition of a source, with what each instance has sent there.
struct Feed {
    source: Source,
    topic: Arc<str>,
    partition: u32,
    partitions: u32,
    sent: [i64; INSTANCES.len()],
}

// === impl Feed ===

impl Feed {
    fn second(&mut self, second: i64, seconds: i64, records: &mut Vec<OutRecord>) -> Result<()> {
        let at = START_MS + second * 1_000;
        for instance in 0..INSTANCES.len() {
            if second == 0 {
                records.push(self.beat(instance, at));
            }
            // The second instance dies in the middle; time goes on without it.
            if instance == 1 && second > seconds / 2 {
                continue;
            }
            if let Some(batch) = self.rows(instance, second, at)? {
                let message = self.message(instance, at, &batch, Vec::new())?;
                if second % 9 == 4 {
                    records.push(message.clone());
                }
                records.push(message);
            }
            if instance == 0 && self.source == Source::Flows {
                self.trouble(second, at, records)?;
            }
            records.push(self.beat(instance, at + 1_000));
        }
        Ok(())
    }

    /// The first stands before any row: all tasks begin at the same time.
    fn beat(&mut self, instance: usize, wm_ms: i64) -> OutRecord {
        let (name, producer) = (self.name(instance), INSTANCES[instance]);
        heartbeat(&self.topic, self.partition, wm_ms, name, producer, Vec::new())
    }

    fn trouble(&mut self, second: i64, at: i64, records: &mut Vec<OutRecord>) -> Result<()> {
        let batch = |at| flows(&[Flow::ordinary(at, 1), Flow::ordinary(at, 2)]);
        match second % CYCLE_S {
            NO_ARROW if self.partition == 0 => {
                let mut broken = self.message(0, at, &batch(at)?, Vec::new())?;
                broken.payload = Some(Bytes::from_static(b"no arrow at all"));
                records.push(broken);
            }
            POISON if self.partition + 1 == self.partitions => {
                let poison = vec![(POISON_HEADER.to_owned(), String::new())];
                records.push(self.message(0, at, &batch(at)?, poison)?);
            }
            LATE if self.partition == 0 => {
                records.push(self.message(0, at, &batch(at - LATE_MS)?, Vec::new())?);
            }
            _ => {}
        }
        Ok(())
    }

    fn rows(&self, instance: usize, second: i64, at: i64) -> Result<Option<RecordBatch>> {
        let phase = second % CYCLE_S;
        Ok(match (self.source, instance) {
            (Source::Flows, 0) => Some(flows(&self.flows(second, at))?),
            (Source::Flows, _) => Some(flows(&[Flow::ordinary(at, 7)])?),
            (Source::Metrics, 0) => {
                let value = if HOT.contains(&phase) { 95.0 } else { 40.0 };
                let value = value + 0.1 * phase as f64;
                let rows = [self.cpu(at, value), self.cpu(at + 500, value + 1.0 / 3.0)];
                Some(Metric::to_batch(&rows)?)
            }
            (Source::Events, 0) => {
                let rows = self.events(second, at);
                if rows.is_empty() { None } else { Some(Event::to_batch(&rows)?) }
            }
            _ => None,
        })
    }

    fn flows(&self, second: i64, at: i64) -> Vec<Flow> {
        let phase = second % CYCLE_S;
        let lone = Flow { flags: SYN, packets: 1, ..Flow::ordinary(at + 300, 9) };
        let mut rows = vec![Flow::ordinary(at, 1), Flow::ordinary(at + 100, 2), lone];
        if FLOOD.contains(&phase) {
            let victim = [198, 51, 100, (second / CYCLE_S % 200) as u8];
            let packets = if phase >= FLOOD_WORSE { 40 } else { 10 };
            rows.extend((0..12).map(|source| Flow {
                at: at + 50 * i64::from(source),
                src: [10, self.partition as u8, phase as u8, source],
                dst: victim,
                flags: SYN,
                packets,
            }));
        }
        rows
    }

    fn cpu(&self, received_ms: i64, value: f64) -> Metric {
        Metric {
            domain: DEFAULT_DOMAIN.to_owned(),
            received_ms,
            device: format!("router-{}", self.partition),
            entity: None,
            metric: "cpu_usage".to_owned(),
            value,
            rate: None,
            quality: Quality::Ok,
            device_time_ms: None,
            instance: None,
        }
    }

    /// A switch that is not on the map, and those that are.
    fn events(&self, second: i64, at: i64) -> Vec<Event> {
        let mut rows = match second % CYCLE_S {
            LINK_DOWN => vec![self.link(at, "down")],
            LINK_UP => vec![self.link(at, "up")],
            _ => Vec::new(),
        };
        rows.extend(story::events(second, self.partition, self.partitions));
        rows
    }

    fn link(&self, received_ms: i64, state: &str) -> Event {
        Event {
            domain: DEFAULT_DOMAIN.to_owned(),
            received_ms,
            device: format!("switch-{}", self.partition),
            entity: Some("eth0".to_owned()),
            kind: "link".to_owned(),
            state: Some(state.to_owned()),
            severity: None,
            device_time_ms: None,
            text: None,
        }
    }

    fn name(&mut self, instance: usize) -> Name {
        self.sent[instance] += 1;
        let (stage, name) = ("ingest".to_owned(), INSTANCES[instance].to_owned());
        let writer = Writer::Instance { stage, instance: name, epoch: 1 };
        Name { writer, offset: self.sent[instance], index: 0 }
    }

    fn message(
        &mut self,
        instance: usize,
        at: i64,
        batch: &RecordBatch,
        extra: Vec<(String, String)>,
    ) -> Result<OutRecord> {
        let schema = self.source.schema();
        let meta = Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: INSTANCES[instance].to_owned(),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: Some(at),
            name: self.name(instance),
            config_fp: None,
            replay_id: None,
            extra,
        };
        let outgoing = Outgoing {
            topic: Arc::clone(&self.topic),
            to: Where::Fixed(self.partition),
            batch: model::schema::prune(batch),
            key: None,
            time: Time::Column("received".to_owned()),
            meta,
        };
        let mut framed = frame(outgoing, self.partitions, &Default::default())?.records;
        framed.pop().context("a batch of a few rows is one message")
    }
}

struct Flow {
    at: i64,
    src: [u8; 4],
    dst: [u8; 4],
    flags: u16,
    packets: u64,
}

// === impl Flow ===

impl Flow {
    fn ordinary(at: i64, host: u8) -> Flow {
        Flow { at, src: [10, 9, 0, host], dst: [10, 9, 1, host % 4], flags: WHOLE, packets: 5 }
    }
}

fn flows(rows: &[Flow]) -> Result<RecordBatch> {
    let n = rows.len();
    let addresses = |of: &dyn Fn(&Flow) -> [u8; 4]| -> Result<ArrayRef> {
        let all = rows.iter().map(|row| addr::mapped(Ipv4Addr::from(of(row)).into()));
        Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(all)?))
    };
    let numbers = |of: &dyn Fn(&Flow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
    };
    let received = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.at));
    let flags = UInt16Array::from_iter_values(rows.iter().map(|row| row.flags));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(StringArray::from(vec![DEFAULT_DOMAIN; n]))),
        ("received", Arc::new(received.with_timezone("UTC"))),
        ("exporter", addresses(&|_| [192, 0, 2, 1])?),
        ("observation_domain", Arc::new(UInt32Array::from(vec![0; n]))),
        ("export_version", Arc::new(UInt8Array::from(vec![9; n]))),
        ("src_addr", addresses(&|row| row.src)?),
        ("dst_addr", addresses(&|row| row.dst)?),
        ("protocol", Arc::new(UInt8Array::from(vec![6; n]))),
        ("tcp_flags", Arc::new(flags)),
        ("bytes", numbers(&|row| row.packets * 40)),
        ("packets", numbers(&|row| row.packets)),
        ("bytes_scaled", numbers(&|row| row.packets * 40)),
        ("packets_scaled", numbers(&|row| row.packets)),
        ("notes", Arc::new(UInt32Array::from(vec![0; n]))),
    ];
    Ok(model::schema::flows().conform(&RecordBatch::try_from_iter(columns)?)?)
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
