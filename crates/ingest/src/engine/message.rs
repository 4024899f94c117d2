//! The headers of NetFlow v5, v9 (RFC 3954 §5.1) and IPFIX (RFC 7011 §3.1). What lies behind them
//! is left to `domain`.

use super::element::Field;
use super::problem::Reason;
use super::wire::Cursor;

/// Bytes of a v5 record.
pub const V5_RECORD: usize = 48;

/// A datagram behind its header.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub version: u8,
    pub domain: u32,
    pub sequence: u32,
    pub export_ms: i64,
    pub uptime: Option<u32>,
    pub body: Body<'a>,
    /// The header and the length of the datagram do not agree; what is there is decoded.
    pub problem: Option<Reason>,
}

#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Whole records, and the sampling rate of the header where it tells one.
    V5 {
        records: &'a [u8],
        rate: Option<u32>,
    },
    Sets(&'a [u8]),
}

// === impl Message ===

impl<'a> Message<'a> {
    pub fn read(datagram: &'a [u8]) -> Result<Message<'a>, Reason> {
        let mut cursor = Cursor::new(datagram);
        let version = cursor.u16().ok_or(Reason::ShortHeader)?;
        let message = match version {
            5 => Message::v5(cursor),
            9 => Message::v9(cursor),
            10 => Message::ipfix(cursor, datagram.len()),
            _ => return Err(Reason::Version),
        };
        message.ok_or(Reason::ShortHeader)
    }

    fn v5(mut cursor: Cursor<'a>) -> Option<Message<'a>> {
        let count = usize::from(cursor.u16()?);
        let uptime = cursor.u32()?;
        let seconds = cursor.u32()?;
        let nanos = cursor.u32()?;
        let sequence = cursor.u32()?;
        let engine = u32::from(cursor.u16()?);
        // Two bits of mode, 14 of interval, 0 where nobody set one.
        let rate = u32::from(cursor.u16()? & 0x3fff);
        let there = cursor.rest().len() / V5_RECORD;
        let records = cursor.take(count.min(there) * V5_RECORD)?;
        let problem = match cursor.rest() {
            _ if there < count => Some(Reason::Truncated),
            [] => None,
            _ => Some(Reason::Trailing),
        };
        let export_ms = i64::from(seconds) * 1000 + i64::from(nanos / 1_000_000);
        let body = Body::V5 { records, rate: Some(rate).filter(|&rate| rate > 0) };
        let uptime = Some(uptime);
        Some(Message { version: 5, domain: engine, sequence, export_ms, uptime, body, problem })
    }

    fn v9(mut cursor: Cursor<'a>) -> Option<Message<'a>> {
        // The count of records: exporters disagree about what it counts, lengths tell more.
        cursor.u16()?;
        let uptime = Some(cursor.u32()?);
        let export_ms = i64::from(cursor.u32()?) * 1000;
        let sequence = cursor.u32()?;
        let domain = cursor.u32()?;
        let body = Body::Sets(cursor.rest());
        Some(Message { version: 9, domain, sequence, export_ms, uptime, body, problem: None })
    }

    fn ipfix(mut cursor: Cursor<'a>, size: usize) -> Option<Message<'a>> {
        let length = usize::from(cursor.u16()?);
        let export_ms = i64::from(cursor.u32()?) * 1000;
        let sequence = cursor.u32()?;
        let domain = cursor.u32()?;
        let rest = cursor.rest();
        let behind_header = length.saturating_sub(16);
        let sets = rest.get(..behind_header).unwrap_or(rest);
        let problem = match length {
            _ if length < 16 || length > size => Some(Reason::Truncated),
            _ if length < size => Some(Reason::Trailing),
            _ => None,
        };
        let body = Body::Sets(sets);
        Some(Message { version: 10, domain, sequence, export_ms, uptime: None, body, problem })
    }
}

/// A v5 record as a template: all versions run through the same programs.
pub fn v5_fields() -> Vec<Field> {
    const PADDING: u16 = 210;
    let fields: [(u16, u16); 20] = [
        (8, 4),
        (12, 4),
        (15, 4),
        (10, 2),
        (14, 2),
        (2, 4),
        (1, 4),
        (22, 4),
        (21, 4),
        (7, 2),
        (11, 2),
        (PADDING, 1),
        (6, 1),
        (4, 1),
        (5, 1),
        (16, 2),
        (17, 2),
        (9, 1),
        (13, 1),
        (PADDING, 2),
    ];
    fields.iter().map(|&(id, len)| Field { enterprise: 0, id, len }).collect()
}
