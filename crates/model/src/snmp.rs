//! The words of SNMP (RFC 3416): what a manager asks an agent and what it answers, without their
//! form on the wire. Poller, simulator and drivers share them, so that a simulated device can be
//! asked without a socket.

use std::fmt;
use std::str::FromStr;

/// An object identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub Vec<u32>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i32),
    OctetString(Vec<u8>),
    ObjectId(Oid),
    IpAddress([u8; 4]),
    Counter32(u32),
    /// Gauge32 and Unsigned32.
    Gauge32(u32),
    /// Hundredths of a second.
    TimeTicks(u32),
    Counter64(u64),
    NoSuchObject,
    NoSuchInstance,
    EndOfMibView,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarBind {
    pub oid: Oid,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Get(Vec<Oid>),
    GetNext(Vec<Oid>),
    GetBulk { non_repeaters: u32, max_repetitions: u32, oids: Vec<Oid> },
    Set(Vec<VarBind>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 0: no error; the numbers of RFC 3416 §3.
    pub error_status: u32,
    /// Which of the request's variables it is about, from 1; 0: none.
    pub error_index: u32,
    pub binds: Vec<VarBind>,
}

/// `tooBig`: the answer does not fit a datagram.
pub const TOO_BIG: u32 = 1;
/// `noAccess`.
pub const NO_ACCESS: u32 = 6;
/// `wrongType`.
pub const WRONG_TYPE: u32 = 7;
/// `wrongValue`.
pub const WRONG_VALUE: u32 = 10;
/// `notWritable`.
pub const NOT_WRITABLE: u32 = 17;

/// Arcs that an identifier may have (RFC 3416 §4.1).
const ARCS_MAX: usize = 128;

/// A text that is no object identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no object identifier")]
pub struct OidError(pub String);

// === impl Oid ===

impl Oid {
    /// The arcs behind `prefix`, where this identifier lies under it.
    pub fn under(&self, prefix: &Oid) -> Option<&[u32]> {
        self.0.strip_prefix(&prefix.0[..])
    }

    pub fn child(&self, arcs: &[u32]) -> Oid {
        Oid(self.0.iter().chain(arcs).copied().collect())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arcs: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&arcs.join("."))
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Oid, OidError> {
        let digits = text.strip_prefix('.').unwrap_or(text);
        let arcs: Result<Vec<u32>, _> = digits.split('.').map(u32::from_str).collect();
        match arcs {
            Ok(arcs) if arcs.len() <= ARCS_MAX => Ok(Oid(arcs)),
            _ => Err(OidError(text.to_owned())),
        }
    }
}

impl From<&[u32]> for Oid {
    fn from(arcs: &[u32]) -> Oid {
        Oid(arcs.to_vec())
    }
}

// === impl Value ===

impl Value {
    /// A number, whatever its kind.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Integer(n) => u64::try_from(*n).ok(),
            Value::Counter32(n) | Value::Gauge32(n) | Value::TimeTicks(n) => Some(u64::from(*n)),
            Value::Counter64(n) => Some(*n),
            _ => None,
        }
    }

    /// A text; what is no UTF-8 is replaced.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Value::OctetString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// Whether there is such an object at all.
    pub fn is_there(&self) -> bool {
        !matches!(self, Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView)
    }
}
