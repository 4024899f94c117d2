//! Reads template and options template sets of NetFlow v9 (RFC 3954 §5.2, §6.1) and IPFIX
//! (RFC 7011 §3.4). Keeping them is left to `domain`.

use super::element::{Field, VARIABLE};
use super::problem::Reason;
use super::wire::{Cursor, is_zero};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    Options,
}

/// One template as declared. No fields: a withdrawal in IPFIX, in v9 a template of no length.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    pub id: u16,
    pub kind: Kind,
    pub scope_fields: u16,
    pub fields: Vec<Field>,
}

/// The templates of one set, in order; an error ends them.
pub struct Declarations<'a> {
    cursor: Cursor<'a>,
    version: u8,
    kind: Kind,
    fields_max: usize,
}

// === impl Declarations ===

impl<'a> Declarations<'a> {
    pub fn new(version: u8, kind: Kind, body: &'a [u8], fields_max: usize) -> Declarations<'a> {
        Declarations { cursor: Cursor::new(body), version, kind, fields_max }
    }

    fn read(&mut self) -> Result<Declaration, Reason> {
        let (id, count, scope_fields) = self.head().ok_or(Reason::TemplateSyntax)?;
        // Read to the end of the template whatever its size, so that the next is found.
        let mut fields = Vec::with_capacity(usize::from(count).min(self.fields_max));
        for _ in 0..count {
            let field = self.field().ok_or(Reason::TemplateSyntax)?;
            if fields.len() < self.fields_max {
                fields.push(field);
            }
        }
        if usize::from(count) > self.fields_max {
            return Err(Reason::TemplateTooLarge);
        }
        let withdrawal_of_all = count == 0 && self.version == 10 && matches!(id, 2 | 3);
        if id < 256 && !withdrawal_of_all {
            return Err(Reason::TemplateId);
        }
        if scope_fields > count {
            return Err(Reason::TemplateSyntax);
        }
        Ok(Declaration { id, kind: self.kind, scope_fields, fields })
    }

    /// Template id, number of fields, number of scope fields among them.
    fn head(&mut self) -> Option<(u16, u16, u16)> {
        let id = self.cursor.u16()?;
        match (self.kind, self.version) {
            (Kind::Data, _) => Some((id, self.cursor.u16()?, 0)),
            (Kind::Options, 9) => {
                // Lengths in bytes, four to a field.
                let scope = self.cursor.u16()? / 4;
                let option = self.cursor.u16()? / 4;
                Some((id, scope.checked_add(option)?, scope))
            }
            (Kind::Options, _) => {
                let count = self.cursor.u16()?;
                // A withdrawal of an options template is as short as any (RFC 7011 §8.1).
                let scope = if count == 0 { 0 } else { self.cursor.u16()? };
                Some((id, count, scope))
            }
        }
    }

    fn field(&mut self) -> Option<Field> {
        let id = self.cursor.u16()?;
        let len = self.cursor.u16()?;
        if self.version == 10 && id & 0x8000 != 0 {
            let enterprise = self.cursor.u32()?;
            return Some(Field { enterprise, id: id & 0x7fff, len });
        }
        // v9 has no fields of variable length, but H3C sends them there too, encoded as in IPFIX.
        Some(Field { enterprise: 0, id, len })
    }
}

impl Iterator for Declarations<'_> {
    type Item = Result<Declaration, Reason>;

    fn next(&mut self) -> Option<Result<Declaration, Reason>> {
        let rest = self.cursor.rest();
        // Sets may be padded (RFC 7011 §3.3.1); a template is at least 4 bytes.
        if rest.len() < 4 || is_zero(rest) {
            return None;
        }
        let declaration = self.read();
        if matches!(declaration, Err(Reason::TemplateSyntax)) {
            self.cursor = Cursor::new(&[]);
        }
        Some(declaration)
    }
}

// === impl Declaration ===

impl Declaration {
    /// The fields as `templates.v1` keeps them: enterprise, element, length, big endian.
    pub fn pack(fields: &[Field]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(fields.len() * 8);
        for field in fields {
            packed.extend_from_slice(&field.enterprise.to_be_bytes());
            packed.extend_from_slice(&field.id.to_be_bytes());
            packed.extend_from_slice(&field.len.to_be_bytes());
        }
        packed
    }

    /// `None` for bytes that are no list of fields.
    pub fn unpack(packed: &[u8]) -> Option<Vec<Field>> {
        let mut cursor = Cursor::new(packed);
        let mut fields = Vec::with_capacity(packed.len() / 8);
        while !cursor.rest().is_empty() {
            let enterprise = cursor.u32()?;
            fields.push(Field { enterprise, id: cursor.u16()?, len: cursor.u16()? });
        }
        Some(fields)
    }

    /// Longer than any record can be.
    pub fn is_too_long(&self) -> bool {
        let fixed = self.fields.iter().filter(|field| field.len != VARIABLE);
        fixed.map(|field| usize::from(field.len)).sum::<usize>() > usize::from(u16::MAX)
    }
}
