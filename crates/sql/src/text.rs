//! The rule's SQL as text: where its words stand, and how a place in it is shown to a person.
//! Knows nothing of plans.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::error::{PlanError, Refusal};

/// Longest part of a line that a snippet shows; beyond it the line is cut around the place.
const SNIPPET_WIDTH: usize = 96;

/// A place in the text: 1-based line and column, and how many characters to underline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

impl Place {
    pub const START: Place = Place { line: 1, column: 1, width: 1 };
}

pub(crate) struct Text<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
}

impl<'a> Text<'a> {
    /// Text that does not tokenize has no words; its syntax error carries its own place.
    pub fn new(sql: &'a str) -> Self {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
        Text { sql, tokens: tokens.unwrap_or_default() }
    }

    /// The place of a location that the parser gave, underlined to the end of the token there.
    pub fn at(&self, location: Location) -> Place {
        if location.line == 0 {
            return self.first_word();
        }
        let token = self.tokens.iter().find(|t| t.span.start == location);
        Place {
            line: location.line as usize,
            column: location.column as usize,
            width: token.map_or(1, |t| width_of(&t.token)),
        }
    }

    /// The last of `words` at or before `near`, else the last in the text, else the first word.
    pub fn keyword(&self, words: &[&str], near: Option<Location>) -> Place {
        let is_word = |t: &&TokenWithSpan| match &t.token {
            Token::Word(w) => {
                w.quote_style.is_none() && words.iter().any(|x| w.value.eq_ignore_ascii_case(x))
            }
            _ => false,
        };
        let near = near.filter(|l| l.line > 0);
        let before = |t: &&TokenWithSpan| near.is_none_or(|l| t.span.start <= l);
        let found = self.tokens.iter().filter(is_word).filter(before).next_back();
        let found = found.or_else(|| self.tokens.iter().rfind(|t| is_word(t)));
        found.map_or_else(|| self.first_word(), |t| self.at(t.span.start))
    }

    /// The first identifier or text `name`, as it may be named in an error without a place.
    pub fn identifier(&self, name: &str) -> Option<Place> {
        let same = |t: &&TokenWithSpan| match &t.token {
            Token::Word(w) => w.value.eq_ignore_ascii_case(name),
            Token::SingleQuotedString(text) => text == name,
            _ => false,
        };
        self.tokens.iter().find(same).map(|t| self.at(t.span.start))
    }

    /// Just after the last word.
    pub fn end(&self) -> Place {
        let blank = |t: &&TokenWithSpan| matches!(t.token, Token::Whitespace(_) | Token::EOF);
        match self.tokens.iter().rfind(|t| !blank(t)) {
            Some(last) => {
                let last = self.at(last.span.start);
                Place { column: last.column + last.width, width: 1, ..last }
            }
            None => Place::START,
        }
    }

    pub fn span(&self, span: Span) -> Place {
        self.at(span.start)
    }

    pub fn first_word(&self) -> Place {
        let first = self.tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_)));
        match first {
            Some(t) => Place {
                line: t.span.start.line.max(1) as usize,
                column: t.span.start.column.max(1) as usize,
                width: width_of(&t.token),
            },
            None => Place::START,
        }
    }

    pub fn refuse(&self, refusal: Refusal, place: Place, message: impl Into<String>) -> PlanError {
        PlanError {
            refusal,
            message: message.into(),
            line: place.line,
            column: place.column,
            snippet: self.snippet(place),
        }
    }

    fn snippet(&self, place: Place) -> String {
        let line = self.sql.lines().nth(place.line - 1).unwrap_or("");
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let chars: Vec<char> = line.chars().map(shown).collect();
        let at = (place.column - 1).min(chars.len());
        let from =
            if chars.len() > SNIPPET_WIDTH { at.saturating_sub(SNIPPET_WIDTH / 2) } else { 0 };
        let to = chars.len().min(from + SNIPPET_WIDTH);
        let part: String = chars[from..to].iter().collect();
        let width = place.width.clamp(1, (to - at).max(1));
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(at - from);
        let carets = "^".repeat(width);
        format!("{margin} |\n{number} | {part}\n{margin} | {indent}{carets}")
    }
}

fn width_of(token: &Token) -> usize {
    token.to_string().lines().next().map_or(1, |l| l.chars().count().max(1))
}

/// The place that sqlparser writes into its messages: `… at Line: 3, Column: 14`.
pub(crate) fn place_in_message(message: &str) -> Option<(Location, String)> {
    let at = message.rfind(" at Line: ")?;
    let mut numbers = message[at..].split(|c: char| !c.is_ascii_digit()).filter(|s| !s.is_empty());
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some((Location { line, column }, message[..at].to_string()))
}
