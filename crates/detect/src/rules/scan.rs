//! The words of a SQL text with their places and depth in parentheses; strings, quoted names and
//! comments are stepped over. Enough to find a query's clauses; what they mean is `sql`'s business.

/// A token that is no white space and no comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    /// Byte where it starts.
    pub start: usize,
    /// Open parentheses around it.
    pub depth: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// `"name"`: a name, never a keyword.
    Quoted,
    Other,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
}

pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (length, kind) = match first {
            c if c.is_whitespace() => (c.len_utf8(), None),
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => (block_comment(rest), None),
            '\'' => (quoted(rest, '\''), Some(Kind::Other)),
            '"' => (quoted(rest, '"'), Some(Kind::Quoted)),
            c if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), Some(Kind::Word)),
            c => (c.len_utf8(), Some(Kind::Other)),
        };
        if first == ')' {
            depth = depth.saturating_sub(1);
        }
        if let Some(kind) = kind {
            found.push(Token { text: &rest[..length], start: at, depth, kind });
        }
        if first == '(' {
            depth += 1;
        }
        at += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Bytes of a text in quotes; a doubled quote is one of its characters.
fn quoted(rest: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = rest[at..].find(quote) {
        at += found + 1;
        if !rest[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    rest.len()
}

/// Bytes of a block comment, which nests.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
