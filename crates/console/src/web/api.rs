//! The same in JSON, for programs (`gannet approve` is one).

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::rows::ApprovalVerdict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::Problem;
use super::guard::{CLIENT_HEADER, is_program};
use super::pages::Question;
use super::words::{Decision, Opinion, decide, feedback as say};
use super::{App, query as ask};
use crate::metrics::refused;
use crate::view;
use crate::view::list::Filter;

pub async fn incidents(State(app): State<App>, Query(filter): Query<Filter>) -> Response {
    Json(view::list::list(&app.store.read(), &filter)).into_response()
}

pub async fn incident(State(app): State<App>, Path(id): Path<String>) -> Response {
    found(view::incident::incident(&app.store.read(), &id), "incident")
}

pub async fn execution(State(app): State<App>, Path(id): Path<String>) -> Response {
    let state = app.store.read();
    let repair = state.executions.get(&id).and_then(|e| view::repair::repair(&id, e));
    found(repair, "execution")
}

pub async fn data(State(app): State<App>) -> Response {
    Json(view::data::data(&app.store.read())).into_response()
}

fn found<T: Serialize>(view: Option<T>, what: &str) -> Response {
    match view {
        Some(view) => Json(view).into_response(),
        None => Problem::new(StatusCode::NOT_FOUND, format!("there is no such {what}")).json(),
    }
}

/// JSON that only a program sends: a page of another site could neither set this header nor this
/// content type without a permission that is never given.
fn body<T: DeserializeOwned>(headers: &HeaderMap, body: &str) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let why = "send `content-type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    if !is_program(headers) {
        refused("csrf");
        let why = format!("send the header `{CLIENT_HEADER}` with your program's name");
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    serde_json::from_str(body)
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, format!("not what is wanted: {e}")))
}

pub async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    text: String,
) -> Response {
    decided(&app, &id, &headers, &text, ApprovalVerdict::Approve).await
}

pub async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    text: String,
) -> Response {
    decided(&app, &id, &headers, &text, ApprovalVerdict::Reject).await
}

async fn decided(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    text: &str,
    verdict: ApprovalVerdict,
) -> Response {
    let decision: Decision = match body(headers, text) {
        Ok(decision) => decision,
        Err(problem) => return problem.json(),
    };
    match decide(app, id, &decision, verdict).await {
        Ok(approval) => Json(approval).into_response(),
        Err(problem) => problem.json(),
    }
}

pub async fn feedback(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    text: String,
) -> Response {
    let opinion: Opinion = match body(&headers, &text) {
        Ok(opinion) => opinion,
        Err(problem) => return problem.json(),
    };
    match say(&app, &id, &opinion).await {
        Ok(feedback) => Json(feedback).into_response(),
        Err(problem) => problem.json(),
    }
}

pub async fn query(State(app): State<App>, Query(question): Query<Question>) -> Response {
    answered(&app, question.q).await
}

/// The text of the request is the question: it may be longer than an address.
pub async fn query_body(State(app): State<App>, text: String) -> Response {
    answered(&app, text).await
}

async fn answered(app: &App, question: String) -> Response {
    match ask::ask(app, question).await {
        Ok(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, answer.json()).into_response()
        }
        Err(refusal) => {
            let body = json!({ "error": refusal.why, "reason": refusal.reason });
            (refusal.status, Json(body)).into_response()
        }
    }
}
