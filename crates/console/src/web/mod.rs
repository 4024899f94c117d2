//! The pages over HTTP: what every request shares. Handlers make a view model from the store and
//! give it as HTML or JSON; the guard in front of them says who may ask.

mod answer;
mod api;
mod assets;
mod guard;
mod live;
mod pages;
mod query;
mod templates;
mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use runtime::task::Clock;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

use crate::config::ConsoleConfig;
use crate::store::Store;
use crate::write::Words;

/// What all handlers share.
pub struct Shared {
    pub config: ConsoleConfig,
    pub store: Store,
    pub words: Words,
    pub clock: Box<dyn Clock>,
    /// What a form must bring back: unknown to other sites, new with each start.
    pub csrf: String,
    /// What the cookie of a login says.
    session: Option<String>,
    templates: minijinja::Environment<'static>,
    live: AtomicUsize,
    queries: Arc<Semaphore>,
    /// True once the pages are to end.
    ending: watch::Receiver<bool>,
}

pub type App = Arc<Shared>;

// === impl Shared ===

impl Shared {
    pub fn new(
        config: ConsoleConfig,
        store: Store,
        words: Words,
        clock: Box<dyn Clock>,
        secret: [u8; 32],
        ending: watch::Receiver<bool>,
    ) -> App {
        let csrf = digest(&[b"form", &secret]);
        let session = config.token.as_ref();
        let session = session.map(|token| digest(&[b"login", &secret, token.0.as_bytes()]));
        let queries = Arc::new(Semaphore::new(config.query.running_max));
        Arc::new(Shared {
            config,
            store,
            words,
            clock,
            csrf,
            session,
            templates: templates::environment(),
            live: AtomicUsize::new(0),
            queries,
            ending,
        })
    }

    /// Hears of the end.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.clone()
    }
}

/// Hexadecimal SHA-256 of some parts.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares what must not be guessed: by digests, so that the time tells nothing of the text.
fn same_secret(a: &str, b: &str) -> bool {
    digest(&[a.as_bytes()]) == digest(&[b.as_bytes()])
}

pub fn router(app: App) -> Router {
    let limit = DefaultBodyLimit::max(app.config.request_bytes_max);
    Router::new()
        .route("/", get(pages::list))
        .route("/incidents", get(pages::list))
        .route("/incidents/{id}", get(pages::incident))
        .route("/incidents/{id}/feedback", post(words::feedback_form))
        .route("/executions/{id}/approve", post(words::approve_form))
        .route("/executions/{id}/reject", post(words::reject_form))
        .route("/data", get(pages::data))
        .route("/query", get(pages::query))
        .route("/live", get(live::list))
        .route("/live/data", get(live::data))
        .route("/live/incidents/{id}", get(live::incident))
        .route("/login", get(pages::login).post(words::login))
        .route("/api/incidents", get(api::incidents))
        .route("/api/incidents/{id}", get(api::incident))
        .route("/api/incidents/{id}/feedback", post(api::feedback))
        .route("/api/executions/{id}", get(api::execution))
        .route("/api/executions/{id}/approve", post(api::approve))
        .route("/api/executions/{id}/reject", post(api::reject))
        .route("/api/data", get(api::data))
        .route("/api/query", get(api::query).post(api::query_body))
        .route("/assets/{file}", get(assets::asset))
        .route("/-/healthy", get(|| async { "the console is running\n" }))
        .fallback(pages::nothing)
        .layer(limit)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}
