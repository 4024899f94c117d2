//! What is wrong with a rule, and where.

use std::fmt;

/// A place in a rule's SQL or condition: 1-based, with the line and a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlPlace {
    pub line: usize,
    pub column: usize,
    pub snippet: String,
}

/// A rule that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Name of the rule; `None` where the file itself cannot be read.
    pub rule: Option<String>,
    pub message: String,
    pub place: Option<SqlPlace>,
}

impl RuleError {
    pub fn new(rule: &str, message: impl Into<String>) -> RuleError {
        RuleError { rule: Some(shortened(rule)), message: message.into(), place: None }
    }

    pub fn of_file(message: impl Into<String>) -> RuleError {
        RuleError { rule: None, message: message.into(), place: None }
    }

    pub fn at(self, place: SqlPlace) -> RuleError {
        RuleError { place: Some(place), ..self }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            let SqlPlace { line, column, snippet } = place;
            write!(f, " (sql line {line}, column {column})\n{snippet}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}

/// Widest part of a line that is shown.
const SNIPPET_WIDTH: usize = 96;

impl SqlPlace {
    /// The place with its line out of `text`; a caret under one character.
    pub fn of(text: &str, line: usize, column: usize) -> SqlPlace {
        let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
        let chars: Vec<char> =
            shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let at = column.saturating_sub(1).min(chars.len());
        let long = chars.len() > SNIPPET_WIDTH;
        let from = if long { at.saturating_sub(SNIPPET_WIDTH / 2) } else { 0 };
        let to = chars.len().min(from + SNIPPET_WIDTH);
        let part: String = chars[from..to].iter().collect();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(at - from);
        let snippet = format!("{margin} |\n{number} | {part}\n{margin} | {indent}^");
        SqlPlace { line, column, snippet }
    }
}
