//! That it stays quick and within limits: long lists, large incidents, greedy questions.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use model::rows::IncidentState;
use serde_json::Value;

use super::{Console, NOW_MS, seed};
use crate::config::ConsoleConfig;
use crate::store::Row;

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_incidents_are_listed_within_200_ms() {
    let console = Console::new();
    let rows = (0..5_000).map(|n| {
        let mut incident = seed::waiting(NOW_MS + n);
        incident.id = format!("inc-{n:05}");
        if n % 3 == 0 {
            incident.state = IncidentState::Resolved;
        }
        Row::Incident(incident)
    });
    console.store.apply(rows.collect());
    for path in ["/", "/?q=edge1+shut&state=open", "/?page=30"] {
        let begun = Instant::now();
        let answer = console.get(path).await;
        let took = begun.elapsed();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(took < Duration::from_millis(200), "{path} took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_of_ten_thousand_alerts_is_shown_within_a_second() {
    let console = Console::new();
    let mut incident = seed::waiting(NOW_MS);
    incident.members = (0..10_000)
        .map(|n| {
            let key = format!("device=acc{},entity=Gi0/{n}", n % 900);
            seed::member(&format!("m{n}"), "link-down", &key, NOW_MS + n * 40, "device says so")
        })
        .collect();
    console.store.apply(vec![Row::Incident(incident)]);
    let begun = Instant::now();
    let answer = console.get("/incidents/inc-7f3a91c2").await;
    let took = begun.elapsed();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert!(answer.text.contains("and 9950 more"), "the page folds");
    assert!(answer.text.len() < 200_000, "{} bytes", answer.text.len());
}

async fn asked(console: &Console, sql: &str) -> (StatusCode, Value) {
    let escaped: String = sql.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = console.get(&format!("/api/query?q={escaped}")).await;
    (answer.status, serde_json::from_str(&answer.text).expect(&answer.text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_from_the_store() {
    let console = Console::seeded();
    let sql = "SELECT id, fault, probability FROM incidents WHERE state = 'open' ORDER BY id";
    let (status, value) = asked(&console, sql).await;
    assert_eq!(status, StatusCode::OK, "{value}");
    assert_eq!(value["rows"][0]["id"], "inc-7f3a91c2");
    assert_eq!(value["rows"][0]["fault"], "admin-down");
    assert_eq!(value["rows"][1]["fault"], Value::Null);
    assert_eq!(value["cut"], false);
    for table in ["incidents", "evidence", "signals", "actions", "topology", "interfaces", "events"]
    {
        let (status, value) = asked(&console, &format!("SELECT * FROM {table}")).await;
        assert_eq!(status, StatusCode::OK, "{table}: {value}");
    }
    let (_, value) =
        asked(&console, "SELECT count(*) AS n, max(score) AS s FROM signals WHERE anomalous").await;
    assert_eq!(value["rows"][0]["n"], 36);
    let (_, value) = asked(
        &console,
        "SELECT a.device, count(*) AS n FROM interfaces a JOIN topology t ON t.name = a.device \
         GROUP BY a.device ORDER BY a.device LIMIT 1",
    )
    .await;
    assert_eq!(value["rows"][0], serde_json::json!({ "device": "acc1", "n": 4 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_question_is_refused_with_its_place() {
    let console = Console::seeded();
    for (sql, words) in [
        ("DROP TABLE incidents", "only a SELECT"),
        ("INSERT INTO incidents VALUES (1)", "only a SELECT"),
        ("COPY incidents TO 'x.csv'", "SELECT"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'", ""),
        ("SET a.b = 1", ""),
        ("SELECT 1; SELECT 2", "one is wanted"),
        ("SELECT * FROM 'x.csv'", ""),
        ("SELECT nothing FROM incidents", "nothing"),
        ("SELECT FROM WHERE", ""),
        ("", ""),
    ] {
        let (status, value) = asked(&console, sql).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{sql}: {value}");
        let error = value["error"].as_str().unwrap();
        assert!(error.contains(words), "{sql}: {error}");
    }
    let page = console.get("/query?q=SELECT+nothing+FROM+incidents").await.text;
    assert!(page.contains("id=\"query-error\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_keeps_its_limits() {
    let mut config = ConsoleConfig::default();
    config.query.answer_rows_max = 10;
    config.query.memory_bytes_max = 16 << 20;
    config.query.time = Duration::from_millis(300);
    let console = Console::with(config);
    seed::network(&*console.log, &console.bus, NOW_MS).unwrap();
    console.until(|state| state.series.len() == 4 && state.interfaces.len() == 56);
    let (status, value) = asked(&console, "SELECT * FROM signals").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(value["rows"].as_array().unwrap().len(), 10);
    assert_eq!(value["cut"], true);
    let wide = "SELECT sum(sqrt(a.value * b.value + c.value * d.value)) \
                FROM signals a, signals b, signals c, signals d";
    let begun = Instant::now();
    let (status, value) = asked(&console, wide).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{value}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let sorted =
        "SELECT a.key || b.key || c.key AS k FROM signals a, signals b, signals c ORDER BY k";
    let (status, value) = asked(&console, sorted).await;
    let limits = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];
    assert!(limits.contains(&status), "{status}: {value}");
    let long = format!("SELECT {} FROM signals", "1 +".repeat(10_000));
    let answer = console.get("/api/query?q=").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let request = axum::http::Request::post("/api/query").body(axum::body::Body::from(long));
    let answer = console.ask(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
}
