//! Names of the console's metrics.

/// Rows that the store took, by topic.
pub const ROWS: &str = "gannet_console_rows_total";
/// What a limit or retention took out of the store, or what could not be read.
pub const DROPPED: &str = "gannet_console_rows_dropped_total";
/// Failed attempts to read the log or to write the store's file.
pub const FAILURES: &str = "gannet_console_store_failures_total";
/// What the store holds, by subject.
pub const HELD: &str = "gannet_console_store_rows";
pub const REQUESTS: &str = "gannet_console_http_requests_total";
/// Requests that were refused, by reason: host, origin, token, csrf, size.
pub const REFUSED: &str = "gannet_console_refused_requests_total";
/// Questions of `/api/query`, by how they ended.
pub const QUERIES: &str = "gannet_console_queries_total";
/// A person's words that were written to the log.
pub const WORDS: &str = "gannet_console_words_written_total";
/// Pages that are live at this moment.
pub const LIVE: &str = "gannet_console_live_pages";

pub const LABEL_SUBJECT: &str = "subject";
pub const LABEL_REASON: &str = "reason";

pub(crate) fn describe() {
    metrics::describe_counter!(ROWS, "rows that the store took from the log");
    metrics::describe_counter!(DROPPED, "rows that a limit or retention took out of the store");
    metrics::describe_counter!(FAILURES, "failed attempts to read the log or write the store");
    metrics::describe_gauge!(HELD, "what the store holds");
    metrics::describe_counter!(REQUESTS, "requests answered");
    metrics::describe_counter!(REFUSED, "requests refused");
    metrics::describe_counter!(QUERIES, "questions asked in SQL");
    metrics::describe_counter!(WORDS, "approvals, rejections and feedback written to the log");
    metrics::describe_gauge!(LIVE, "pages that wait for what changes");
}

pub(crate) fn dropped(subject: &'static str, reason: &'static str, rows: usize) {
    if rows > 0 {
        metrics::counter!(DROPPED, LABEL_SUBJECT => subject, LABEL_REASON => reason)
            .increment(rows as u64);
    }
}

pub(crate) fn refused(reason: &'static str) {
    metrics::counter!(REFUSED, LABEL_REASON => reason).increment(1);
}
