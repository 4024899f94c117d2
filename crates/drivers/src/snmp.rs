//! SNMP v2c: sets one object, and reads it. A set that is repeated changes nothing more, so a
//! datagram without an answer is sent again.
//!
//! Parameters: `get` OID; `set` OID with `integer`, `gauge` or `text`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use act::{Call, Driver, DriverError};
use async_snmp::{Auth, Client, Error, Oid, ResponseShapePolicy, Retry, Value};
use tokio::runtime::{Builder, Runtime};

use crate::config::{Secret, SnmpConfig};

pub struct SnmpDriver {
    credentials: BTreeMap<String, Secret>,
    port: u16,
    timeout: Duration,
    retries: u32,
    /// One call at a time drives the sockets of all.
    runtime: Mutex<Runtime>,
}

enum Ask {
    Get(Oid),
    Set(Oid, Value),
}

// === impl SnmpDriver ===

impl SnmpDriver {
    pub fn new(config: &SnmpConfig) -> std::io::Result<SnmpDriver> {
        Ok(SnmpDriver {
            credentials: config.credentials.clone(),
            port: config.port,
            timeout: Duration::from_millis(config.timeout_ms),
            retries: config.retries,
            runtime: Mutex::new(Builder::new_current_thread().enable_all().build()?),
        })
    }

    fn ask(&self, call: &Call, ask: Ask) -> Result<String, DriverError> {
        let target = call.target()?;
        let name = target.credential.as_deref().unwrap_or("");
        let community = self.credentials.get(name).ok_or_else(|| {
            DriverError::Refused(format!("drivers.snmp.credentials has no {name:?}"))
        })?;
        let address = (target.address.clone(), target.snmp_port.unwrap_or(self.port));
        let retry = Retry::fixed(self.retries, Duration::ZERO)
            .map_err(|e| DriverError::Refused(e.to_string()))?;
        let sets = matches!(ask, Ask::Set(..));
        let exchange = async {
            let auth = Auth::v2c(community.expose().as_bytes().to_vec());
            let client = Client::builder(address, auth)
                .response_shape_policy(ResponseShapePolicy::Strict)
                .request_timeout(self.timeout)
                .retry(retry)
                .connect()
                .await
                .map_err(|e| DriverError::Unreached(e.to_string()))?;
            let response = match &ask {
                Ask::Get(oid) => client.get(oid).await,
                Ask::Set(oid, value) => client.set(oid, value.clone()).await,
            };
            let response = response.map_err(|e| failed(&e, sets))?;
            let bind = response.single().ok_or_else(|| unclear("an answer without a value"))?;
            text(&bind.value)
        };
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(async {
            let limit = call.timeout();
            match tokio::time::timeout(limit, exchange).await {
                Ok(made) => made,
                Err(_) if sets => Err(unclear(&format!("none within {limit:?}"))),
                Err(_) => Err(DriverError::Unreached(format!("no answer within {limit:?}"))),
            }
        })
    }
}

impl Driver for SnmpDriver {
    fn can_read(&self) -> bool {
        true
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        self.ask(call, Ask::Get(oid(call.parameter("get")?)?))
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        let oid = oid(call.parameter("set")?)?;
        self.ask(call, Ask::Set(oid, value(call)?))
    }
}

/// The agent's own word is no; without one, a set may have been made.
fn failed(error: &Error, sets: bool) -> DriverError {
    let says_no = matches!(error.kind(), async_snmp::ErrorKind::Snmp | async_snmp::ErrorKind::Auth);
    match (says_no, sets) {
        (true, _) => DriverError::Refused(error.to_string()),
        (false, true) => DriverError::Unclear(error.to_string()),
        (false, false) => DriverError::Unreached(error.to_string()),
    }
}

fn unclear(what: &str) -> DriverError {
    DriverError::Unclear(what.to_owned())
}

fn oid(text: &str) -> Result<Oid, DriverError> {
    let text = text.trim_start_matches('.');
    Oid::parse(text).map_err(|_| DriverError::Refused(format!("{text:?} is no object identifier")))
}

fn value(call: &Call) -> Result<Value, DriverError> {
    let of = |name: &str| call.parameters.get(name);
    let no_number = |text: &str| DriverError::Refused(format!("{text:?} is no number"));
    match (of("integer"), of("gauge"), of("text")) {
        (Some(text), None, None) => {
            text.trim().parse().map(Value::Integer).map_err(|_| no_number(text))
        }
        (None, Some(text), None) => {
            text.trim().parse().map(Value::Gauge32).map_err(|_| no_number(text))
        }
        (None, None, Some(text)) => Ok(Value::OctetString(text.clone().into_bytes().into())),
        _ => Err(DriverError::Refused("a set has one of integer, gauge and text".to_owned())),
    }
}

/// A value as bindings compare it.
fn text(value: &Value) -> Result<String, DriverError> {
    Ok(match value {
        Value::Integer(n) => n.to_string(),
        Value::Counter32(n) | Value::Gauge32(n) | Value::TimeTicks(n) => n.to_string(),
        Value::Counter64(n) => n.to_string(),
        Value::OctetString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::ObjectIdentifier(oid) => oid.to_string(),
        Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {
            return Err(DriverError::Refused("the device has no such object".to_owned()));
        }
        other => format!("{other:?}"),
    })
}
