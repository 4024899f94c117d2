//! The simulated network as act's drivers reach it in simulated time: no socket, the network's own
//! time, and a list of what was written to whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use act::{Call, Driver, DriverError, Drivers};
use model::snmp::{Oid, Request, Response, Value, VarBind};
use sim::net::Net;

/// A network that is fed and repaired by turns.
pub type Shared = Arc<Mutex<Net>>;

/// What a driver wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub driver: &'static str,
    pub device: String,
    pub what: String,
}

pub type Writes = Arc<Mutex<Vec<Written>>>;

struct Snmp {
    net: Shared,
    writes: Writes,
}

struct Line {
    net: Shared,
    writes: Writes,
}

struct Notify {
    writes: Writes,
}

/// Drivers by the names that the shipped bindings use.
pub fn drivers(net: &Shared, writes: &Writes) -> Drivers {
    let (net, writes) = (|| Arc::clone(net), || Arc::clone(writes));
    Drivers::default()
        .with("snmp", Arc::new(Snmp { net: net(), writes: writes() }))
        .with("sim", Arc::new(Line { net: net(), writes: writes() }))
        .with("notify", Arc::new(Notify { writes: writes() }))
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wrote(writes: &Writes, driver: &'static str, call: &Call, what: &str) {
    let device = call.device.as_ref().map_or(String::new(), |target| target.name.clone());
    lock(writes).push(Written { driver, device, what: what.to_owned() });
}

// === impl Snmp ===

impl Snmp {
    fn ask(&self, call: &Call, request: &Request) -> Result<String, DriverError> {
        let device = &call.target()?.name;
        // Its own time: a request does not move it on.
        let answer = lock(&self.net).snmp(device, 0, request);
        let Response { error_status, binds, .. } =
            answer.ok_or_else(|| DriverError::Unreached("no answer".to_owned()))?;
        match (error_status, binds.first().map(|bind| &bind.value)) {
            (0, Some(Value::Integer(n))) => Ok(n.to_string()),
            (0, other) => Err(DriverError::Refused(format!("no integer: {other:?}"))),
            (status, _) => Err(DriverError::Refused(format!("error status {status}"))),
        }
    }
}

fn oid(text: &str) -> Result<Oid, DriverError> {
    text.parse().map_err(|_| DriverError::Refused(format!("no object: {text}")))
}

impl Driver for Snmp {
    fn can_read(&self) -> bool {
        true
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        self.ask(call, &Request::Get(vec![oid(call.parameter("get")?)?]))
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        let (object, text) = (call.parameter("set")?, call.parameter("integer")?);
        let number = text.trim().parse().map_err(|_| DriverError::Refused("no number".into()))?;
        wrote(&self.writes, "snmp", call, &format!("{object} = {number}"));
        let bind = VarBind { oid: oid(object)?, value: Value::Integer(number) };
        self.ask(call, &Request::Set(vec![bind]))
    }
}

// === impl Line ===

impl Line {
    fn say(&self, call: &Call) -> Result<String, DriverError> {
        let (device, line) = (&call.target()?.name, call.parameter("line")?);
        lock(&self.net).command(device, 0, line).map_err(DriverError::Refused)
    }
}

impl Driver for Line {
    fn can_read(&self) -> bool {
        true
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        self.say(call)
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        wrote(&self.writes, "sim", call, call.parameter("line")?);
        self.say(call)
    }
}

impl Driver for Notify {
    fn can_read(&self) -> bool {
        false
    }

    fn read(&self, _: &Call) -> Result<String, DriverError> {
        Err(DriverError::Refused("a notification cannot be read".to_owned()))
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        wrote(&self.writes, "notify", call, call.parameter("message")?);
        Ok("told".to_owned())
    }
}
