//! Questions in SQL over the store: one SELECT, limited in rows, time and memory, a few at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use sql::{AskError, AskLimits};

use super::App;
use crate::metrics::{LABEL_REASON, QUERIES};
use crate::store::{TABLES, columns, table};

/// What was answered, and in which time.
pub struct Answered {
    answer: sql::Answer,
    took: Duration,
}

/// Why it was not.
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    pub why: String,
}

/// The page with its question and answer.
#[derive(Clone, Debug, Serialize)]
pub struct QueryPage {
    pub question: String,
    pub error: Option<String>,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub is_cut: bool,
    pub took: Option<String>,
    pub rows_max: usize,
    pub examples: Vec<(&'static str, &'static str)>,
    pub tables: Vec<TablePart>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TablePart {
    pub name: &'static str,
    pub columns: Vec<(&'static str, &'static str, &'static str)>,
}

const EXAMPLES: [(&str, &str); 4] = [
    (
        "Incidents by fault",
        "SELECT fault, count(*) AS incidents, avg(probability) AS sure FROM incidents GROUP BY \
         fault",
    ),
    (
        "The most improbable points of the last hour",
        "SELECT rule, key, max(score) AS score FROM signals GROUP BY rule, key ORDER BY score DESC \
         NULLS LAST LIMIT 20",
    ),
    (
        "Interfaces that are down and should not be",
        "SELECT device, name, alias FROM interfaces WHERE admin_up AND NOT oper_up",
    ),
    (
        "What was done on devices",
        "SELECT time, playbook, device, command, result FROM actions WHERE state = 'applied' ORDER \
         BY time DESC",
    ),
];

/// Characters of a cell on the page; the JSON has all of them.
const CELL_MAX: usize = 160;
/// Beyond the limit of time: the answer of a question that does not look at its clock.
const AFTER_TIME: Duration = Duration::from_secs(1);

pub async fn ask(app: &App, question: String) -> Result<Answered, Refusal> {
    let answered = asked(app, question).await;
    let reason = answered.as_ref().map_or_else(|refusal| refusal.reason, |_| "ok");
    metrics::counter!(QUERIES, LABEL_REASON => reason).increment(1);
    answered
}

async fn asked(app: &App, question: String) -> Result<Answered, Refusal> {
    let Ok(permit) = Arc::clone(&app.queries).try_acquire_owned() else {
        let why = "other questions are being answered (console.query.running_max): ask again";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", why));
    };
    let config = &app.config.query;
    let limits = AskLimits {
        rows_max: config.answer_rows_max,
        time: config.time,
        memory_bytes_max: config.memory_bytes_max,
    };
    let store = app.store.clone();
    let begun = Instant::now();
    let work = tokio::task::spawn_blocking(move || {
        // Held until the work has ended, though nobody may wait for it any more.
        let _permit = permit;
        let known = TABLES.map(|(name, _)| name);
        let tables = |named: &[&str]| {
            let state = store.read();
            let made = named.iter().filter_map(|name| table(&state, name));
            made.filter_map(Result::ok).collect()
        };
        sql::ask(&question, &known, tables, limits)
    });
    match tokio::time::timeout(limits.time + AFTER_TIME, work).await {
        Err(_) => Err(refusal(&AskError::Time(limits.time))),
        Ok(Err(error)) => Err(refusal(&AskError::Panic(error.to_string()))),
        Ok(Ok(Err(error))) => Err(refusal(&error)),
        Ok(Ok(Ok(answer))) => Ok(Answered { answer, took: begun.elapsed() }),
    }
}

fn refusal(error: &AskError) -> Refusal {
    let (status, reason) = match error {
        AskError::Refused(_) => (StatusCode::BAD_REQUEST, "refused"),
        AskError::Time(_) => (StatusCode::REQUEST_TIMEOUT, "time"),
        AskError::Memory(_) => (StatusCode::PAYLOAD_TOO_LARGE, "memory"),
        AskError::Query(_) => (StatusCode::BAD_REQUEST, "failed"),
        AskError::Panic(_) => (StatusCode::INTERNAL_SERVER_ERROR, "panic"),
    };
    Refusal::new(status, reason, error.to_string())
}

/// The page of a question; an empty one shows what can be asked.
pub async fn view(app: &App, question: String) -> QueryPage {
    let tables = TABLES.map(|(name, _)| TablePart { name, columns: columns(name) });
    let mut page = QueryPage {
        question: question.clone(),
        error: None,
        columns: Vec::new(),
        rows: Vec::new(),
        is_cut: false,
        took: None,
        rows_max: app.config.query.answer_rows_max,
        examples: EXAMPLES.to_vec(),
        tables: tables.to_vec(),
    };
    if question.trim().is_empty() {
        return page;
    }
    match ask(app, question).await {
        Err(refusal) => page.error = Some(refusal.why),
        Ok(Answered { answer, took }) => {
            page.columns = answer.schema.fields().iter().map(|f| f.name().clone()).collect();
            page.rows = answer.batches.iter().flat_map(cells).collect();
            page.is_cut = answer.is_cut;
            page.took = Some(format!("{} ms", took.as_millis()));
        }
    }
    page
}

fn cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("–");
    let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).ok());
    let columns: Vec<Option<ArrayFormatter<'_>>> = columns.collect();
    let cell = |column: &Option<ArrayFormatter<'_>>, row| {
        let text = column.as_ref().and_then(|c| c.value(row).try_to_string().ok());
        crate::view::words::clip(&text.unwrap_or_default(), CELL_MAX)
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect()).collect()
}

// === impl Refusal ===

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, why: impl Into<String>) -> Refusal {
        Refusal { status, reason, why: why.into() }
    }
}

// === impl Answered ===

impl Answered {
    /// Columns with their types, rows as objects, whether there were more, and the time.
    pub fn json(&self) -> String {
        let fields = self.answer.schema.fields().iter();
        let columns: Vec<serde_json::Value> = fields
            .map(|f| json!({ "name": f.name(), "type": f.data_type().to_string() }))
            .collect();
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, JsonArray>(Vec::new());
        let batches: Vec<&RecordBatch> = self.answer.batches.iter().collect();
        // A column of a type that JSON has no form for: what is there is said without the rows.
        let written = writer.write_batches(&batches).and_then(|()| writer.finish());
        let rows = match written {
            Ok(()) => String::from_utf8(writer.into_inner()).unwrap_or_default(),
            Err(_) => String::new(),
        };
        let rows = if rows.is_empty() { "[]".to_owned() } else { rows };
        format!(
            "{{\"columns\":{},\"rows\":{rows},\"cut\":{},\"took_ms\":{}}}\n",
            json!(columns),
            self.answer.is_cut,
            self.took.as_millis()
        )
    }
}
