//! The headers of a message (DESIGN §2): what a reader knows of a batch before it opens it.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Headers, Name, Record};

/// The payload's media type, as the Arrow project registered it.
pub const CONTENT_TYPE: &str = "application/vnd.apache.arrow.stream";
/// The schema header of a batch of no rows that only says how far time has come.
pub const HEARTBEAT: &str = "heartbeat/1";

const KNOWN: [&str; 11] = [
    "content-type",
    "schema",
    "schema-fp",
    "producer",
    "rows",
    "min-ts",
    "max-ts",
    "wm",
    "name",
    "config-fp",
    "replay-id",
];

/// What the headers of one message say.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Name and version: `flows/1`.
    pub schema: String,
    /// First 16 hex digits of the SHA-256 of the canonical schema.
    pub schema_fp: String,
    /// Stage, task or instance, version: for people.
    pub producer: String,
    pub rows: u32,
    /// The least and the largest time of the rows, of the column that the topic's schema names.
    pub min_ts_ms: i64,
    pub max_ts_ms: i64,
    /// Nothing older will come from this writer to this partition.
    pub wm_ms: Option<i64>,
    pub name: Name,
    /// Fingerprint of the configuration that made it.
    pub config_fp: Option<String>,
    pub replay_id: Option<String>,
    /// All other headers, in their order.
    pub extra: Vec<(String, String)>,
}

/// Headers that are not as the contract says.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BadMeta {
    #[error("header {0} is missing or not utf-8")]
    Missing(&'static str),
    #[error("header {header} is not valid: {value:?}")]
    Invalid { header: &'static str, value: String },
}

// === impl Meta ===

impl Meta {
    /// Whether the message is a heartbeat: no rows, only a watermark.
    pub fn is_heartbeat(&self) -> bool {
        self.schema == HEARTBEAT
    }

    pub fn headers(&self) -> Headers {
        let mut headers = Headers::with_capacity(KNOWN.len() + self.extra.len());
        let mut put = |name: &str, value: Bytes| headers.push((Arc::from(name), value));
        put("content-type", Bytes::from_static(CONTENT_TYPE.as_bytes()));
        put("schema", text(&self.schema));
        put("schema-fp", text(&self.schema_fp));
        put("producer", text(&self.producer));
        put("rows", text(&self.rows));
        put("min-ts", text(&self.min_ts_ms));
        put("max-ts", text(&self.max_ts_ms));
        if let Some(wm) = self.wm_ms {
            put("wm", text(&wm));
        }
        put("name", text(&self.name));
        if let Some(fingerprint) = &self.config_fp {
            put("config-fp", text(fingerprint));
        }
        if let Some(id) = &self.replay_id {
            put("replay-id", text(id));
        }
        for (name, value) in &self.extra {
            put(name, text(value));
        }
        headers
    }

    /// Reads the headers of a message. The content type must be Arrow's.
    pub fn parse(record: &Record) -> Result<Meta, BadMeta> {
        let content_type = required(record, "content-type")?;
        if content_type != CONTENT_TYPE {
            return Err(invalid("content-type", content_type));
        }
        Ok(Meta {
            schema: required(record, "schema")?.to_owned(),
            schema_fp: record.header("schema-fp").unwrap_or_default().to_owned(),
            producer: record.header("producer").unwrap_or_default().to_owned(),
            rows: number(required(record, "rows")?, "rows")?,
            min_ts_ms: number(required(record, "min-ts")?, "min-ts")?,
            max_ts_ms: number(required(record, "max-ts")?, "max-ts")?,
            wm_ms: record.header("wm").map(|value| number(value, "wm")).transpose()?,
            name: number(required(record, "name")?, "name")?,
            config_fp: record.header("config-fp").map(str::to_owned),
            replay_id: record.header("replay-id").map(str::to_owned),
            extra: extra(record),
        })
    }
}

fn text(value: &impl ToString) -> Bytes {
    Bytes::from(value.to_string())
}

fn required<'a>(record: &'a Record, header: &'static str) -> Result<&'a str, BadMeta> {
    record.header(header).ok_or(BadMeta::Missing(header))
}

fn number<T: std::str::FromStr>(value: &str, header: &'static str) -> Result<T, BadMeta> {
    value.parse().map_err(|_| invalid(header, value))
}

fn invalid(header: &'static str, value: &str) -> BadMeta {
    BadMeta::Invalid { header, value: value.chars().take(200).collect() }
}

fn extra(record: &Record) -> Vec<(String, String)> {
    let unknown = record.headers.iter().filter(|(name, _)| !KNOWN.contains(&&**name));
    unknown
        .filter_map(|(name, value)| {
            Some((name.to_string(), std::str::from_utf8(value).ok()?.to_owned()))
        })
        .collect()
}
