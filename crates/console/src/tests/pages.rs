//! What the pages say, read as HTML and as JSON.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::rows::Incident;
use serde_json::Value;

use super::seed;
use super::{Console, NOW_MS};

const WAITING: &str = "/incidents/inc-7f3a91c2";

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_console_says_what_to_do_next() {
    let console = Console::new();
    let list = console.get("/").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    assert!(list.text.contains("data-empty=\"incidents\""));
    assert!(list.text.contains("gannet inventory apply"));
    let data = console.get("/data").await;
    assert!(data.text.contains("data-empty=\"exporters\""), "{}", data.text);
    assert!(data.text.contains("UDP 2055"));
    let query = console.get("/query").await;
    assert!(query.text.contains("<textarea"), "{}", query.text);
    assert_eq!(console.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    let gone = console.get("/incidents/inc-0").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.text.contains("gannet tail incidents"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_newest_first_and_filtered_by_its_address() {
    let console = Console::seeded();
    let text = console.get("/").await.text;
    let at = |id: &str| text.find(&format!("data-incident=\"{id}\"")).expect(id);
    assert!(at("inc-7f3a91c2") < at("inc-88d0f211"));
    assert!(at("inc-88d0f211") < at("inc-52b0d7e9"));
    assert!(text.contains("6 alerts → 1"), "{text}");
    assert!(text.contains("waits for your approval"));
    let flooded = console.get("/?q=syn+flood&state=resolved").await.text;
    assert!(flooded.contains("inc-52b0d7e9") && !flooded.contains("inc-7f3a91c2"));
    let none = console.get("/?q=nothing-like-it").await.text;
    assert!(none.contains("None of the 5 incidents is like that"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incidents_page_says_what_why_and_what_the_repair_would_do() {
    let console = Console::seeded();
    let page = console.get(WAITING).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for words in [
        "edge1 Te0/1 was shut by an operator",
        "93 %",
        "not: core1 down or unreachable",
        "1 alert this does not explain",
        "SET ifAdminStatus.1 = INTEGER 1",
        "SET ifAdminStatus.1 = INTEGER 2",
        "ifAdminStatus up(1)",
        "blast-radius",
        "data-action=\"approve\"",
        "data-action=\"reject\"",
        "data-node=\"edge1\"",
        "Te0/1 root cause",
        "class=\"band\"",
        "%LINK-5-CHANGED",
        seed::PLAN_HASH,
    ] {
        assert!(page.text.contains(words), "{words:?} is not in {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_is_json_too() {
    let console = Console::seeded();
    for path in ["/", WAITING, "/data", "/query"] {
        let request = Request::get(path).header("accept", "application/json");
        let answer = console.ask(request.body(Body::empty()).unwrap()).await;
        let value: Value = serde_json::from_str(&answer.text).expect(path);
        assert!(value.is_object(), "{path}");
    }
    let api: Value =
        serde_json::from_str(&console.get("/api/incidents/inc-7f3a91c2").await.text).unwrap();
    assert_eq!(api["repairs"][0]["plan_hash"], seed::PLAN_HASH);
    assert_eq!(api["cause"]["name"], "edge1 Te0/1");
    assert_eq!(console.get("/api/incidents/x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let console = Console::new();
    for path in ["/", "/assets/console.js", "/nowhere", "/api/incidents"] {
        let answer = console.get(path).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").contains("default-src 'self'"));
        assert!(!header("content-security-policy").contains("unsafe"));
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
    // Nothing on a page needs what the policy forbids.
    let console = Console::seeded();
    for path in ["/", WAITING, "/data", "/query"] {
        let text = console.get(path).await.text;
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        let scripts = text.matches("<script").count();
        let data = text.matches("<script type=\"application/json\">").count();
        assert_eq!(scripts - data, 1, "{path}: one script, from a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_words_on_every_page() {
    let console = Console::new();
    let evil = "<script>alert(1)</script>\"' onload=x {{ 7*7 }} \u{202e}";
    let mut incident = seed::incident("inc-evil", NOW_MS, evil);
    incident.entity = seed::entity("interface", evil);
    incident.cause = seed::waiting(NOW_MS).cause;
    incident.cause.as_mut().unwrap().why = evil.to_owned();
    incident.cause.as_mut().unwrap().affected = vec![evil.to_owned()];
    incident.members = vec![seed::member("m", evil, evil, NOW_MS, evil)];
    let mut seed = console.seed();
    seed.topology(NOW_MS).unwrap();
    seed.incident(&incident).unwrap();
    seed.send().unwrap();
    console.until(|state| state.incidents.len() == 1 && state.elements.len() > 30);
    for path in ["/", "/incidents/inc-evil", "/data", "/query?q=%3Cscript%3Ealert(1)%3C/script%3E"]
    {
        let text = console.get(path).await.text;
        assert!(!text.contains("<script>alert"), "{path}: {text}");
        assert!(!text.contains("> 49 ") && !text.contains(" onload=x>"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_assets_are_small_and_there() {
    let console = Console::new();
    for (file, bytes_max) in [("console.js", 20_000), ("console.css", 30_000), ("icon.svg", 1_000)]
    {
        let answer = console.get(&format!("/assets/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.text.len() < bytes_max, "{file}: {} bytes", answer.text.len());
    }
}

/// So that a test can say what it wants of an incident alone.
#[test]
fn a_seeded_incident_survives_its_row() {
    let incident = seed::waiting(NOW_MS);
    let batch = Incident::to_batch(std::slice::from_ref(&incident)).unwrap();
    assert_eq!(Incident::from_batch(&batch).unwrap(), vec![incident]);
}
