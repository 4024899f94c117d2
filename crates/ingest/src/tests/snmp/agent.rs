//! An agent in memory: a table of objects, asked as a real one is, with the quirks of real ones.

use std::collections::BTreeMap;
use std::ops::Bound;

use model::snmp::{Oid, Request, Response, TOO_BIG, Value, VarBind};

use crate::snmp::mib::Column;

/// How an agent is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// An answer holds at most so many binds; the rest is left out, as RFC 3416 allows.
    Truncates(usize),
    /// `tooBig` instead.
    TooBig(usize),
    /// `genErr` to every GETBULK.
    NoBulk,
    /// Behind the end of a column its first row comes again, for ever.
    Circles,
    /// GETNEXT and GETBULK give back what was asked.
    Same,
    /// An answer without binds to GETBULK.
    EmptyBulk,
    /// `genErr` about this bind, counted from 1.
    ErrorAt(u32),
    /// No answer to every n-th request.
    Loses(u32),
    Silent,
}

#[derive(Clone, Debug, Default)]
pub struct Agent {
    pub objects: BTreeMap<Oid, Value>,
    pub quirk: Option<Quirk>,
    pub asked: Vec<Request>,
}

impl Agent {
    /// An agent of `n` interfaces `Gi0/1` … whose counters stand at 1,000 times their number.
    pub fn with_interfaces(n: u32) -> Agent {
        let mut agent = Agent::default();
        agent.set_uptime(360_000);
        for i in 1..=n {
            agent.set(Column::Name, i, Value::OctetString(format!("Gi0/{i}").into_bytes()));
            let descr = format!("GigabitEthernet0/{i}");
            agent.set(Column::Descr, i, Value::OctetString(descr.into_bytes()));
            agent.set(Column::Alias, i, Value::OctetString(b"to core".to_vec()));
            agent.set(Column::HighSpeed, i, Value::Gauge32(1_000));
            agent.set(Column::Speed, i, Value::Gauge32(1_000_000_000));
            agent.set(Column::Admin, i, Value::Integer(1));
            agent.set(Column::Oper, i, Value::Integer(1));
            for column in [Column::In64, Column::Out64] {
                agent.set(column, i, Value::Counter64(u64::from(i) * 1_000));
            }
            for column in [
                Column::In32,
                Column::Out32,
                Column::InErrors,
                Column::OutErrors,
                Column::InDiscards,
                Column::OutDiscards,
            ] {
                agent.set(column, i, Value::Counter32(i * 1_000));
            }
            agent.set(Column::Discontinuity, i, Value::TimeTicks(0));
        }
        agent
    }

    pub fn set(&mut self, column: Column, index: u32, value: Value) {
        self.objects.insert(column.oid().child(&[index]), value);
    }

    pub fn remove(&mut self, column: Column) {
        let base = column.oid();
        self.objects.retain(|oid, _| oid.under(&base).is_none());
    }

    pub fn set_uptime(&mut self, ticks: u32) {
        let oid: Oid = "1.3.6.1.2.1.1.3.0".parse().expect("an identifier");
        self.objects.insert(oid, Value::TimeTicks(ticks));
    }

    fn next(&self, oid: &Oid) -> VarBind {
        if self.quirk == Some(Quirk::Same) {
            return VarBind { oid: oid.clone(), value: Value::Integer(1) };
        }
        let mut behind = self.objects.range((Bound::Excluded(oid.clone()), Bound::Unbounded));
        match behind.next() {
            Some((next, value)) if self.quirk == Some(Quirk::Circles) => {
                // Within the table every column begins again behind its end.
                let column = &oid.0[..oid.0.len() - 1];
                if oid.0.len() > 9 && next.0.len() == oid.0.len() && !next.0.starts_with(column) {
                    let first = Oid(column.to_vec());
                    return self.first_behind(&first);
                }
                VarBind { oid: next.clone(), value: value.clone() }
            }
            Some((next, value)) => VarBind { oid: next.clone(), value: value.clone() },
            None => VarBind { oid: oid.clone(), value: Value::EndOfMibView },
        }
    }

    fn first_behind(&self, oid: &Oid) -> VarBind {
        let mut behind = self.objects.range((Bound::Excluded(oid.clone()), Bound::Unbounded));
        let found = behind.next().map(|(oid, value)| (oid.clone(), value.clone()));
        let (oid, value) = found.unwrap_or((oid.clone(), Value::EndOfMibView));
        VarBind { oid, value }
    }

    pub fn ask(&mut self, request: &Request) -> Option<Response> {
        self.asked.push(request.clone());
        let error = |error_status, error_index| {
            Some(Response { error_status, error_index, binds: Vec::new() })
        };
        let is_bulk = matches!(request, Request::GetBulk { .. });
        match self.quirk {
            Some(Quirk::Silent) => return None,
            Some(Quirk::Loses(n)) if (self.asked.len() as u32).is_multiple_of(n) => return None,
            Some(Quirk::NoBulk) if is_bulk => return error(5, 0),
            Some(Quirk::ErrorAt(index)) => return error(5, index),
            Some(Quirk::EmptyBulk) if is_bulk => return error(0, 0),
            _ => {}
        }
        let mut binds = self.binds(request);
        match self.quirk {
            Some(Quirk::Truncates(n)) => binds.truncate(n),
            Some(Quirk::TooBig(n)) if binds.len() > n => return error(TOO_BIG, 0),
            _ => {}
        }
        Some(Response { error_status: 0, error_index: 0, binds })
    }

    fn binds(&self, request: &Request) -> Vec<VarBind> {
        match request {
            Request::Get(oids) => {
                let value = |oid: &Oid| self.objects.get(oid).cloned();
                let bind = |oid: &Oid| VarBind {
                    oid: oid.clone(),
                    value: value(oid).unwrap_or(Value::NoSuchInstance),
                };
                oids.iter().map(bind).collect()
            }
            Request::GetNext(oids) => oids.iter().map(|oid| self.next(oid)).collect(),
            Request::GetBulk { non_repeaters, max_repetitions, oids } => {
                let (once, often) = oids.split_at((*non_repeaters as usize).min(oids.len()));
                let mut binds: Vec<VarBind> = once.iter().map(|oid| self.next(oid)).collect();
                let mut at: Vec<Oid> = often.to_vec();
                for _ in 0..*max_repetitions {
                    for oid in &mut at {
                        let bind = self.next(oid);
                        *oid = bind.oid.clone();
                        binds.push(bind);
                    }
                }
                binds
            }
            Request::Set(_) => panic!("a poller never writes"),
        }
    }
}
