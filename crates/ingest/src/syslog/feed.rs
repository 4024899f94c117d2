//! Messages on their way to the log: each a row of `events`, named by the inventory, and a batch of
//! them within `flush_ms`, since a link that went down is not to wait.

use std::borrow::Cow;
use std::net::IpAddr;

use metrics::counter;
use model::rows::Event;

use super::{parse, said};
use crate::metrics as names;
use crate::service::{IngestError, IngestFeed};

/// Rows and bytes of text at which a batch ends before its time: well under the 900 KB of a message
/// (DESIGN §2).
const ROWS_MAX: usize = 2_000;
const TEXT_BYTES_MAX: usize = 256 << 10;
/// The kind of what says that a link is up or down.
const LINK: &str = "link";
/// Behind a text that was cut.
const CUT: &str = " [cut]";

/// Rows that no message has yet.
#[derive(Debug, Default)]
pub struct Syslog {
    rows: Vec<Event>,
    text_bytes: usize,
    due_ms: Option<i64>,
}

// === impl Syslog ===

impl Syslog {
    /// When the rows that wait must go.
    pub fn due_ms(&self) -> Option<i64> {
        self.due_ms
    }

    /// When the oldest of them was received.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.rows.first().map(|row| row.received_ms)
    }

    pub fn take(&mut self) -> Vec<Event> {
        (self.text_bytes, self.due_ms) = (0, None);
        std::mem::take(&mut self.rows)
    }

    /// Whether the batch is full with it.
    fn push(&mut self, row: Event, flush_ms: i64) -> bool {
        self.due_ms = self.due_ms.or(Some(row.received_ms + flush_ms));
        self.text_bytes += row.text.as_ref().map_or(0, String::len);
        self.rows.push(row);
        self.rows.len() >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }
}

// === impl IngestFeed ===

impl IngestFeed {
    /// One message of syslog, received at `received_ms`; earlier than what came before counts as
    /// now. Its device is the inventory's name of the sender's address, else the address: the host
    /// that a message names may be anything. Blocks while the log is slow.
    pub fn syslog(
        &mut self,
        received_ms: i64,
        from: IpAddr,
        bytes: &[u8],
    ) -> Result<(), IngestError> {
        self.pass(received_ms)?;
        let device = match self.devices().name_of(from) {
            Some(name) => name.to_string(),
            None => from.to_canonical().to_string(),
        };
        let config = self.syslog_config();
        let (limit, flush_ms) = (config.message_bytes_max, config.flush_ms);
        let row = event(self.domain(), &device, self.now(), bytes, limit);
        if row.kind == LINK {
            self.links.is_news(&row);
        }
        if self.syslog_rows().push(row, flush_ms) {
            self.flush_syslog()?;
        }
        Ok(())
    }
}

/// The row of one message.
pub fn event(domain: &str, device: &str, received_ms: i64, bytes: &[u8], limit: usize) -> Event {
    let (text, is_cut) = text(bytes, limit);
    let parsed = parse(&text);
    let said = said(&parsed);
    counter!(names::SYSLOG_MESSAGES, "kind" => said.kind).increment(1);
    if is_cut {
        counter!(names::SYSLOG_CUT).increment(1);
    }
    if parsed.severity.is_none() && parsed.time.is_none() && parsed.tag.is_none() {
        counter!(names::SYSLOG_BARE).increment(1);
    }
    Event {
        domain: domain.to_owned(),
        received_ms,
        device: device.to_owned(),
        entity: said.entity,
        kind: said.kind.to_owned(),
        state: said.state,
        severity: parsed.severity,
        device_time_ms: parsed.time.and_then(|stamp| stamp.ms_since_1970(received_ms)),
        text: Some(text.into_owned()),
    }
}

/// A message as text: what is no UTF-8 is written `\x..`, byte by byte, so that nothing is lost.
/// Above `limit` bytes it is cut, and ends with a word that says so.
pub fn text(bytes: &[u8], limit: usize) -> (Cow<'_, str>, bool) {
    let is_cut = bytes.len() > limit;
    let kept = bytes.get(..limit).unwrap_or(bytes);
    if !is_cut && let Ok(whole) = std::str::from_utf8(kept) {
        return (Cow::Borrowed(whole), false);
    }
    let mut text = String::with_capacity(kept.len() + CUT.len());
    for chunk in kept.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if is_cut {
        text.push_str(CUT);
    }
    (Cow::Owned(text), is_cut)
}
