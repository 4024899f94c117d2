//! The pages.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{Problem, page, wants_json};
use super::{App, query};
use crate::view;
use crate::view::list::Filter;

pub async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Response {
    let view = view::list::list(&app.store.read(), &filter);
    let live = match filter.page {
        0 | 1 => format!("/live?{}", address(&filter)),
        _ => String::new(),
    };
    page(&app, &headers, "list.html", "Incidents", &live, &view)
}

/// The filter as a query string.
pub fn address(filter: &Filter) -> String {
    let mut address = String::new();
    let escaped = |text: &str| -> String {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let one = |b: u8| match unreserved(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        };
        text.bytes().map(one).collect()
    };
    address.push_str("q=");
    address.push_str(&escaped(&filter.q));
    address.push_str("&state=");
    address.push_str(&escaped(&filter.state));
    address
}

pub async fn incident(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let view = view::incident::incident(&app.store.read(), &id);
    match view {
        Some(view) => {
            let live = format!("/live/incidents/{id}");
            page(&app, &headers, "incident.html", &view.headline.clone(), &live, &view)
        }
        None => no_incident(&app, &headers, &id),
    }
}

fn no_incident(app: &App, headers: &HeaderMap, id: &str) -> Response {
    let why = format!(
        "There is no incident {} here. It may be older than what the console keeps, or not read \
         yet: `gannet tail incidents` shows what is on the log.",
        view::words::clip(id, 80)
    );
    let problem = Problem::new(StatusCode::NOT_FOUND, why);
    if wants_json(headers) { problem.json() } else { problem.page(app) }
}

pub async fn data(State(app): State<App>, headers: HeaderMap) -> Response {
    let view = view::data::data(&app.store.read());
    page(&app, &headers, "data.html", "Data", "/live/data", &view)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Question {
    pub q: String,
}

pub async fn query(
    State(app): State<App>,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Response {
    let view = query::view(&app, question.q).await;
    page(&app, &headers, "query.html", "Query", "", &view)
}

pub async fn login(State(app): State<App>, headers: HeaderMap) -> Response {
    page(&app, &headers, "login.html", "Log in", "", &serde_json::json!({ "failed": false }))
}

pub async fn nothing(State(app): State<App>) -> Response {
    Problem::new(StatusCode::NOT_FOUND, "There is no such page.").page(&app).into_response()
}
