//! A device as SNMP sees it at one moment: values for `mib`'s objects, and the set that has an
//! effect.

use std::sync::Arc;

use model::snmp::{Oid, Request, Response, Value};

use super::layout::{DeviceId, PortId};
use super::mib::{Agent, Object, if_type};
use super::state::Counter;
use super::syslog::{By, Message};
use super::world::Net;

struct View<'a> {
    net: &'a mut Net,
    device: DeviceId,
    now_ms: i64,
}

/// Cisco's products (1.3.6.1.4.1.9.1); 1045 is an ISR 2911.
const OBJECT_ID: &[u32] = &[1, 3, 6, 1, 4, 1, 9, 1, 1045];
const MTU: i32 = 1_500;

// === impl Net ===

impl Net {
    /// What a device answers at a time that is not before the last `advance`. None: it does not
    /// answer, for it is dead, cut off from the management station, or not there.
    pub fn snmp(&mut self, device: &str, now_ms: i64, request: &Request) -> Option<Response> {
        let device = self.layout.device(device).filter(|id| self.is_heard(*id))?;
        let mib = Arc::clone(&self.mibs[device]);
        let now_ms = now_ms.max(self.settled_ms);
        Some(mib.answer(request, &mut View { net: self, device, now_ms }))
    }

    /// Whether a device is alive and its answers reach the management station.
    pub fn answers(&self, device: &str) -> bool {
        self.layout.device(device).is_some_and(|id| self.is_heard(id))
    }
}

// === impl View ===

impl View<'_> {
    fn count(&self, port: PortId, counter: Counter) -> u64 {
        let seconds = (self.now_ms - self.net.settled_ms) as f64 / 1_000.0;
        self.net.ports[port].count(counter, seconds)
    }

    fn count32(&self, port: PortId, counter: Counter) -> Value {
        Value::Counter32(self.count(port, counter) as u32)
    }

    /// Hundredths of a second from the boot to a time; 0 where that was before.
    fn ticks(&self, at_ms: i64) -> Value {
        let since = at_ms.saturating_sub(self.net.devices[self.device].boot_ms).max(0);
        Value::TimeTicks((since / 10) as u32)
    }

    fn interface(&self, column: u32, port: PortId) -> Value {
        let (fixed, state) = (&self.net.layout.ports[port], &self.net.ports[port]);
        let status = |is_up: bool| Value::Integer(if is_up { 1 } else { 2 });
        match column {
            1 => Value::Integer(fixed.index as i32),
            2 => text(&fixed.descr),
            3 => Value::Integer(if_type(fixed.at)),
            4 => Value::Integer(MTU),
            5 => Value::Gauge32(u32::try_from(fixed.speed_bps).unwrap_or(u32::MAX)),
            6 => Value::OctetString(vec![2, 0, 0x5e, 0x77, self.device as u8, fixed.index as u8]),
            7 => status(state.admin_up),
            8 => status(state.oper_up),
            9 => self.ticks(state.changed_ms),
            10 => self.count32(port, Counter::InOctets),
            11 => self.count32(port, Counter::InPackets),
            13 => self.count32(port, Counter::InDiscards),
            14 => self.count32(port, Counter::InErrors),
            16 => self.count32(port, Counter::OutOctets),
            17 => self.count32(port, Counter::OutPackets),
            19 => self.count32(port, Counter::OutDiscards),
            _ => self.count32(port, Counter::OutErrors),
        }
    }

    fn interface_x(&self, column: u32, port: PortId) -> Value {
        let fixed = &self.net.layout.ports[port];
        let count = |counter| Value::Counter64(self.count(port, counter));
        match column {
            1 => text(&fixed.name),
            6 => count(Counter::InOctets),
            7 => count(Counter::InPackets),
            10 => count(Counter::OutOctets),
            11 => count(Counter::OutPackets),
            15 => Value::Gauge32((fixed.speed_bps / 1_000_000) as u32),
            18 => text(&fixed.alias),
            // Counters have gone on since the boot.
            _ => Value::TimeTicks(0),
        }
    }
}

impl Agent for View<'_> {
    fn value(&self, object: Object) -> Value {
        let device = &self.net.layout.devices[self.device];
        let state = &self.net.devices[self.device];
        match object {
            Object::Descr => text("Cisco IOS Software, simulated, Version 15.9(3)M"),
            Object::ObjectId => Value::ObjectId(Oid::from(OBJECT_ID)),
            Object::UpTime => self.ticks(self.now_ms),
            Object::Contact => text("noc@example.net"),
            Object::Name => text(device.name),
            Object::Location => text(device.site),
            Object::Services => Value::Integer(78),
            Object::IfNumber => Value::Integer(device.ports.len() as i32),
            Object::If(column, port) => self.interface(column, port),
            Object::IfX(column, port) => self.interface_x(column, port),
            Object::Cpu(6) => Value::Gauge32(state.cpu.round() as u32),
            Object::Cpu(_) => Value::Gauge32(state.cpu_minute.round() as u32),
        }
    }

    fn set_admin(&mut self, port: PortId, is_up: bool) {
        if self.net.params.deaf {
            return;
        }
        if self.net.set_admin_now(port, is_up, self.now_ms) {
            let by = By::Snmp(super::change::STATION);
            self.net.say(self.device, Message::Configured { by }, self.now_ms);
        }
    }
}

fn text(text: &str) -> Value {
    Value::OctetString(text.as_bytes().to_vec())
}
