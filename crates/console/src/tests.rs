//! The console over a log in memory: what the store makes of rows, what the pages say, who may say
//! what, and that all of it stays quick and within limits.

#[path = "../examples/look/seed.rs"]
mod seed;

mod bounds;
mod pages;
mod said;
mod store;
mod views;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bus::{BusConfig, EmbeddedLog, Log};
use runtime::admin::Readiness;
use runtime::shutdown::Shutdown;
use runtime::task::SystemClock;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::config::ConsoleConfig;
use crate::store::{State, Store, follow};
use crate::web;
use crate::write::Words;

/// 2026-11-26 10:00:00 UTC.
pub const NOW_MS: i64 = 1_795_687_200_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A log, a store that follows it on a thread, and the router.
pub struct Console {
    pub log: Arc<dyn Log>,
    pub bus: BusConfig,
    pub store: Store,
    pub router: Router,
    pub csrf: String,
    shutdown: Shutdown,
    follower: Option<std::thread::JoinHandle<()>>,
    _end: watch::Sender<bool>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

// === impl Console ===

impl Console {
    pub fn new() -> Console {
        Console::with(ConsoleConfig::default())
    }

    pub fn seeded() -> Console {
        let console = Console::new();
        seed::network(&*console.log, &console.bus, NOW_MS).unwrap();
        console.until(|state| state.incidents.len() == 5 && state.repairs.len() == 3);
        console
    }

    pub fn with(config: ConsoleConfig) -> Console {
        let bus = BusConfig::default();
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory().unwrap());
        bus::topics::apply(log.admin(), &bus::topics::catalogue(&bus)).unwrap();
        Console::over(config, log, bus)
    }

    pub fn over(config: ConsoleConfig, log: Arc<dyn Log>, bus: BusConfig) -> Console {
        let store = Store::new(config.store.clone(), config.store.path.is_some());
        let words = Words::new(Arc::clone(&log), bus.clone(), "test", 1);
        let (end, ending) = watch::channel(false);
        let limits = config.store.clone();
        let clock = Box::new(SystemClock::default());
        let app = web::Shared::new(config, store.clone(), words, clock, [7; 32], ending);
        let shutdown = Shutdown::new();
        let readiness = Readiness::default();
        let ready = readiness.condition("console", "reading");
        let follower = {
            let (log, bus, store) = (Arc::clone(&log), bus.clone(), store.clone());
            let shutdown = shutdown.clone();
            std::thread::spawn(move || {
                follow(&*log, &bus, &store, &limits, NOW_MS, Some(&ready), &shutdown).unwrap();
            })
        };
        wait(|| readiness.unmet().is_empty());
        Console {
            log,
            bus,
            store,
            csrf: app.csrf.clone(),
            router: web::router(app),
            shutdown,
            follower: Some(follower),
            _end: end,
        }
    }

    pub fn seed(&self) -> seed::Seed<'_> {
        seed::Seed::new(&*self.log, &self.bus, NOW_MS)
    }

    /// Waits until the store says so.
    pub fn until(&self, is_so: impl Fn(&State) -> bool) {
        wait(|| is_so(&self.store.read()));
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        // As a browser reads it: a stroke is escaped in pages.
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace("&#x2f;", "/");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// A form as a browser sends it from our own page.
    pub async fn form(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header("host", "127.0.0.1:8080")
            .header("origin", "http://127.0.0.1:8080")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Ends the follower, so that what it keeps is written.
    pub fn stop(&mut self) {
        self.shutdown.request();
        if let Some(follower) = self.follower.take() {
            follower.join().unwrap();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

pub fn wait(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come to pass within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
