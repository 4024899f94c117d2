//! SNMP v2c on the wire (RFC 1901, RFC 3416, X.690): just what an agent needs, requests in and
//! responses out. Anything else is no message: `None`, and the agent is silent as real ones are.

use model::snmp::{Oid, Request, Response, Value, VarBind};

/// A request with what its answer must repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub community: Vec<u8>,
    pub request_id: i32,
    pub request: Request,
}

const V2C: i32 = 1;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const IP_ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TIME_TICKS: u8 = 0x43;
const COUNTER64: u8 = 0x46;
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_MIB_VIEW: u8 = 0x82;
const GET: u8 = 0xa0;
const GET_NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const SET: u8 = 0xa3;
const GET_BULK: u8 = 0xa5;

/// Arcs that an identifier may have (RFC 3416 §4.1).
const ARCS_MAX: usize = 128;

/// What is left of some octets.
struct Reader<'a>(&'a [u8]);

// === impl Message ===

impl Message {
    pub fn decode(datagram: &[u8]) -> Option<Message> {
        let mut outer = Reader(datagram);
        let mut message = outer.inside(SEQUENCE)?;
        if message.integer()? != V2C {
            return None;
        }
        let community = message.value_of(OCTET_STRING)?.to_vec();
        let (tag, content) = message.next()?;
        let mut pdu = Reader(content);
        let request_id = pdu.integer()?;
        // Error status and index, or what GetBulk says in their place.
        let (first, second) = (pdu.integer()?, pdu.integer()?);
        let binds = pdu.inside(SEQUENCE)?.binds()?;
        let request = match tag {
            GET => Request::Get(oids(binds)),
            GET_NEXT => Request::GetNext(oids(binds)),
            GET_BULK => Request::GetBulk {
                // RFC 3416 §4.2.3: what is below zero counts as zero.
                non_repeaters: first.max(0) as u32,
                max_repetitions: second.max(0) as u32,
                oids: oids(binds),
            },
            SET => Request::Set(binds),
            _ => return None,
        };
        Some(Message { community, request_id, request })
    }

    /// The datagram that answers this message.
    pub fn answer(&self, response: &Response) -> Vec<u8> {
        let mut binds = Vec::new();
        for bind in &response.binds {
            let mut one = Vec::new();
            put(&mut one, OBJECT_ID, &arcs(&bind.oid));
            put_value(&mut one, &bind.value);
            put(&mut binds, SEQUENCE, &one);
        }
        let mut pdu = Vec::new();
        put(&mut pdu, INTEGER, &signed(self.request_id));
        put(&mut pdu, INTEGER, &unsigned(u64::from(response.error_status)));
        put(&mut pdu, INTEGER, &unsigned(u64::from(response.error_index)));
        put(&mut pdu, SEQUENCE, &binds);
        let mut message = Vec::new();
        put(&mut message, INTEGER, &signed(V2C));
        put(&mut message, OCTET_STRING, &self.community);
        put(&mut message, RESPONSE, &pdu);
        let mut datagram = Vec::new();
        put(&mut datagram, SEQUENCE, &message);
        datagram
    }
}

fn oids(binds: Vec<VarBind>) -> Vec<Oid> {
    binds.into_iter().map(|bind| bind.oid).collect()
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut len = usize::from(*first);
        if len >= 0x80 {
            let count = len & 0x7f;
            // Indefinite lengths are not allowed, and no datagram needs more than three octets.
            if count == 0 || count > 3 || rest.len() < count {
                return None;
            }
            len = rest[..count].iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
            rest = &rest[count..];
        }
        if rest.len() < len {
            return None;
        }
        let (content, rest) = rest.split_at(len);
        self.0 = rest;
        Some((*tag, content))
    }

    fn value_of(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.next()?;
        (tag == wanted).then_some(content)
    }

    fn inside(&mut self, wanted: u8) -> Option<Reader<'a>> {
        self.value_of(wanted).map(Reader)
    }

    fn integer(&mut self) -> Option<i32> {
        read_signed(self.value_of(INTEGER)?)
    }

    fn binds(&mut self) -> Option<Vec<VarBind>> {
        let mut binds = Vec::new();
        while !self.0.is_empty() {
            let mut bind = self.inside(SEQUENCE)?;
            let oid = read_oid(bind.value_of(OBJECT_ID)?)?;
            let (tag, content) = bind.next()?;
            binds.push(VarBind { oid, value: read_value(tag, content)? });
        }
        Some(binds)
    }
}

fn read_value(tag: u8, content: &[u8]) -> Option<Value> {
    let small = || u32::try_from(read_unsigned(content)?).ok();
    Some(match tag {
        INTEGER => Value::Integer(read_signed(content)?),
        OCTET_STRING => Value::OctetString(content.to_vec()),
        NULL => Value::Null,
        OBJECT_ID => Value::ObjectId(read_oid(content)?),
        IP_ADDRESS => Value::IpAddress(content.try_into().ok()?),
        COUNTER32 => Value::Counter32(small()?),
        GAUGE32 => Value::Gauge32(small()?),
        TIME_TICKS => Value::TimeTicks(small()?),
        COUNTER64 => Value::Counter64(read_unsigned(content)?),
        _ => return None,
    })
}

fn read_signed(content: &[u8]) -> Option<i32> {
    if content.is_empty() || content.len() > 8 {
        return None;
    }
    let sign = if content[0] & 0x80 == 0 { 0 } else { -1i64 };
    let number = content.iter().fold(sign, |number, octet| number << 8 | i64::from(*octet));
    i32::try_from(number).ok()
}

fn read_unsigned(content: &[u8]) -> Option<u64> {
    let digits = match content {
        [0, rest @ ..] if content.len() > 1 => rest,
        _ => content,
    };
    if content.is_empty() || digits.len() > 8 {
        return None;
    }
    Some(digits.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
}

fn read_oid(content: &[u8]) -> Option<Oid> {
    let mut arcs: Vec<u32> = Vec::new();
    let mut arc: u64 = 0;
    for octet in content {
        arc = arc << 7 | u64::from(octet & 0x7f);
        if arc > u64::from(u32::MAX) {
            return None;
        }
        if octet & 0x80 != 0 {
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.push(first as u32);
            arc -= first * 40;
        }
        arcs.push(arc as u32);
        arc = 0;
    }
    let is_whole = content.last().is_some_and(|octet| octet & 0x80 == 0);
    (is_whole && arcs.len() <= ARCS_MAX).then_some(Oid(arcs))
}

fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let len = content.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let octets = unsigned(len as u64);
        let octets = if octets[0] == 0 { &octets[1..] } else { &octets[..] };
        out.push(0x80 | octets.len() as u8);
        out.extend(octets);
    }
    out.extend(content);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => put(out, NULL, &[]),
        Value::Integer(number) => put(out, INTEGER, &signed(*number)),
        Value::OctetString(text) => put(out, OCTET_STRING, text),
        Value::ObjectId(oid) => put(out, OBJECT_ID, &arcs(oid)),
        Value::IpAddress(address) => put(out, IP_ADDRESS, address),
        Value::Counter32(number) => put(out, COUNTER32, &unsigned(u64::from(*number))),
        Value::Gauge32(number) => put(out, GAUGE32, &unsigned(u64::from(*number))),
        Value::TimeTicks(number) => put(out, TIME_TICKS, &unsigned(u64::from(*number))),
        Value::Counter64(number) => put(out, COUNTER64, &unsigned(*number)),
        Value::NoSuchObject => put(out, NO_SUCH_OBJECT, &[]),
        Value::NoSuchInstance => put(out, NO_SUCH_INSTANCE, &[]),
        Value::EndOfMibView => put(out, END_OF_MIB_VIEW, &[]),
    }
}

/// As few octets as hold it (X.690 §8.3.2).
fn signed(number: i32) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let is_spare =
        |pair: &[u8]| pair[0] == 0 && pair[1] & 0x80 == 0 || pair[0] == 0xff && pair[1] & 0x80 != 0;
    let spare = octets.windows(2).take_while(|pair| is_spare(pair)).count();
    octets[spare..].to_vec()
}

/// With a zero in front where the first bit would be taken for a sign.
fn unsigned(number: u64) -> Vec<u8> {
    let mut octets = vec![0];
    octets.extend(number.to_be_bytes());
    let is_spare = |pair: &[u8]| pair[0] == 0 && pair[1] & 0x80 == 0;
    let spare = octets.windows(2).take_while(|pair| is_spare(pair)).count();
    octets.split_off(spare)
}

fn arcs(oid: &Oid) -> Vec<u8> {
    let first = oid.0.first().copied().unwrap_or(0).min(2);
    let second = oid.0.get(1).copied().unwrap_or(0);
    let mut out = Vec::new();
    put_arc(&mut out, u64::from(first) * 40 + u64::from(second));
    for arc in oid.0.iter().skip(2) {
        put_arc(&mut out, u64::from(*arc));
    }
    out
}

fn put_arc(out: &mut Vec<u8>, arc: u64) {
    let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push((arc >> (group * 7)) as u8 & 0x7f | more);
    }
}
