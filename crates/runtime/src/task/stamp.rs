//! Outputs of one message as records for the log: partitions, headers, names, heartbeats, dead
//! letters. Everything here follows from the message and the state, so a repeated run makes the
//! same records again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::config::LimitsConfig;
use bus::frame::{DeadLetter, FrameError, dead_letter};
use bus::{Meta, Name, OutRecord, Outgoing, Record, Time, Where, Writer, frame, heartbeat};
use bytes::Bytes;

use super::engine::BadMessage;
use super::outputs::{Count, Dead, Emitted, Late, Out, Outputs, Place, Raw};

/// What all tasks of a stage stamp with.
#[derive(Debug)]
pub struct Stamper {
    pub stage: String,
    pub version: String,
    pub config_fp: String,
    /// Partitions of every topic that outputs, dead letters and late rows go to.
    pub partitions: BTreeMap<String, u32>,
    /// Where heartbeats go: every partition of every output topic.
    pub heartbeats: Vec<(Arc<str>, u32)>,
    pub limits: LimitsConfig,
}

/// What one or more messages made, to be committed together.
#[derive(Debug, Default)]
pub struct Made {
    pub records: Vec<OutRecord>,
    pub counts: Vec<Count>,
    pub bytes: usize,
    pub urgent: bool,
    /// See `Outputs::soon`.
    pub soon: bool,
    pub rows_late: u64,
    /// Dead letters by their bounded reason.
    pub dead: Vec<&'static str>,
}

/// Stamps the outputs of one message of one task.
pub struct Stamp<'a> {
    stamper: &'a Stamper,
    writer: &'a Writer,
    record: &'a Record,
    /// The watermark sent before.
    wm_ms: Option<i64>,
    index: u32,
    /// The name of the output at hand, where it is not that of the message.
    own: Option<Name>,
    made: Made,
}

// === impl Made ===

impl Made {
    pub fn append(&mut self, mut later: Made) {
        self.records.append(&mut later.records);
        self.counts.append(&mut later.counts);
        self.dead.append(&mut later.dead);
        self.bytes += later.bytes;
        self.rows_late += later.rows_late;
        self.urgent |= later.urgent;
        self.soon |= later.soon;
    }

    /// Whether the message itself could not be taken: not what it made.
    pub fn is_dead(&self) -> bool {
        self.dead.iter().any(|reason| *reason != ROW_TOO_LARGE)
    }

    fn push(&mut self, record: OutRecord) {
        self.bytes += record.payload.as_ref().map_or(0, Bytes::len);
        self.records.push(record);
    }
}

// === impl Stamp ===

impl<'a> Stamp<'a> {
    pub fn new(
        stamper: &'a Stamper,
        writer: &'a Writer,
        record: &'a Record,
        wm_ms: Option<i64>,
    ) -> Stamp<'a> {
        Stamp { stamper, writer, record, wm_ms, index: 0, own: None, made: Made::default() }
    }

    /// The records of what an engine handed out, and the watermark that was sent at their end.
    pub fn outputs(mut self, outputs: Outputs) -> (Made, Option<i64>) {
        self.made.soon = outputs.is_soon();
        let (emitted, watermark_ms, counts) = outputs.into_parts();
        self.made.counts = counts;
        for (emitted, own) in emitted {
            self.own = own;
            let framed = match emitted {
                Emitted::Data(out) => {
                    self.made.urgent |= out.urgent;
                    self.data(out)
                }
                Emitted::Raw(raw) => {
                    self.made.urgent |= raw.urgent;
                    self.raw(raw);
                    Ok(())
                }
                Emitted::Late(late) => self.late(late),
                Emitted::Dead(dead) => {
                    self.refused(dead);
                    Ok(())
                }
            };
            if let Err(error) = framed {
                self.letter(&BadMessage::new("frame", error));
            }
        }
        self.own = None;
        let sent = sent_after(watermark_ms, self.wm_ms);
        for wm in steps(self.wm_ms, sent) {
            self.heartbeats(wm);
        }
        (self.made, sent)
    }

    /// The watermark that `outputs` would have sent.
    pub fn sent_after(&self, outputs: &Outputs) -> Option<i64> {
        sent_after(outputs.watermark_ms(), self.wm_ms)
    }

    pub fn dead(mut self, bad: &BadMessage) -> Made {
        self.letter(bad);
        self.made
    }

    /// What was lost of the input, as an output of the last lost message.
    pub fn only(mut self, out: Out) -> Made {
        if let Err(error) = self.data(out) {
            self.letter(&BadMessage::new("frame", error));
        }
        self.made
    }

    fn data(&mut self, out: Out) -> Result<(), FrameError> {
        let partitions = self.partitions(&out.topic);
        let to = match out.place {
            Place::ByColumn(column) => Where::ByColumn(column),
            Place::ByKey(key) => Where::Fixed(bus::partition::partition(&key, partitions)),
            Place::Fixed(partition) => Where::Fixed(partition),
            Place::Spread => Where::Spread(self.seed()),
        };
        let meta = self.meta(out.schema, out.schema_fp, out.headers);
        self.frame(Outgoing {
            topic: Arc::from(out.topic),
            to,
            batch: out.batch,
            key: out.key,
            time: Time::Between(out.min_ts_ms, out.max_ts_ms),
            meta,
        })
    }

    /// A message as it is, under a name like every other output.
    fn raw(&mut self, raw: Raw) {
        let bytes = raw.payload.len();
        if bytes > self.stamper.limits.bytes_max {
            let detail = format!("a message of {bytes} bytes for {}", raw.topic);
            return self.letter(&BadMessage { reason: ROW_TOO_LARGE, detail });
        }
        let partitions = self.partitions(&raw.topic).max(1);
        let partition = match &raw.place {
            Place::ByKey(key) => bus::partition::partition(key, partitions),
            Place::Fixed(partition) => *partition % partitions,
            Place::ByColumn(_) | Place::Spread => (self.seed() % u64::from(partitions)) as u32,
        };
        let own = [
            ("content-type".to_owned(), raw.content_type),
            ("producer".to_owned(), self.producer()),
            ("name".to_owned(), self.name().to_string()),
        ];
        let headers = own.into_iter().chain(raw.headers);
        self.index += 1;
        self.made.push(OutRecord {
            topic: Arc::from(raw.topic),
            partition,
            timestamp_ms: raw.timestamp_ms,
            key: raw.key,
            headers: headers.map(|(n, v)| (Arc::from(n), Bytes::from(v))).collect(),
            payload: Some(raw.payload),
        });
    }

    fn late(&mut self, late: Late) -> Result<(), FrameError> {
        let topic = format!("{}{}", self.record.topic, LATE);
        let headers = vec![
            ("late-rules".to_owned(), late.rules.join(",")),
            ("late-reason".to_owned(), late.reason.to_owned()),
        ];
        self.made.rows_late += late.batch.num_rows() as u64;
        let Meta { schema, schema_fp, min_ts_ms, max_ts_ms, .. } = late.meta;
        let meta = self.meta(schema, schema_fp, headers);
        let partition = self.record.partition % self.partitions(&topic).max(1);
        self.frame(Outgoing {
            topic: Arc::from(topic),
            to: Where::Fixed(partition),
            batch: late.batch,
            key: None,
            time: Time::Between(min_ts_ms, max_ts_ms),
            meta,
        })
    }

    fn frame(&mut self, outgoing: Outgoing) -> Result<(), FrameError> {
        let partitions = self.partitions(&outgoing.topic);
        let topic = Arc::clone(&outgoing.topic);
        let framed = frame(outgoing, partitions, &self.stamper.limits)?;
        self.index += u32::try_from(framed.records.len()).expect("a batch has u32 rows");
        for record in framed.records {
            self.made.push(record);
        }
        for refused in framed.refused {
            let detail = format!("a row of {} bytes for {topic}", refused.bytes);
            self.letter(&BadMessage { reason: ROW_TOO_LARGE, detail });
        }
        Ok(())
    }

    fn heartbeats(&mut self, wm_ms: i64) {
        let producer = self.producer();
        for (topic, partition) in &self.stamper.heartbeats {
            let name = self.name();
            self.index += 1;
            let mut beat = heartbeat(topic, *partition, wm_ms, name, &producer, Vec::new());
            if bus::topics::is_compacted(topic) {
                beat.key = Some(Bytes::from(format!("heartbeat/{producer}")));
            }
            self.made.push(beat);
        }
    }

    /// The message whole, on `<topic>.dlq`. It keeps its own headers, so ours have names of their
    /// own.
    fn letter(&mut self, bad: &BadMessage) {
        self.letter_of(self.record, bad);
    }

    fn letter_of(&mut self, dead: &Record, bad: &BadMessage) {
        let letter =
            DeadLetter { stage: &self.stamper.stage, kind: bad.reason, reason: &bad.detail };
        let mut record = dead_letter(dead, &letter);
        record.partition = dead.partition % self.partitions(&record.topic).max(1);
        let mut put = |name: &str, value: String| {
            record.headers.push((Arc::from(name), Bytes::from(value)));
        };
        put("dlq-first-seen", self.record.timestamp_ms.to_string());
        put("dlq-name", self.name().to_string());
        self.index += 1;
        self.made.dead.push(bad.reason);
        self.made.push(record);
    }

    /// An output that no message can carry, as the dead letter of its own topic.
    fn refused(&mut self, dead: Dead) {
        let Dead { out, kind, reason } = dead;
        let mut meta = self.meta(out.schema, out.schema_fp, out.headers);
        meta.rows = u32::try_from(out.batch.num_rows()).expect("a batch has u32 rows");
        (meta.min_ts_ms, meta.max_ts_ms) = (out.min_ts_ms, out.max_ts_ms);
        let record = Record {
            topic: Arc::from(out.topic),
            partition: self.record.partition,
            // It never was on its topic.
            offset: -1,
            timestamp_ms: self.record.timestamp_ms,
            key: out.key,
            headers: meta.headers(),
            payload: model::ipc::encode(&out.batch).ok(),
        };
        self.letter_of(&record, &BadMessage { reason: kind, detail: reason });
    }

    fn meta(&self, schema: String, schema_fp: String, extra: Vec<(String, String)>) -> Meta {
        Meta {
            schema,
            schema_fp,
            producer: self.producer(),
            rows: 0,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: self.wm_ms,
            name: self.name(),
            config_fp: Some(self.stamper.config_fp.clone()),
            replay_id: None,
            extra,
        }
    }

    fn name(&self) -> Name {
        if let Some(own) = &self.own {
            return own.clone();
        }
        Name { writer: self.writer.clone(), offset: self.record.offset, index: self.index }
    }

    fn producer(&self) -> String {
        let Stamper { stage, version, .. } = self.stamper;
        format!("{stage}/{}/{}/{version}", self.record.topic, self.record.partition)
    }

    /// Counts up over the messages and outputs of one task.
    fn seed(&self) -> u64 {
        let offset = u64::try_from(self.record.offset).unwrap_or(0);
        offset.wrapping_add(u64::from(self.index)).wrapping_add(u64::from(self.record.partition))
    }

    fn partitions(&self, topic: &str) -> u32 {
        self.stamper.partitions.get(topic).copied().unwrap_or(0)
    }
}

/// Why an output went to the dead letters that no message can carry.
pub const ROW_TOO_LARGE: &str = "row-too-large";

/// Behind an input topic's name: rows that came after their window closed.
pub const LATE: &str = ".late";
/// Behind an input topic's name: messages that could not be taken.
pub const DEAD: &str = ".dlq";

/// The last watermark sent: a new one goes out when it enters a new second (DESIGN §4), as that
/// second's start. Time that moves in whole seconds moves alike however writers interleave.
fn sent_after(wm_ms: Option<i64>, sent: Option<i64>) -> Option<i64> {
    let second = wm_ms.map(|wm| wm.saturating_sub(wm.rem_euclid(SECOND_MS)));
    second.filter(|second| sent.is_none_or(|sent| *second > sent)).or(sent)
}

/// The watermarks to send from one to the next: every second between, so that the least of several
/// writers passes all of them too. A gap over `STEPS_MAX` is jumped.
fn steps(from: Option<i64>, to: Option<i64>) -> Vec<i64> {
    let Some(to) = to.filter(|_| from != to) else {
        return Vec::new();
    };
    let between = from.map_or(0, |from| to.saturating_sub(from) / SECOND_MS);
    if between > STEPS_MAX {
        return vec![to];
    }
    (0..between.max(1)).rev().map(|back| to - back * SECOND_MS).collect()
}

const SECOND_MS: i64 = 1_000;
/// A minute: a longer gap is an outage of all ingest, which every task sees alike.
const STEPS_MAX: i64 = 60;
