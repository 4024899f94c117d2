//! `domain` is part of every rule's key. Where the SQL does not name it, it is added to SELECT and
//! GROUP BY, in text, so that the parser sees what it will run; places in errors are mapped back.

use super::scan::{Kind, Token, tokens};

/// SQL with `domain` added, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    pub sql: String,
    /// Byte in the original and bytes added there, ascending. What is added has no line end.
    added: Vec<(usize, usize)>,
}

const AFTER_GROUP_BY: [&str; 9] =
    ["HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "WINDOW", "QUALIFY", "UNION", "SETTINGS"];

/// Adds `domain` to a query without nested ones; any other is left as it is.
pub fn with_domain(sql: &str) -> Rewritten {
    let all = tokens(sql);
    let inserts = inserts(&all).unwrap_or_default();
    let mut text = String::with_capacity(sql.len() + 40);
    let mut done = 0;
    for (at, words) in &inserts {
        text.push_str(&sql[done..*at]);
        text.push_str(words);
        done = *at;
    }
    text.push_str(&sql[done..]);
    let added = inserts.iter().map(|(at, words)| (*at, words.len())).collect();
    Rewritten { sql: text, added }
}

fn inserts(all: &[Token<'_>]) -> Option<Vec<(usize, &'static str)>> {
    let selects = all.iter().filter(|token| token.is("SELECT")).count();
    if selects != 1 || !all.first()?.is("SELECT") {
        return None;
    }
    let find = |from: usize, keyword: &str| {
        let at = all[from..].iter().position(|token| token.depth == 0 && token.is(keyword));
        at.map(|at| from + at)
    };
    let from = find(1, "FROM")?;
    let group = find(from, "GROUP").filter(|&g| all.get(g + 1).is_some_and(|t| t.is("BY")));
    let clauses = group.map_or(from, |group| group + 2);
    let ends = |token: &Token<'_>| {
        let keyword = AFTER_GROUP_BY.iter().any(|word| token.is(word));
        token.depth == 0 && (keyword || token.text == ";")
    };
    let end = all[clauses..].iter().position(ends).map_or(all.len(), |at| clauses + at);
    let mut inserts = Vec::new();
    if !names_domain(&all[1..from]) {
        inserts.push((all[from - 1].end(), ", domain"));
    }
    match group {
        Some(_) if names_domain(&all[clauses..end]) => {}
        Some(_) if end == clauses + 1 && all[clauses].is("ALL") => {}
        Some(_) => inserts.push((all[end - 1].end(), ", domain")),
        None => inserts.push((all[end - 1].end(), " GROUP BY domain")),
    }
    Some(inserts)
}

fn names_domain(tokens: &[Token<'_>]) -> bool {
    let name = |token: &Token<'_>| match token.kind {
        Kind::Word => token.text.eq_ignore_ascii_case("domain"),
        Kind::Quoted => token.text == "\"domain\"",
        Kind::Other => false,
    };
    tokens.iter().any(|token| token.depth == 0 && name(token))
}

// === impl Rewritten ===

impl Rewritten {
    /// The place in the original text of a place (1-based line, column in characters) in this one.
    pub fn original_column(&self, original: &str, line: usize, column: usize) -> usize {
        let before: usize =
            original.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let this_line = original[before..].lines().next().unwrap_or("");
        let mut column = column;
        // Added text is ASCII: one character a byte.
        for &(at, length) in &self.added {
            let Some(within) = at.checked_sub(before).filter(|&at| at <= this_line.len()) else {
                continue;
            };
            let place = this_line[..within].chars().count() + 1;
            if column >= place + length {
                column -= length;
            } else if column > place {
                column = place;
            }
        }
        column
    }
}
