//! The admin server of a process: `/metrics`, `/-/healthy`, `/-/ready`. It says how the process is
//! and changes nothing. On loopback unless configured otherwise; the port is bound before any work
//! starts, so that a taken port is the first thing one hears of.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::shutdown::Shutdown;
use crate::telemetry::{Telemetry, VERSION};

/// How often histograms are folded where nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct AdminConfig {
    /// Address of `/metrics`, `/-/healthy` and `/-/ready`. Port 0 takes a free one.
    pub listen: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "cannot listen on {address} for the admin server: {source} \
         (change admin.listen, or GANNET__ADMIN__LISTEN)"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot start the admin server: {0}")]
    Start(#[from] std::io::Error),
}

/// A bound port that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// What must hold before a process is ready. Clones share the conditions.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, Result<(), String>>>>,
}

/// One condition, held by who can tell it. It stays as it was last set.
#[derive(Clone, Debug)]
pub struct Condition {
    readiness: Readiness,
    name: String,
}

#[derive(Clone)]
struct Server {
    readiness: Readiness,
    telemetry: Telemetry,
    shutdown: Shutdown,
}

impl Default for AdminConfig {
    fn default() -> AdminConfig {
        AdminConfig { listen: SocketAddr::from(([127, 0, 0, 1], 9641)) }
    }
}

// === impl Readiness ===

impl Readiness {
    /// Registers a condition; until it is met it is told with `why_not`.
    pub fn condition(&self, name: &str, why_not: &str) -> Condition {
        let condition = Condition { readiness: self.clone(), name: name.to_owned() };
        condition.unmet(why_not);
        condition
    }

    /// Names and reasons of all conditions that are not met.
    pub fn unmet(&self) -> Vec<(String, String)> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let unmet = conditions.iter().filter_map(|(name, state)| {
            let reason = state.as_ref().err()?;
            Some((name.clone(), reason.clone()))
        });
        unmet.collect()
    }

    fn set(&self, name: &str, state: Result<(), String>) {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.insert(name.to_owned(), state);
    }
}

// === impl Condition ===

impl Condition {
    pub fn met(&self) {
        self.readiness.set(&self.name, Ok(()));
    }

    pub fn unmet(&self, why: &str) {
        self.readiness.set(&self.name, Err(why.to_owned()));
    }
}

// === impl Bound ===

impl Bound {
    pub fn bind(config: &AdminConfig) -> Result<Bound, AdminError> {
        let address = config.listen;
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Bound { listener, address })
        };
        bind().map_err(|source| AdminError::Bind { address, source })
    }

    /// Answers from a thread of its own until the process ends, so that a drain can be watched.
    pub fn serve(
        self,
        readiness: Readiness,
        telemetry: Telemetry,
        shutdown: Shutdown,
    ) -> Result<(), AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Server { readiness, telemetry: telemetry.clone(), shutdown };
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .route("/-/healthy", get(show_healthy))
            .route("/-/ready", get(show_ready))
            .with_state(server);
        let run = async move {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(UPKEEP_EVERY).await;
                    telemetry.upkeep();
                }
            });
            axum::serve(listener, router).await
        };
        let serve = move || {
            if let Err(error) = runtime.block_on(run) {
                tracing::error!(%error, "the admin server ended");
            }
        };
        thread::Builder::new().name("admin".to_owned()).spawn(serve)?;
        Ok(())
    }
}

async fn show_metrics(State(server): State<Server>) -> impl IntoResponse {
    // The version of the text format that Prometheus' own documentation names.
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, server.telemetry.render())
}

async fn show_healthy() -> String {
    format!("gannet {VERSION} is running\n")
}

async fn show_ready(State(server): State<Server>) -> (StatusCode, String) {
    if server.shutdown.requested() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n".to_owned());
    }
    let unmet = server.readiness.unmet();
    if unmet.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = unmet.iter().map(|(name, why)| format!("not ready: {name}: {why}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

#[cfg(test)]
mod tests;
