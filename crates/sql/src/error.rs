//! What can go wrong between a rule's text and its results: a plan that is refused before anything
//! runs, with the place in the text, and a run that fails. Says nothing to an operator itself.

use std::fmt;

/// Why a plan was refused. The words after each are what DESIGN §5 lists as not to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The text is not SQL, or more than one statement.
    Syntax,
    /// A statement that is not a query (`INSERT`, `DROP`, …).
    NotAQuery,
    /// A table, column or function that is not there, or arguments that do not fit.
    Unknown,
    /// `ORDER BY`, also inside an aggregate: a window's rows are sorted by their key.
    OrderBy,
    /// `LIMIT`, `OFFSET`, `FETCH`, `TOP`.
    Limit,
    /// Window functions (`OVER`, `QUALIFY`).
    Window,
    /// `first_value`, `last_value`, `nth_value`, `any_value`: they depend on arrival.
    FirstLast,
    /// More than one aggregate over each other.
    Nested,
    /// No aggregate at all.
    NoAggregate,
    /// Anything but filter, projection and the one source below the aggregate: joins, subqueries,
    /// set operations, table functions.
    Shape,
    /// A function whose result is not a function of the rows (`now`, `random`).
    Volatile,
    /// Larger or deeper than this crate accepts.
    TooLarge,
}

impl Refusal {
    /// The word that stands in lists and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Syntax => "syntax",
            Refusal::NotAQuery => "not-a-query",
            Refusal::Unknown => "unknown",
            Refusal::OrderBy => "order-by",
            Refusal::Limit => "limit",
            Refusal::Window => "window",
            Refusal::FirstLast => "first-last",
            Refusal::Nested => "nested",
            Refusal::NoAggregate => "no-aggregate",
            Refusal::Shape => "shape",
            Refusal::Volatile => "volatile",
            Refusal::TooLarge => "too-large",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule's SQL that cannot be run, with the place in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})\n{snippet}")]
pub struct PlanError {
    pub refusal: Refusal,
    pub message: String,
    /// 1-based, in the SQL text.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The line of the text with a caret under the place, ready to print.
    pub snippet: String,
}

/// A planned query that failed over its data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    #[error("rows do not fit the rule's source: {0}")]
    Source(String),
    #[error("state rows do not fit the plan: {0}")]
    State(String),
    #[error("query failed: {0}")]
    Query(String),
    /// The query engine panicked; caught at this crate's boundary.
    #[error("query engine panicked: {0}")]
    Panic(String),
}
