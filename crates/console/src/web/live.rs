//! Server-sent events: a page hears that its view is another one, and fetches itself. The event
//! carries the view's hash, so a page that is as it should be does nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::answer::{Problem, hash};
use super::{App, Shared};
use crate::metrics::{LIVE, refused};
use crate::view;
use crate::view::list::Filter;

/// A page changes at most so often.
const STEADY: Duration = Duration::from_millis(300);
/// The data page has numbers that always change.
const STEADY_DATA: Duration = Duration::from_secs(2);

pub async fn list(State(app): State<App>, Query(filter): Query<Filter>) -> Response {
    stream(app, STEADY, move |app| hash(&view::list::list(&app.store.read(), &filter)))
}

pub async fn data(State(app): State<App>) -> Response {
    stream(app, STEADY_DATA, |app| hash(&view::data::data(&app.store.read())))
}

pub async fn incident(State(app): State<App>, Path(id): Path<String>) -> Response {
    stream(app, STEADY, move |app| hash(&view::incident::incident(&app.store.read(), &id)))
}

/// One open page, counted until it is dropped.
struct Open(App);

struct Live<F> {
    open: Open,
    versions: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
    steady: Duration,
    told: Option<String>,
    view: F,
}

fn stream<F>(app: App, steady: Duration, view: F) -> Response
where
    F: Fn(&Shared) -> String + Send + 'static,
{
    let Some(open) = Open::new(&app) else {
        refused("live pages");
        let why = "too many live pages (console.live_pages_max); this one does not move";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let (versions, ending) = (app.store.watch(), app.ending.clone());
    let live = Live { open, versions, ending, steady, told: None, view };
    let events = futures_util::stream::unfold(live, |mut live| async move {
        let hash = live.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(hash)), live))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

// === impl Live ===

impl<F: Fn(&Shared) -> String> Live<F> {
    /// The next hash that is another one; `None` at the end of the console.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.ending.borrow() {
                return None;
            }
            self.versions.borrow_and_update();
            let hash = (self.view)(&self.open.0);
            if self.told.as_ref() != Some(&hash) {
                self.told = Some(hash.clone());
                return Some(hash);
            }
            tokio::select! {
                changed = self.versions.changed() => changed.ok()?,
                _ = self.ending.changed() => return None,
            }
            // Rows that come together make one change.
            tokio::time::sleep(self.steady).await;
        }
    }
}

// === impl Open ===

impl Open {
    fn new(app: &App) -> Option<Open> {
        let max = app.config.live_pages_max;
        let more = |open: usize| (open < max).then_some(open + 1);
        let before = app.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        metrics::gauge!(LIVE).set((before + 1) as f64);
        Some(Open(Arc::clone(app)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let before = self.0.live.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!(LIVE).set(before.saturating_sub(1) as f64);
    }
}
