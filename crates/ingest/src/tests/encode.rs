//! Datagrams made here: a small encoder of NetFlow v5, v9 and IPFIX that shares nothing with the
//! decoder.

use crate::engine::element::{Field, VARIABLE};

/// A field of a template: enterprise, element, length.
pub fn field(id: u16, len: u16) -> Field {
    Field { enterprise: 0, id, len }
}

/// One message while it is put together.
#[derive(Clone, Debug)]
pub struct Message {
    pub version: u16,
    pub sequence: u32,
    pub domain: u32,
    pub export_s: u32,
    pub uptime: u32,
    sets: Vec<u8>,
}

impl Message {
    pub fn new(version: u16, domain: u32, sequence: u32) -> Message {
        let (export_s, uptime) = (1_700_000_000, 3_600_000);
        Message { version, sequence, domain, export_s, uptime, sets: Vec::new() }
    }

    pub fn set(mut self, id: u16, body: &[u8]) -> Message {
        self.sets.extend_from_slice(&id.to_be_bytes());
        self.sets.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
        self.sets.extend_from_slice(body);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Message {
        self.sets.extend_from_slice(bytes);
        self
    }

    pub fn template(self, id: u16, fields: &[Field]) -> Message {
        let mut body = Vec::new();
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(&(fields.len() as u16).to_be_bytes());
        self.fields(&mut body, fields);
        let set = if self.version == 9 { 0 } else { 2 };
        self.set(set, &body)
    }

    pub fn options_template(self, id: u16, scope: usize, fields: &[Field]) -> Message {
        let mut body = Vec::new();
        body.extend_from_slice(&id.to_be_bytes());
        if self.version == 9 {
            body.extend_from_slice(&(scope as u16 * 4).to_be_bytes());
            body.extend_from_slice(&((fields.len() - scope) as u16 * 4).to_be_bytes());
        } else {
            body.extend_from_slice(&(fields.len() as u16).to_be_bytes());
            body.extend_from_slice(&(scope as u16).to_be_bytes());
        }
        self.fields(&mut body, fields);
        let set = if self.version == 9 { 1 } else { 3 };
        self.set(set, &body)
    }

    fn fields(&self, body: &mut Vec<u8>, fields: &[Field]) {
        for field in fields {
            let private = if field.enterprise == 0 { 0 } else { 0x8000 };
            body.extend_from_slice(&(field.id | private).to_be_bytes());
            body.extend_from_slice(&field.len.to_be_bytes());
            if field.enterprise != 0 {
                body.extend_from_slice(&field.enterprise.to_be_bytes());
            }
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.version.to_be_bytes().to_vec();
        if self.version == 9 {
            out.extend_from_slice(&1u16.to_be_bytes());
            out.extend_from_slice(&self.uptime.to_be_bytes());
        } else {
            out.extend_from_slice(&(self.sets.len() as u16 + 16).to_be_bytes());
        }
        out.extend_from_slice(&self.export_s.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.domain.to_be_bytes());
        out.extend_from_slice(&self.sets);
        out
    }
}

/// A value as a record carries it.
pub fn value(record: &mut Vec<u8>, field: Field, bytes: &[u8]) {
    if field.len == VARIABLE {
        match u8::try_from(bytes.len()) {
            Ok(short) if short < 255 => record.push(short),
            _ => {
                record.push(255);
                record.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            }
        }
    }
    record.extend_from_slice(bytes);
}

/// A v5 datagram of `n` records that differ in their source port.
pub fn v5(sequence: u32, uptime: u32, n: u16) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&5u16.to_be_bytes());
    out.extend_from_slice(&n.to_be_bytes());
    for word in [uptime, 1_700_000_000, 0, sequence] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&[1, 2]);
    out.extend_from_slice(&(0x4000u16 | 100).to_be_bytes());
    for i in 0..n {
        out.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 254]);
        out.extend_from_slice(&[0, 3, 0, 4]);
        for word in [7u32, 700, uptime - 2_000, uptime - 1_000] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&i.to_be_bytes());
        out.extend_from_slice(&80u16.to_be_bytes());
        out.extend_from_slice(&[0, 0x12, 6, 8]);
        out.extend_from_slice(&65_000u16.to_be_bytes());
        out.extend_from_slice(&65_001u16.to_be_bytes());
        out.extend_from_slice(&[24, 16, 0, 0]);
    }
    out
}

/// The plainest flow template of v9 and IPFIX, and a set body of `n` records of it.
pub fn plain_fields() -> Vec<Field> {
    vec![
        field(8, 4),
        field(12, 4),
        field(7, 2),
        field(11, 2),
        field(4, 1),
        field(1, 4),
        field(2, 4),
    ]
}

pub fn plain_records(first: u32, n: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for i in first..first + n {
        body.extend_from_slice(&[10, 1, 0, 1, 10, 1, 0, 2]);
        body.extend_from_slice(&[0x12, 0x34, 0, 80, 6]);
        body.extend_from_slice(&i.to_be_bytes());
        body.extend_from_slice(&1u32.to_be_bytes());
    }
    body
}
