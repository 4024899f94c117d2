//! The device: an SNMP v2c agent on UDP with one value an object, that counts how often each of
//! them became another one.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use model::snmp::{Oid, Request, Response, Value, VarBind};
use sim::net::ber::Message;

use super::gate::{Gate, Stop};

/// `ifAdminStatus` of RFC 2863: 1 up, 2 down.
const ADMIN_STATUS: [u32; 10] = [1, 3, 6, 1, 2, 1, 2, 2, 1, 7];
pub const UP: i32 = 1;
pub const DOWN: i32 = 2;
const LOOK: Duration = Duration::from_millis(50);
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// What is known of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub value: i32,
    /// Sets, those of the value that is there included.
    pub sets: u32,
    /// Sets that made another value of it.
    pub changes: u32,
}

pub struct Agent {
    pub gate: Gate,
    pub port: u16,
    socket: UdpSocket,
    objects: Mutex<BTreeMap<u32, Seen>>,
}

// === impl Seen ===

impl Default for Seen {
    fn default() -> Seen {
        Seen { value: DOWN, sets: 0, changes: 0 }
    }
}

// === impl Agent ===

impl Agent {
    pub fn bind() -> Result<Arc<Agent>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(LOOK))?;
        let port = socket.local_addr()?.port();
        Ok(Arc::new(Agent { gate: Gate::default(), port, socket, objects: Mutex::default() }))
    }

    /// What a gate's spot has for a subject.
    pub fn asked(index: u32) -> String {
        format!("get {index}")
    }

    pub fn told(index: u32, value: i32) -> String {
        format!("set {index} = {value}")
    }

    pub fn seen(&self, index: u32) -> Seen {
        self.with(index, |seen| *seen)
    }

    /// Answers until it is told to stop.
    pub fn serve(&self, stop: &AtomicBool) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        while !stop.load(Ordering::SeqCst) {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let Some(message) = Message::decode(&buffer[..len]) else { continue };
            let Some((subject, response)) = self.take(&message.request) else { continue };
            if self.gate.pass(&subject, Stop::Made) {
                continue;
            }
            // Whoever asked may be dead by now.
            let _ = self.socket.send_to(&message.answer(&response), from);
            self.gate.pass(&subject, Stop::Answered);
        }
    }

    /// Does what is asked; nothing where the asker died before.
    fn take(&self, request: &Request) -> Option<(String, Response)> {
        let (index, value) = match request {
            Request::Get(oids) => (index(oids.first()?)?, None),
            Request::Set(binds) => match binds.first()? {
                VarBind { oid, value: Value::Integer(value) } => (index(oid)?, Some(*value)),
                _ => return None,
            },
            _ => return None,
        };
        let subject = match value {
            None => Agent::asked(index),
            Some(value) => Agent::told(index, value),
        };
        if self.gate.pass(&subject, Stop::Arrived) {
            return None;
        }
        let value = self.with(index, |seen| seen.set(value));
        Some((subject, response(index, value)))
    }

    fn with<T>(&self, index: u32, what: impl FnOnce(&mut Seen) -> T) -> T {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        what(objects.entry(index).or_default())
    }
}

impl Seen {
    fn set(&mut self, value: Option<i32>) -> i32 {
        if let Some(value) = value {
            self.sets += 1;
            self.changes += u32::from(value != self.value);
            self.value = value;
        }
        self.value
    }
}

fn index(oid: &Oid) -> Option<u32> {
    match oid.0.strip_prefix(&ADMIN_STATUS) {
        Some([index]) => Some(*index),
        _ => None,
    }
}

fn response(index: u32, value: i32) -> Response {
    let oid = Oid([&ADMIN_STATUS[..], &[index]].concat());
    let bind = VarBind { oid, value: Value::Integer(value) };
    Response { error_status: 0, error_index: 0, binds: vec![bind] }
}
