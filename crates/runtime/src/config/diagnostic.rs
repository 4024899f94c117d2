//! What a person is told about a configuration: a message, its place with a caret, and how to mend
//! it. Rendered as text here; nothing else formats an error of the configuration.

use std::fmt;
use std::sync::Arc;

/// A line longer than this is shown in part around the caret.
const SHOWN_COLUMNS_MAX: usize = 140;
const SHOWN_BEFORE_CARET: usize = 60;

/// A text with a name. Its lines are found once: every value of a configuration asks for its own.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
    pub included_from: Option<Place>,
    lines: Vec<Line>,
}

/// Where a line begins, how long it is, and its characters up to the last that is not blank.
#[derive(Debug)]
struct Line {
    start: usize,
    len: usize,
    columns: usize,
}

/// Where something was written.
#[derive(Clone, Debug)]
pub enum Place {
    File(Spot),
    Variable(Arc<str>),
    /// Nowhere: a default.
    Default,
}

/// Lines and columns count from 1; columns and width are characters.
#[derive(Clone, Debug)]
pub struct Spot {
    pub source: Arc<Source>,
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub message: String,
    pub place: Place,
    pub help: Option<String>,
}

/// All that was found wrong at once.
#[derive(Clone, Debug)]
pub struct ConfigError {
    pub diagnostics: Vec<Diagnostic>,
}

// === impl Source ===

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        let (name, text) = (name.into(), text.into());
        let mut start = 0;
        let lines = text.split_inclusive('\n').map(|whole| {
            let line = whole.lines().next().unwrap_or_default();
            let found = Line { start, len: line.len(), columns: line.trim_end().chars().count() };
            start += whole.len();
            found
        });
        let lines = lines.collect();
        Source { name, text, included_from: None, lines }
    }

    pub fn with_included_from(self, included_from: Option<Place>) -> Source {
        Source { included_from, ..self }
    }

    /// A line by its number from 1; empty past the end.
    pub fn line(&self, number: usize) -> &str {
        let found = self.lines.get(number.saturating_sub(1));
        found.map_or("", |line| &self.text[line.start..line.start + line.len])
    }

    /// Characters of a line, blanks at its end left out.
    pub fn columns(&self, number: usize) -> usize {
        self.lines.get(number.saturating_sub(1)).map_or(0, |line| line.columns)
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(spot) => write!(f, "{}:{}:{}", spot.source.name, spot.line, spot.column),
            Place::Variable(name) => write!(f, "the variable {name}"),
            Place::Default => write!(f, "the defaults"),
        }
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Diagnostic {
        Diagnostic { message: message.into(), place: Place::Default, help: None }
    }

    pub fn at(mut self, place: Place) -> Diagnostic {
        self.place = place;
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = match &self.place {
            Place::File(spot) => spot.line.to_string().len(),
            _ => 1,
        };
        match &self.place {
            Place::File(spot) => {
                write!(f, "{}", self.message)?;
                write_spot(f, spot, margin)?;
            }
            Place::Variable(name) => write!(f, "{name}: {}", self.message)?,
            Place::Default => write!(f, "{}", self.message)?,
        }
        if let Some(help) = &self.help {
            write!(f, "\n{:margin$} = help: {help}", "")?;
        }
        Ok(())
    }
}

fn write_spot(f: &mut fmt::Formatter<'_>, spot: &Spot, margin: usize) -> fmt::Result {
    let (line, caret_at, width) = shown_line(spot);
    write!(f, "\n{:margin$}--> {}:{}:{}", "", spot.source.name, spot.line, spot.column)?;
    write!(f, "\n{:margin$} |", "")?;
    write!(f, "\n{} | {line}", spot.line)?;
    write!(f, "\n{:margin$} | {:caret_at$}{}", "", "", "^".repeat(width))?;
    let mut from = &spot.source.included_from;
    while let Some(Place::File(outer)) = from {
        let name = &outer.source.name;
        write!(f, "\n{:margin$} = included from {name}:{}:{}", "", outer.line, outer.column)?;
        from = &outer.source.included_from;
    }
    Ok(())
}

/// The line as shown, the caret's column in it from 0, and the caret's width, at least 1.
fn shown_line(spot: &Spot) -> (String, usize, usize) {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let line: Vec<char> = spot.source.line(spot.line).chars().map(printable).collect();
    let column = spot.column.saturating_sub(1).min(line.len());
    let (prefix, first) = if line.len() <= SHOWN_COLUMNS_MAX || column <= SHOWN_BEFORE_CARET {
        ("", 0)
    } else {
        ("… ", column - SHOWN_BEFORE_CARET)
    };
    let last = line.len().min(first + SHOWN_COLUMNS_MAX);
    let suffix = if last < line.len() { " …" } else { "" };
    let middle: String = line[first..last].iter().collect();
    let caret_at = prefix.chars().count() + column - first;
    let width = spot.width.clamp(1, (last - column.min(last)).max(1));
    (format!("{prefix}{middle}{suffix}").trim_end().to_owned(), caret_at, width)
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> ConfigError {
        ConfigError { diagnostics: vec![diagnostic] }
    }
}
