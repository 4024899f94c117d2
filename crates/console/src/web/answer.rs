//! Answers: a page as HTML or its view model as JSON, and what went wrong in words.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::{Shared, digest};

/// What went wrong, for a person and a program alike.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    why: String,
}

// === impl Problem ===

impl Problem {
    pub fn new(status: StatusCode, why: impl Into<String>) -> Problem {
        Problem { status, why: why.into() }
    }

    pub fn json(self) -> Response {
        (self.status, Json(json!({ "error": self.why }))).into_response()
    }

    pub fn page(self, app: &Shared) -> Response {
        let status = self.status;
        let title = status.canonical_reason().unwrap_or("It did not work");
        let context = minijinja::context! { why => self.why, title };
        let mut response = html(app, "problem.html", title, "", context);
        *response.status_mut() = status;
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, format!("{}\n", self.why)).into_response()
    }
}

pub fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

/// A view model as its page, or as it is.
pub fn page<T: Serialize>(
    app: &Shared,
    headers: &HeaderMap,
    template: &str,
    title: &str,
    live: &str,
    view: &T,
) -> Response {
    if wants_json(headers) {
        return Json(view).into_response();
    }
    let model = minijinja::Value::from(minijinja::value::Serde(view));
    let context = minijinja::context! { page => model, hash => hash(view) };
    html(app, template, title, live, context)
}

/// What a live page compares: the same view has the same one.
pub fn hash<T: Serialize>(view: &T) -> String {
    let text = serde_json::to_vec(view).unwrap_or_default();
    digest(&[&text])[..16].to_owned()
}

fn html(
    app: &Shared,
    template: &str,
    title: &str,
    live: &str,
    context: minijinja::Value,
) -> Response {
    let all = minijinja::context! {
        title,
        live,
        csrf => app.csrf.as_str(),
        now_ms => app.clock.wall_ms(),
        is_open => app.config.is_open(),
        approval => runtime_words(app),
        ..context
    };
    let rendered = app.templates.get_template(template).and_then(|found| found.render(all));
    match rendered {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(template, error = format!("{error:#}"), "a page cannot be drawn");
            let why = "this page cannot be drawn; the log says why";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        }
    }
}

fn runtime_words(app: &Shared) -> String {
    let ms = i64::try_from(app.config.approval.as_millis()).unwrap_or(i64::MAX);
    crate::view::words::span(ms)
}
