//! Requests to real agents: SNMP v2c over UDP, one socket for all devices. The library behind it
//! changes its interface with every minor version, so only this file knows it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_snmp::transport::UdpHandle;
use async_snmp::{Auth, Client, Error, Retry, UdpTransport};
use metrics::counter;
use model::snmp::{Oid, Request, Response, Value, VarBind};

use super::{SnmpConfig, Target};
use crate::metrics as names;

/// An answer on its way; `None` where none came in time.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Option<Response>> + Send + 'a>>;

/// What carries requests to agents and brings their answers.
pub trait Agents: Send + Sync + 'static {
    fn ask<'a>(&'a self, target: &'a Target, request: &'a Request, limit: Duration) -> Answer<'a>;
}

/// Real agents. Made inside a runtime, which receives for it.
pub struct UdpAgents {
    transport: UdpTransport,
    communities: BTreeMap<String, String>,
    timeout: Duration,
    retries: u32,
    clients: Mutex<HashMap<Target, Client<UdpHandle>>>,
}

/// Clients kept before all are made anew: devices come and go.
const CLIENTS_MAX: usize = 50_000;
/// Identifiers of one request. More than we ever ask.
const OIDS_MAX: usize = 64;
/// What is told of an answer that is an error of the agent's but has no number of its own.
const GEN_ERR: u32 = 5;

// === impl UdpAgents ===

impl UdpAgents {
    /// Binds the socket: both families by one, IPv4 alone where there is no IPv6.
    pub async fn bind(config: &SnmpConfig) -> Result<UdpAgents, String> {
        let build = |address: &str| {
            let builder = UdpTransport::builder().bind(address);
            builder.recv_buffer_size(config.receive_buffer_bytes).build()
        };
        let transport = match build("[::]:0").await {
            Ok(transport) => transport,
            Err(_) => build("0.0.0.0:0").await.map_err(|error| error.to_string())?,
        };
        let named = config.credentials.iter();
        let communities =
            named.map(|(name, found)| (name.clone(), found.community.reveal().to_owned()));
        Ok(UdpAgents {
            transport,
            communities: communities.collect(),
            timeout: Duration::from_millis(config.timeout_ms),
            retries: config.retries,
            clients: Mutex::new(HashMap::new()),
        })
    }

    async fn client(&self, target: &Target) -> Option<Client<UdpHandle>> {
        let lock = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = lock().get(target) {
            return Some(client.clone());
        }
        let community = self.communities.get(&*target.credential)?;
        let retry = Retry::fixed(self.retries, Duration::ZERO).ok()?;
        let builder = Client::builder(target.address, Auth::v2c(community.as_str()));
        let builder = builder.request_timeout(self.timeout).retry(retry);
        let built = builder.max_oids_per_request(OIDS_MAX).build_with(&self.transport).await;
        let client = built.inspect_err(|error| failed(target, error)).ok()?;
        let mut clients = lock();
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(target.clone(), client.clone());
        Some(client)
    }

    async fn exchange(&self, target: &Target, request: &Request) -> Option<Response> {
        let client = self.client(target).await?;
        let wire = |oids: &[Oid]| oids.iter().map(to_wire).collect::<Vec<_>>();
        let answer = match request {
            Request::Get(oids) => client.get_many(&wire(oids)).await.map(|r| r.varbinds),
            Request::GetNext(oids) => client.get_next_many(&wire(oids)).await.map(|r| r.varbinds),
            Request::GetBulk { non_repeaters, max_repetitions, oids } => {
                client.get_bulk(&wire(oids), *non_repeaters, *max_repetitions).await
            }
            // The poller never writes.
            Request::Set(_) => return None,
        };
        match answer {
            Ok(binds) => {
                let binds = binds.into_iter().map(bind).collect();
                Some(Response { error_status: 0, error_index: 0, binds })
            }
            Err(error) => refused(&error).or_else(|| {
                failed(target, &error);
                None
            }),
        }
    }
}

impl Agents for UdpAgents {
    fn ask<'a>(&'a self, target: &'a Target, request: &'a Request, limit: Duration) -> Answer<'a> {
        Box::pin(async move {
            tokio::time::timeout(limit, self.exchange(target, request)).await.ok().flatten()
        })
    }
}

/// An error that the agent itself has answered with.
fn refused(error: &Error) -> Option<Response> {
    match error {
        Error::SharedOperation { source } => refused(source),
        Error::Exchange { source, .. } => refused(source),
        Error::Snmp { status, index, .. } => {
            let error_status = u32::try_from(status.as_i32()).unwrap_or(GEN_ERR);
            Some(Response { error_status, error_index: *index, binds: Vec::new() })
        }
        _ => None,
    }
}

fn failed(target: &Target, error: &Error) {
    if !matches!(error, Error::Timeout { .. }) {
        tracing::debug!(address = %target.address, %error, "an agent's answer is unusable");
        counter!(names::SNMP_UNUSABLE).increment(1);
    }
}

fn to_wire(oid: &Oid) -> async_snmp::Oid {
    async_snmp::Oid::from_slice(&oid.0)
}

fn bind(bind: async_snmp::VarBind) -> VarBind {
    VarBind { oid: Oid(bind.oid.arcs().to_vec()), value: value(bind.value) }
}

fn value(value: async_snmp::Value) -> Value {
    use async_snmp::Value as Wire;
    match value {
        Wire::Integer(n) => Value::Integer(n),
        Wire::OctetString(bytes) | Wire::Opaque(bytes) | Wire::Nsap(bytes) => {
            Value::OctetString(bytes.to_vec())
        }
        Wire::ObjectIdentifier(oid) => Value::ObjectId(Oid(oid.arcs().to_vec())),
        Wire::IpAddress(octets) => Value::IpAddress(octets),
        Wire::Counter32(n) => Value::Counter32(n),
        Wire::Gauge32(n) | Wire::UInteger32(n) => Value::Gauge32(n),
        Wire::TimeTicks(n) => Value::TimeTicks(n),
        Wire::Counter64(n) => Value::Counter64(n),
        Wire::NoSuchObject => Value::NoSuchObject,
        Wire::NoSuchInstance => Value::NoSuchInstance,
        Wire::EndOfMibView => Value::EndOfMibView,
        _ => Value::Null,
    }
}
