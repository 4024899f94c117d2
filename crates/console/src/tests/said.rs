//! A person's word: on the log as it was said, and refused where it is not theirs or not of this
//! plan.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bus::ReadEvent;
use model::rows::{ActionState, Approval, ApprovalVerdict, Feedback, FeedbackVerdict};

use super::{Answer, Console, NOW_MS, seed};
use crate::config::{ConsoleConfig, Secret};

const APPROVE: &str = "/executions/exe-41/approve";

fn decision(console: &Console, hash: &str) -> String {
    format!("csrf={}&plan_hash={hash}&who=ada&reason=as+planned", console.csrf)
}

/// All rows of a topic that carry a schema, decoded.
fn rows<T>(
    console: &Console,
    topic: &str,
    schema: &str,
    decode: impl Fn(&arrow::array::RecordBatch) -> Vec<T>,
) -> Vec<T> {
    let topic = console.bus.topic(topic);
    let mut reader = console.log.reader().unwrap();
    let from = bus::from_start(&*console.log, &mut *reader, &topic).unwrap();
    let mut open = from.len();
    reader.assign(&from).unwrap();
    let mut found = Vec::new();
    while open > 0 {
        match reader.poll(std::time::Duration::from_secs(1)).unwrap() {
            ReadEvent::Record(record) => {
                let (meta, batch) = bus::frame::read(&record, &console.bus.limits).unwrap();
                if meta.schema.starts_with(schema) {
                    found.extend(decode(&batch));
                }
            }
            ReadEvent::End { .. } => open -= 1,
            ReadEvent::Idle => {}
        }
    }
    found
}

fn approvals(console: &Console) -> Vec<Approval> {
    rows(console, "approvals.v1", "approvals", |batch| Approval::from_batch(batch).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_on_the_log_with_the_plan_that_was_seen() {
    let console = Console::seeded();
    let answer = console.form(APPROVE, &decision(&console, seed::PLAN_HASH)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.headers["location"], "/incidents/inc-7f3a91c2#repair");
    let [approval] = &approvals(&console)[..] else { panic!("one approval") };
    assert_eq!(approval.plan_hash, seed::PLAN_HASH);
    assert_eq!(approval.verdict, ApprovalVerdict::Approve);
    assert_eq!((approval.who.as_str(), approval.reason.as_deref()), ("ada", Some("as planned")));
    assert_eq!(approval.until_ms - approval.time_ms, 15 * 60_000);
    let page = console.get("/incidents/inc-7f3a91c2").await.text;
    assert!(page.contains("Your word is on the log"), "{page}");
    assert!(!page.contains("data-action=\"approve\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_a_word_too() {
    let console = Console::seeded();
    let answer =
        console.form("/executions/exe-41/reject", &decision(&console, seed::PLAN_HASH)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(approvals(&console)[0].verdict, ApprovalVerdict::Reject);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_this_plan_or_person_changes_nothing() {
    let console = Console::seeded();
    let other = console.form(APPROVE, &decision(&console, "0000000000000000")).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.text.contains("The plan is another one than you saw"), "{}", other.text);
    let nobody = format!("csrf={}&plan_hash={}&who=+", console.csrf, seed::PLAN_HASH);
    assert_eq!(console.form(APPROVE, &nobody).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let unknown =
        console.form("/executions/exe-0/approve", &decision(&console, seed::PLAN_HASH)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let over =
        console.form("/executions/exe-20/approve", &decision(&console, "c0ffee00c0ffee00")).await;
    assert_eq!(over.status, StatusCode::CONFLICT);
    assert!(approvals(&console).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_from_another_site_is_refused() {
    let console = Console::seeded();
    let body = decision(&console, seed::PLAN_HASH);
    let post = || {
        Request::post(APPROVE)
            .header("host", "127.0.0.1:8080")
            .header("content-type", "application/x-www-form-urlencoded")
    };
    let send = async |request: Request<Body>| console.ask(request).await.status;
    let cross = post().header("sec-fetch-site", "cross-site");
    assert_eq!(send(cross.body(Body::from(body.clone())).unwrap()).await, StatusCode::FORBIDDEN);
    let same_site = post().header("sec-fetch-site", "same-site");
    assert_eq!(
        send(same_site.body(Body::from(body.clone())).unwrap()).await,
        StatusCode::FORBIDDEN
    );
    let origin = post().header("origin", "http://evil.example");
    assert_eq!(send(origin.body(Body::from(body.clone())).unwrap()).await, StatusCode::FORBIDDEN);
    let null = post().header("origin", "null");
    assert_eq!(send(null.body(Body::from(body.clone())).unwrap()).await, StatusCode::FORBIDDEN);
    let no_token = body.replace(&console.csrf, "f00");
    assert_eq!(console.form(APPROVE, &no_token).await.status, StatusCode::FORBIDDEN);
    // A name that was pointed at us is not ours.
    let rebound = Request::get("/").header("host", "evil.example:8080");
    let status = send(rebound.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    assert!(approvals(&console).is_empty());
}

async fn api(console: &Console, client: bool, kind: &str) -> Answer {
    let mut request = Request::post("/api/executions/exe-41/approve").header("content-type", kind);
    if client {
        request = request.header("x-gannet-client", "gannet approve");
    }
    let body = serde_json::json!({ "plan_hash": seed::PLAN_HASH, "who": "ada" }).to_string();
    console.ask(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_says_that_it_is_one() {
    let console = Console::seeded();
    assert_eq!(api(&console, false, "application/json").await.status, StatusCode::FORBIDDEN);
    let plain = api(&console, true, "text/plain").await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(approvals(&console).is_empty());
    let answer = api(&console, true, "application/json").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.text.contains("\"verdict\":\"approve\""), "{}", answer.text);
    assert_eq!(approvals(&console).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_evidence() {
    let console = Console::seeded();
    let body = format!("csrf={}&verdict=right&who=ada&text=yes%2C+it+was", console.csrf);
    let answer = console.form("/incidents/inc-52b0d7e9/feedback", &body).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let said = rows(&console, "evidence.v1", "evidence.feedback", |batch| {
        Feedback::from_batch(batch).unwrap()
    });
    assert_eq!(said[0].verdict, FeedbackVerdict::Right);
    assert_eq!(said[0].text.as_deref(), Some("yes, it was"));
    let page = console.get("/incidents/inc-52b0d7e9").await.text;
    assert!(page.contains("says it is right"), "{page}");
    let wrong = format!("csrf={}&verdict=maybe&who=ada", console.csrf);
    let answer = console.form("/incidents/inc-52b0d7e9/feedback", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_nobody_reads_without_it() {
    let token = Secret("correct horse battery".into());
    let console = Console::with(ConsoleConfig { token: Some(token), ..ConsoleConfig::default() });
    let page = console.get("/").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.headers["location"], "/login");
    assert_eq!(console.get("/api/incidents").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(console.get("/live").await.status, StatusCode::SEE_OTHER);
    let bearer = |token: &str| {
        Request::get("/api/incidents")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(console.ask(bearer("correct horse battery")).await.status, StatusCode::OK);
    assert_eq!(console.ask(bearer("wrong")).await.status, StatusCode::UNAUTHORIZED);
    let wrong = console.form("/login", "token=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let login = console.form("/login", "token=correct+horse+battery").await;
    assert_eq!(login.status, StatusCode::SEE_OTHER);
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let pair = cookie.split(';').next().unwrap();
    let request = Request::get("/").header("cookie", pair).body(Body::empty()).unwrap();
    assert_eq!(console.ask(request).await.status, StatusCode::OK);
}

#[test]
fn an_open_address_needs_a_token() {
    use garde::Validate;
    let mut config = ConsoleConfig::default();
    assert!(config.validate().is_ok());
    config.listen = "0.0.0.0:8080".parse().unwrap();
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("not loopback"), "{error}");
    assert!(crate::Bound::bind(&config).is_err());
    config.token = Some(Secret("short".into()));
    assert!(config.validate().is_err());
    config.token = Some(Secret("0123456789abcdef".into()));
    assert!(config.validate().is_ok());
    assert!(!serde_json::to_string(&config).unwrap().contains("0123456789abcdef"));
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn a_taken_port_is_refused_or_replaced() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let mut config = ConsoleConfig { listen, ..ConsoleConfig::default() };
    let error = crate::Bound::bind(&config).unwrap_err().to_string();
    assert!(error.contains("change console.listen"), "{error}");
    config.fallback = true;
    assert_ne!(crate::Bound::bind(&config).unwrap().address, listen);
}

/// What act says afterwards is what the page says.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_followed_to_its_end() {
    let console = Console::seeded();
    let mut seed = console.seed();
    let mut done = seed::action("exe-41", "inc-7f3a91c2", 9, ActionState::Confirmed);
    done.time_ms = NOW_MS;
    done.reason = "all anomalies have cleared".into();
    seed.actions(&[done]).unwrap();
    seed.send().unwrap();
    console.until(|state| state.executions["exe-41"].steps.len() == 4);
    let page = console.get("/incidents/inc-7f3a91c2").await.text;
    assert!(page.contains("repaired and verified"), "{page}");
    assert!(page.contains("SET ifAdminStatus.1 = INTEGER 1"), "the plan stays");
    assert!(!page.contains("data-action=\"approve\""));
}
