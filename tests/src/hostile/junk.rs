//! Messages and datagrams that nobody should send: each with what the product must say of it.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, NullArray, RecordBatch};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bus::{Meta, Name, OutRecord, Record, Writer};
use bytes::Bytes;

/// The header by which a message is known again among the dead letters.
pub const MARK: &str = "junk";
/// Four bad messages a partition: a stage ends by itself where more than 5 % of a hundred or more
/// are (`task.breaker`), so that nobody's mistake drains a topic into the dead letters.
pub const PARTITIONS: u32 = 3;
/// Above what a message may declare uncompressed (64 MB).
const BOMB_BYTES: usize = 80 << 20;

/// A message, and what its dead letter must say.
pub struct Junk {
    pub mark: String,
    pub record: OutRecord,
    /// The header `dlq-kind`; any where it is empty.
    pub kind: &'static str,
    /// Words of the header `dlq-reason`.
    pub reason: &'static str,
}

/// What messages of a topic look like from outside.
pub struct Form {
    /// The full name.
    pub topic: String,
    /// The header `schema`.
    pub schema: String,
    /// The topic's own headers.
    pub extra: Vec<(String, String)>,
    /// `dlq-kind` of rows of another schema.
    pub foreign: &'static str,
}

struct Payloads {
    foreign: Bytes,
    bomb: Bytes,
    countless: Bytes,
}

/// All of them for each topic, over its partitions by turns.
pub fn messages(forms: &[Form], now_ms: i64) -> Result<Vec<Junk>> {
    let payloads = Payloads::new()?;
    Ok(forms.iter().flat_map(|form| of_topic(form, &payloads, now_ms)).collect())
}

fn of_topic(form: &Form, payloads: &Payloads, now_ms: i64) -> Vec<Junk> {
    let Payloads { foreign, bomb, countless } = payloads;
    let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
    let half = foreign.slice(..foreign.len() / 2);
    let kinds = [
        ("not arrow", 1, bytes(b"{\"flow\": 1}"), "payload", "not an arrow stream"),
        ("nothing", 1, bytes(b""), "payload", ""),
        ("half", 1, Some(half), "payload", ""),
        ("bomb", 1, Some(bomb.clone()), "payload", "uncompressed size"),
        ("countless", 4_000_000_000, Some(countless.clone()), "payload", "number of rows"),
        ("tombstone", 1, None, "payload", "tombstone"),
        ("foreign", 1, Some(foreign.clone()), form.foreign, ""),
        ("miscounted", 7, Some(foreign.clone()), "rows", "1 rows where the header says 7"),
    ];
    let mut all: Vec<Junk> = Vec::new();
    for (kind_of, rows, payload, kind, reason) in kinds {
        let mut meta = meta(form, all.len(), now_ms);
        meta.rows = rows;
        all.push(Junk::new(form, kind_of, meta.headers(), payload, now_ms, (kind, reason)));
    }
    let bare = ("headers", "content-type");
    all.push(Junk::new(form, "bare", Vec::new(), bytes(b"hello"), now_ms, bare));
    for (at, junk) in all.iter_mut().enumerate() {
        junk.record.partition = at as u32 % PARTITIONS;
    }
    all
}

/// Real partials with a pane that cannot be.
pub fn extreme_panes(real: &Record, now_ms: i64) -> Result<Vec<Junk>> {
    let meta = Meta::parse(real)?;
    let form = Form {
        topic: real.topic.to_string(),
        schema: meta.schema.clone(),
        extra: Vec::new(),
        foreign: "",
    };
    let extreme = |(at, pane): (usize, i64)| {
        let mut meta = meta.clone();
        meta.name = self::meta(&form, 100 + at, now_ms).name;
        meta.extra = with_pane(meta.extra, pane);
        let mark = format!("pane {pane}");
        let payload = real.payload.clone();
        let mut junk = Junk::new(&form, &mark, meta.headers(), payload, now_ms, ("", ""));
        junk.record.partition = at as u32 % PARTITIONS;
        junk
    };
    Ok([i64::MIN, i64::MAX].into_iter().enumerate().map(extreme).collect())
}

/// A partial's own headers with another pane.
pub fn with_pane(mut extra: Vec<(String, String)>, pane_ms: i64) -> Vec<(String, String)> {
    extra.retain(|(name, _)| name != "pane");
    extra.push(("pane".to_owned(), pane_ms.to_string()));
    extra
}

fn meta(form: &Form, at: usize, now_ms: i64) -> Meta {
    let writer =
        Writer::Instance { stage: MARK.to_owned(), instance: "nobody".to_owned(), epoch: 1 };
    Meta {
        schema: form.schema.clone(),
        schema_fp: String::new(),
        producer: MARK.to_owned(),
        rows: 1,
        min_ts_ms: now_ms,
        max_ts_ms: now_ms,
        wm_ms: None,
        name: Name { writer, offset: at as i64 + 1, index: 0 },
        config_fp: None,
        replay_id: None,
        extra: form.extra.clone(),
    }
}

fn encoded(column: ArrayRef, compression: Option<CompressionType>) -> Result<Bytes> {
    let batch = RecordBatch::try_from_iter([("domain", column)])?;
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options)?;
    writer.write(&batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

// === impl Payloads ===

impl Payloads {
    fn new() -> Result<Payloads> {
        let zeros = vec![0_u8; BOMB_BYTES];
        let bomb =
            encoded(Arc::new(BinaryArray::from_vec(vec![&zeros])), Some(CompressionType::ZSTD))?;
        Ok(Payloads {
            foreign: encoded(Arc::new(Int64Array::from(vec![7])), None)?,
            bomb,
            countless: encoded(Arc::new(NullArray::new(4_000_000_000)) as Arc<dyn Array>, None)?,
        })
    }
}

// === impl Junk ===

impl Junk {
    fn new(
        form: &Form,
        kind_of: &str,
        mut headers: bus::Headers,
        payload: Option<Bytes>,
        now_ms: i64,
        (kind, reason): (&'static str, &'static str),
    ) -> Junk {
        let mark = format!("{} {kind_of}", form.topic);
        headers.push((Arc::from(MARK), Bytes::from(mark.clone())));
        let record = OutRecord {
            topic: Arc::from(form.topic.as_str()),
            partition: 0,
            timestamp_ms: now_ms,
            key: Some(Bytes::from_static(b"a key of their own")),
            headers,
            payload,
        };
        Junk { mark, record, kind, reason }
    }
}

/// Datagrams that are not (whole) flow exports, with what ingest says of each.
pub fn datagrams() -> Vec<(Vec<u8>, &'static str)> {
    let v9 = |sets: &[u8]| {
        let head = [0, 9, 0, 1, 0, 0, 0, 1, 0x6a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        [head.as_slice(), sets].concat()
    };
    let ipfix = |length: u16, sets: &[u8]| {
        let head = [0x6a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        [&[0, 10], length.to_be_bytes().as_slice(), head.as_slice(), sets].concat()
    };
    let mut fields = vec![0, 0, 0xff, 0, 1, 0, 0xff, 0xff];
    fields.resize(0xff00, 1);
    let mut half_v5 = crate::process::v5_datagram(0, 0x6a00_0000);
    half_v5.truncate(60);
    vec![
        (vec![0], "short header"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "unknown version"),
        (half_v5, "truncated"),
        (v9(&[1, 0, 0, 3, 1, 2, 3, 4]), "bad set length"),
        (v9(&[1, 0, 0xff, 0xff, 1, 2, 3, 4]), "bad set length"),
        (v9(&[0, 77, 0, 8, 1, 2, 3, 4]), "reserved set id"),
        (ipfix(0xffff, &[0, 2, 0, 4]), "truncated"),
        // A template that says 65,535 fields.
        (v9(&fields), "bad template"),
        // One of no length, and data for it.
        (v9(&[0, 0, 0, 8, 1, 1, 0, 0, 1, 1, 0, 8, 1, 2, 3, 4]), "template of no length"),
    ]
}
