//! What a device answers to SNMP: the system group, ifTable and ifXTable, CISCO-PROCESS-MIB's CPU,
//! and one thing that can be set, ifAdminStatus. Objects lie in lexicographic order, values are
//! made when asked for.

use model::snmp::{NOT_WRITABLE, Oid, Request, Response, TOO_BIG, Value, VarBind};
use model::snmp::{WRONG_TYPE, WRONG_VALUE};

use super::layout::{At, DeviceId, Layout, PortId};

/// What an object is; its value depends on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    Descr,
    ObjectId,
    UpTime,
    Contact,
    Name,
    Location,
    Services,
    IfNumber,
    /// (column of ifTable, interface)
    If(u32, PortId),
    /// (column of ifXTable, interface)
    IfX(u32, PortId),
    /// Over 5 s, 1 min and 5 min: columns 6 to 8.
    Cpu(u32),
}

/// A device's objects in order.
#[derive(Clone, Debug)]
pub struct Mib {
    objects: Vec<(Oid, Object)>,
}

/// Whatever knows the values of a device's objects, and may change the one that can be.
pub trait Agent {
    fn value(&self, object: Object) -> Value;
    fn set_admin(&mut self, port: PortId, is_up: bool);
}

pub const IF_ADMIN_STATUS: u32 = 7;

/// What an answer may take: an Ethernet frame less headers, with some to spare.
const OCTETS_MAX: usize = 1_400;
/// SNMP's own frame around the variables: sequence, version, community, PDU head.
const FRAME_OCTETS: usize = 60;
/// Repetitions of GetBulk that are looked at; the datagram is full long before.
const REPETITIONS_MAX: u32 = 1_000;
/// Variables in a request: more do not fit a datagram either.
const VARIABLES_MAX: usize = 256;

const SYSTEM: &[u32] = &[1, 3, 6, 1, 2, 1, 1];
const IF_NUMBER: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 1, 0];
const IF_ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
const IFX_ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1];
/// cpmCPUTotalEntry; 6, 7, 8 are the "Rev" gauges of 5 s, 1 min, 5 min.
const CPU_ENTRY: &[u32] = &[1, 3, 6, 1, 4, 1, 9, 9, 109, 1, 1, 1, 1];

/// RFC 2863: index, descr, type, mtu, speed, address, admin, oper, last change, in octets, unicast,
/// discards, errors, out octets, unicast, discards, errors.
const IF_COLUMNS: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 17, 19, 20];
/// Name, HC in octets and unicast, HC out octets and unicast, high speed, alias, discontinuity.
const IFX_COLUMNS: &[u32] = &[1, 6, 7, 10, 11, 15, 18, 19];

// === impl Mib ===

impl Mib {
    pub fn new(layout: &Layout, device: DeviceId) -> Mib {
        let oid = |prefix: &[u32], rest: &[u32]| Oid::from(prefix).child(rest);
        let system = [
            Object::Descr,
            Object::ObjectId,
            Object::UpTime,
            Object::Contact,
            Object::Name,
            Object::Location,
            Object::Services,
        ];
        let mut objects: Vec<(Oid, Object)> = Vec::new();
        for (nth, object) in system.into_iter().enumerate() {
            objects.push((oid(SYSTEM, &[nth as u32 + 1, 0]), object));
        }
        objects.push((Oid::from(IF_NUMBER), Object::IfNumber));
        for port in &layout.devices[device].ports {
            let index = layout.ports[*port].index;
            for column in IF_COLUMNS {
                objects.push((oid(IF_ENTRY, &[*column, index]), Object::If(*column, *port)));
            }
            for column in IFX_COLUMNS {
                objects.push((oid(IFX_ENTRY, &[*column, index]), Object::IfX(*column, *port)));
            }
        }
        for column in [6, 7, 8] {
            objects.push((oid(CPU_ENTRY, &[column, 1]), Object::Cpu(column)));
        }
        objects.sort();
        Mib { objects }
    }

    pub fn answer(&self, request: &Request, agent: &mut impl Agent) -> Response {
        match request {
            Request::Get(oids) if oids.len() <= VARIABLES_MAX => {
                self.each(oids, |oid| self.get(oid, agent))
            }
            Request::GetNext(oids) if oids.len() <= VARIABLES_MAX => {
                self.each(oids, |oid| self.next(oid, agent))
            }
            Request::GetBulk { non_repeaters, max_repetitions, oids } => {
                self.bulk(*non_repeaters, *max_repetitions, oids, agent)
            }
            Request::Set(binds) if binds.len() <= VARIABLES_MAX => self.set(binds, agent),
            _ => error(TOO_BIG, 0, Vec::new()),
        }
    }

    fn each(&self, oids: &[Oid], one: impl Fn(&Oid) -> VarBind) -> Response {
        let binds: Vec<VarBind> = oids.iter().map(one).collect();
        let octets: usize = binds.iter().map(octets).sum();
        if octets + FRAME_OCTETS > OCTETS_MAX {
            // RFC 3416 §4.2.1: an answer that does not fit has no variables.
            return error(TOO_BIG, 0, Vec::new());
        }
        Response { error_status: 0, error_index: 0, binds }
    }

    fn get(&self, oid: &Oid, agent: &impl Agent) -> VarBind {
        let value = match self.find(oid) {
            Some(object) => agent.value(object),
            None if self.has_column(oid) => Value::NoSuchInstance,
            None => Value::NoSuchObject,
        };
        VarBind { oid: oid.clone(), value }
    }

    fn next(&self, oid: &Oid, agent: &impl Agent) -> VarBind {
        let place = self.objects.partition_point(|(other, _)| other <= oid);
        match self.objects.get(place) {
            Some((found, object)) => VarBind { oid: found.clone(), value: agent.value(*object) },
            None => VarBind { oid: oid.clone(), value: Value::EndOfMibView },
        }
    }

    /// RFC 3416 §4.2.3: as many as fit; ends where a whole row is past the end.
    fn bulk(
        &self,
        non_repeaters: u32,
        max_repetitions: u32,
        oids: &[Oid],
        agent: &impl Agent,
    ) -> Response {
        let mut binds = Vec::new();
        let mut left = OCTETS_MAX - FRAME_OCTETS;
        let mut fits = |bind: &VarBind| {
            let fits = octets(bind) <= left;
            left = left.saturating_sub(octets(bind));
            fits
        };
        let once = (non_repeaters as usize).min(oids.len());
        for oid in &oids[..once] {
            let bind = self.next(oid, agent);
            if !fits(&bind) {
                return Response { error_status: 0, error_index: 0, binds };
            }
            binds.push(bind);
        }
        let mut row: Vec<Oid> = oids[once..].to_vec();
        for _ in 0..max_repetitions.min(REPETITIONS_MAX) {
            let mut is_over = true;
            for oid in &mut row {
                let bind = self.next(oid, agent);
                if !fits(&bind) {
                    return Response { error_status: 0, error_index: 0, binds };
                }
                is_over &= bind.value == Value::EndOfMibView;
                *oid = bind.oid.clone();
                binds.push(bind);
            }
            if is_over {
                break;
            }
        }
        Response { error_status: 0, error_index: 0, binds }
    }

    /// All or nothing: first every variable is looked at, then all are set.
    fn set(&self, binds: &[VarBind], agent: &mut impl Agent) -> Response {
        let mut wanted = Vec::new();
        for (nth, bind) in binds.iter().enumerate() {
            match self.may_set(bind) {
                Ok(change) => wanted.push(change),
                Err(status) => return error(status, nth as u32 + 1, binds.to_vec()),
            }
        }
        for (port, is_up) in wanted {
            agent.set_admin(port, is_up);
        }
        Response { error_status: 0, error_index: 0, binds: binds.to_vec() }
    }

    fn may_set(&self, bind: &VarBind) -> Result<(PortId, bool), u32> {
        let Some(Object::If(IF_ADMIN_STATUS, port)) = self.find(&bind.oid) else {
            return Err(NOT_WRITABLE);
        };
        match bind.value {
            Value::Integer(1) => Ok((port, true)),
            Value::Integer(2) => Ok((port, false)),
            Value::Integer(_) => Err(WRONG_VALUE),
            _ => Err(WRONG_TYPE),
        }
    }

    fn find(&self, oid: &Oid) -> Option<Object> {
        let place = self.objects.binary_search_by(|(other, _)| other.cmp(oid)).ok()?;
        Some(self.objects[place].1)
    }

    /// Whether this is an instance, not there, of a column that is.
    fn has_column(&self, oid: &Oid) -> bool {
        let arcs = &oid.0;
        let column = |prefix: &[u32]| prefix.len() + 1;
        let lens = [column(SYSTEM), column(IF_ENTRY), column(IFX_ENTRY), column(CPU_ENTRY)];
        lens.iter().filter(|len| arcs.len() > **len).any(|len| {
            let place = self.objects.partition_point(|(other, _)| other.0[..] < arcs[..*len]);
            self.objects.get(place).is_some_and(|(other, _)| {
                other.0.len() == len + 1 && other.0.starts_with(&arcs[..*len])
            })
        })
    }
}

fn error(error_status: u32, error_index: u32, binds: Vec<VarBind>) -> Response {
    Response { error_status, error_index, binds }
}

/// What ifType says: ethernetCsmacd or softwareLoopback.
pub fn if_type(at: At) -> i32 {
    if at == At::Loopback { 24 } else { 6 }
}

/// What a variable takes on the wire, at most: arcs of up to 5 octets, tags and lengths.
fn octets(bind: &VarBind) -> usize {
    let arc = |arc: &u32| (32 - arc.leading_zeros() as usize).div_ceil(7).max(1);
    let oid = |oid: &Oid| oid.0.iter().map(arc).sum::<usize>();
    let value = match &bind.value {
        Value::OctetString(text) => text.len(),
        Value::ObjectId(id) => oid(id),
        Value::Counter64(_) => 9,
        Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => 0,
        _ => 5,
    };
    oid(&bind.oid) + value + 12
}
