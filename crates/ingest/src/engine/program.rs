//! A template compiled once into a program of column copies; the record loop only runs it. What a
//! program does with records is left to `run`.

use super::element::{Field, RatePart, Role, Target, TimeForm, VARIABLE};
use super::problem::Reason;
use super::wire::Cursor;

/// Where a field of a record is: at a fixed offset, or, in a template with fields of variable
/// length, wherever the walk over the record finds field `index`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub index: usize,
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct CopyOp {
    pub place: Place,
    pub target: Target,
}

/// A second field for a column that has one: used in records where the first is all zero, as in the
/// templates that carry an IPv4 and an IPv6 address and fill one of them.
#[derive(Clone, Copy, Debug)]
pub struct Alternate {
    pub place: Place,
    pub target: Target,
    pub primary: Place,
}

/// Fields of the record that tell its sampling rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateFields {
    pub interval: Option<Place>,
    pub packets: Option<(Place, Place)>,
    pub population: Option<(Place, Place)>,
}

#[derive(Clone, Debug, Default)]
pub struct Program {
    pub fields: Vec<Field>,
    pub copies: Vec<CopyOp>,
    pub alternates: Vec<Alternate>,
    pub extras: Vec<Place>,
    /// Sections of the MPLS stack, top first.
    pub labels: Vec<Place>,
    pub icmp: Option<(Place, Place)>,
    pub rate: RateFields,
    pub system_init: Option<Place>,
    pub has_sampler: bool,
    pub has_in_if: bool,
    pub has_uptime: bool,
    /// Bytes of a record; the least bytes of one where `variable`.
    pub stride: usize,
    pub variable: bool,
}

/// A field while its template is compiled.
struct Candidate {
    target: Target,
    rank: u8,
    place: Place,
}

// === impl Program ===

impl Program {
    /// Fields without length are legal and say nothing. They are left out, or a template of a
    /// thousand of them would cost a thousand steps for each byte of data.
    pub fn compile(version: u8, fields: &[Field]) -> Program {
        let filled: Vec<Field> = fields.iter().copied().filter(|field| field.len != 0).collect();
        let mut program = Program { fields: filled.clone(), ..Program::default() };
        let mut candidates = Vec::new();
        let mut parts = Parts::default();
        for (index, &field) in filled.iter().enumerate() {
            let place = program.place(index, field);
            program.add(version, field, place, &mut candidates, &mut parts);
        }
        program.choose(candidates);
        program.finish(parts);
        program
    }

    fn place(&mut self, index: usize, field: Field) -> Place {
        let place = Place { index, offset: self.stride, len: usize::from(field.len) };
        if field.len == VARIABLE {
            self.variable = true;
            self.stride += 1;
        } else {
            self.stride += place.len;
        }
        place
    }

    fn add(
        &mut self,
        version: u8,
        field: Field,
        place: Place,
        candidates: &mut Vec<Candidate>,
        parts: &mut Parts,
    ) {
        let fixed = field.len != VARIABLE;
        match field.role(version) {
            Role::Column { target, rank } => candidates.push(Candidate { target, rank, place }),
            Role::Label(position) if field.len >= 3 => parts.labels.push((position, place)),
            Role::IcmpType if field.len == 1 && parts.icmp_type.is_none() => {
                parts.icmp_type = Some(place);
            }
            Role::IcmpCode if field.len == 1 && parts.icmp_code.is_none() => {
                parts.icmp_code = Some(place);
            }
            Role::SystemInit if field.len == 8 && version == 10 && self.system_init.is_none() => {
                self.system_init = Some(place);
            }
            Role::Rate(RatePart::Interval) if fixed && self.rate.interval.is_none() => {
                self.rate.interval = Some(place);
            }
            Role::Rate(part) => {
                parts.rate(part, place);
                self.extras.push(place);
            }
            Role::Padding => {}
            _ => self.extras.push(place),
        }
    }

    /// Of the fields for one column the best is copied; the same element again goes to `extra`, and
    /// another element is an alternate.
    fn choose(&mut self, mut candidates: Vec<Candidate>) {
        candidates.sort_by_key(|c| (c.target.column(), c.rank, c.place.index));
        for group in candidates.chunk_by(|a, b| a.target.column() == b.target.column()) {
            let Some((first, others)) = group.split_first() else {
                continue;
            };
            self.copies.push(CopyOp { place: first.place, target: first.target });
            let element =
                |place: Place| (self.fields[place.index].enterprise, self.fields[place.index].id);
            for other in others {
                // A counter of zero is a value; of an address it says that the other one is filled.
                if is_counter(first.target) || element(other.place) == element(first.place) {
                    self.extras.push(other.place);
                } else {
                    self.alternates.push(Alternate {
                        place: other.place,
                        target: other.target,
                        primary: first.place,
                    });
                }
            }
        }
    }

    fn finish(&mut self, parts: Parts) {
        use super::element::{U16Col, U32Col, U64Col};
        let has = |target: Target| self.copies.iter().any(|c| c.target.column() == target.column());
        self.has_sampler = has(Target::U64(U64Col::Sampler));
        self.has_in_if = has(Target::U32(U32Col::InIf));
        self.has_uptime =
            self.copies.iter().any(|c| matches!(c.target, Target::Time(_, TimeForm::Uptime)));
        let has_icmp = has(Target::U16(U16Col::IcmpTypeCode));
        match (parts.icmp_type, parts.icmp_code) {
            (Some(kind), Some(code)) if !has_icmp => self.icmp = Some((kind, code)),
            (kind, code) => self.extras.extend(kind.into_iter().chain(code)),
        }
        self.rate.packets = parts.packet_interval.zip(parts.packet_space);
        self.rate.population = parts.size.zip(parts.population);
        let mut labels = parts.labels;
        labels.sort_by_key(|&(position, place)| (position, place.index));
        self.labels = labels.into_iter().map(|(_, place)| place).collect();
        self.extras.sort_by_key(|place| place.index);
        // In the order of the record, so that the loops walk through memory once.
        self.copies.sort_by_key(|copy| copy.place.index);
    }
}

fn is_counter(target: Target) -> bool {
    matches!(target, Target::U64(column) if column != super::element::U64Col::Sampler)
}

impl RateFields {
    pub fn any(&self) -> bool {
        self.interval.is_some() || self.packets.is_some() || self.population.is_some()
    }
}

/// Fields that only mean something together.
#[derive(Default)]
struct Parts {
    labels: Vec<(u8, Place)>,
    icmp_type: Option<Place>,
    icmp_code: Option<Place>,
    packet_interval: Option<Place>,
    packet_space: Option<Place>,
    size: Option<Place>,
    population: Option<Place>,
}

impl Parts {
    fn rate(&mut self, part: RatePart, place: Place) {
        let slot = match part {
            RatePart::Interval => return,
            RatePart::PacketInterval => &mut self.packet_interval,
            RatePart::PacketSpace => &mut self.packet_space,
            RatePart::Size => &mut self.size,
            RatePart::Population => &mut self.population,
        };
        slot.get_or_insert(place);
    }
}

/// Finds the fields of one record of variable length (RFC 7011 §7): `places` gets offset and length
/// of each, the answer is the record's own length.
pub fn walk(
    fields: &[Field],
    data: &[u8],
    places: &mut Vec<(usize, usize)>,
) -> Result<usize, Reason> {
    places.clear();
    let mut cursor = Cursor::new(data);
    for field in fields {
        let len = if field.len == VARIABLE {
            match cursor.u8().ok_or(Reason::RecordTruncated)? {
                255 => usize::from(cursor.u16().ok_or(Reason::RecordTruncated)?),
                short => usize::from(short),
            }
        } else {
            usize::from(field.len)
        };
        places.push((data.len() - cursor.rest().len(), len));
        cursor.take(len).ok_or(Reason::RecordTruncated)?;
    }
    Ok(data.len() - cursor.rest().len())
}
