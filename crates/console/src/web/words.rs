//! What people say: approve, reject, feedback, the login. Forms bring back the page's own token;
//! what is said is on the log before the answer.

use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use model::rows::{ActionState, Approval, ApprovalVerdict, Feedback, FeedbackVerdict};
use serde::Deserialize;

use super::answer::{Problem, page};
use super::guard::SESSION_COOKIE;
use super::{App, same_secret};
use crate::metrics::refused;
use crate::view::words::clip;

/// What an approval or rejection says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Decision {
    pub csrf: String,
    /// Of the plan that was seen.
    pub plan_hash: String,
    pub who: String,
    pub reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Opinion {
    pub csrf: String,
    pub verdict: String,
    pub who: String,
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Login {
    pub token: String,
}

/// Characters of a name and of a reason.
const WHO_MAX: usize = 100;
const REASON_MAX: usize = 1_000;
/// How long an answer waits for the store to have read the word back.
const SEEN_WITHIN: Duration = Duration::from_millis(1_500);

pub async fn approve_form(
    State(app): State<App>,
    Path(id): Path<String>,
    Form(decision): Form<Decision>,
) -> Response {
    decide_form(app, id, decision, ApprovalVerdict::Approve).await
}

pub async fn reject_form(
    State(app): State<App>,
    Path(id): Path<String>,
    Form(decision): Form<Decision>,
) -> Response {
    decide_form(app, id, decision, ApprovalVerdict::Reject).await
}

async fn decide_form(
    app: App,
    id: String,
    decision: Decision,
    verdict: ApprovalVerdict,
) -> Response {
    if let Err(problem) = is_ours(&app, &decision.csrf) {
        return problem.page(&app);
    }
    match decide(&app, &id, &decision, verdict).await {
        Ok(approval) => {
            Redirect::to(&format!("/incidents/{}#repair", approval.incident)).into_response()
        }
        Err(problem) => problem.page(&app),
    }
}

fn is_ours(app: &App, csrf: &str) -> Result<(), Problem> {
    if same_secret(csrf, &app.csrf) {
        return Ok(());
    }
    refused("csrf");
    let why = "This form is not from a page of this console as it runs now. Go back, load the page \
               again, and say it once more: nothing was written.";
    Err(Problem::new(StatusCode::FORBIDDEN, why))
}

/// Writes a person's word on a plan; refused where that plan is not what is asked about now.
pub async fn decide(
    app: &App,
    id: &str,
    decision: &Decision,
    verdict: ApprovalVerdict,
) -> Result<Approval, Problem> {
    let approval = judge(app, id, decision, verdict)?;
    let (shared, word) = (App::clone(app), approval.clone());
    let written = tokio::task::spawn_blocking(move || shared.words.approval(&word)).await;
    written_or(written)?;
    let (plan, who) = (&approval.plan_hash, &approval.who);
    tracing::info!(execution = id, plan, who, verdict = verdict.as_str(), "a person decided");
    let seen = approval.clone();
    seen_by(app, move |state| {
        state.executions.get(&seen.execution).is_some_and(|e| e.approvals.contains(&seen))
    })
    .await;
    Ok(approval)
}

fn judge(
    app: &App,
    id: &str,
    decision: &Decision,
    verdict: ApprovalVerdict,
) -> Result<Approval, Problem> {
    let who = name(&decision.who)?;
    let conflict = |why: String| Err(Problem::new(StatusCode::CONFLICT, why));
    let state = app.store.read();
    let Some(execution) = state.executions.get(id) else {
        let why = format!("There is no execution {}.", clip(id, 80));
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let (Some(last), Some(hash)) = (execution.last(), execution.plan_hash()) else {
        return conflict("There is no plan yet to decide on.".to_owned());
    };
    if last.state != ActionState::AwaitingApproval {
        let words = crate::view::words::action_state(last.state);
        return conflict(format!("Nobody waits for a word on it: it is {words}."));
    }
    if hash != decision.plan_hash {
        let why = format!(
            "The plan is another one than you saw ({} now, {} seen). Look again, then decide.",
            clip(hash, 16),
            clip(&decision.plan_hash, 16)
        );
        return conflict(why);
    }
    let now_ms = app.clock.wall_ms();
    let lasts_ms = i64::try_from(app.config.approval.as_millis()).unwrap_or(i64::MAX);
    Ok(Approval {
        domain: last.domain.clone(),
        time_ms: now_ms,
        execution: id.to_owned(),
        incident: last.incident.clone(),
        plan_hash: hash.to_owned(),
        verdict,
        who,
        reason: some(&decision.reason),
        until_ms: now_ms.saturating_add(lasts_ms),
    })
}

fn name(who: &str) -> Result<String, Problem> {
    match some(&clip(who, WHO_MAX)) {
        Some(who) => Ok(who),
        None => {
            let why = "Say who you are: the audit names the person behind each word.";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))
        }
    }
}

fn some(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect();
    (!text.is_empty()).then(|| clip(&text, REASON_MAX))
}

pub fn written_or(
    written: Result<Result<(), crate::write::WriteError>, tokio::task::JoinError>,
) -> Result<(), Problem> {
    let why = match written {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(why, "a person's word is not on the log");
    let why =
        format!("Your word may not be on the log: {why}. Look at the page before you repeat.");
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// Waits until the store says so, or not much longer: the page then shows it by itself.
async fn seen_by(app: &App, is_seen: impl Fn(&crate::store::State) -> bool) {
    let mut versions = app.store.watch();
    let seen = async {
        loop {
            versions.borrow_and_update();
            if is_seen(&app.store.read()) || versions.changed().await.is_err() {
                return;
            }
        }
    };
    // Too late is no failure.
    let _ = tokio::time::timeout(SEEN_WITHIN, seen).await;
}

pub async fn feedback_form(
    State(app): State<App>,
    Path(id): Path<String>,
    Form(opinion): Form<Opinion>,
) -> Response {
    if let Err(problem) = is_ours(&app, &opinion.csrf) {
        return problem.page(&app);
    }
    match feedback(&app, &id, &opinion).await {
        Ok(feedback) => {
            Redirect::to(&format!("/incidents/{}#feedback", feedback.incident)).into_response()
        }
        Err(problem) => problem.page(&app),
    }
}

pub async fn feedback(app: &App, id: &str, opinion: &Opinion) -> Result<Feedback, Problem> {
    let who = name(&opinion.who)?;
    let verdict = FeedbackVerdict::parse(&opinion.verdict).map_err(|_| {
        let why = "The verdict is right, wrong, duplicate or expected.";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why)
    })?;
    let domain = app.store.read().incidents.get(id).map(|doc| doc.incident.domain.clone());
    let Some(domain) = domain else {
        let why = format!("There is no incident {}.", clip(id, 80));
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let time_ms = app.clock.wall_ms();
    let text = some(&opinion.text);
    let feedback = Feedback { domain, time_ms, incident: id.to_owned(), verdict, who, text };
    let (shared, word) = (App::clone(app), feedback.clone());
    let written = tokio::task::spawn_blocking(move || shared.words.feedback(&word)).await;
    written_or(written)?;
    let seen = feedback.clone();
    seen_by(app, move |state| {
        state.incidents.get(&seen.incident).is_some_and(|doc| doc.feedback.contains(&seen))
    })
    .await;
    Ok(feedback)
}

pub async fn login(State(app): State<App>, Form(login): Form<Login>) -> Response {
    let (Some(token), Some(session)) = (&app.config.token, &app.session) else {
        return Redirect::to("/").into_response();
    };
    if !same_secret(&login.token, &token.0) {
        refused("token");
        // A guess costs time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let view = serde_json::json!({ "failed": true });
        let headers = axum::http::HeaderMap::new();
        let mut answer = page(&app, &headers, "login.html", "Log in", "", &view);
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        return answer;
    }
    let cookie = format!("{SESSION_COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}
