//! The tree of a configuration: scalars, sequences and mappings, each with the place where it was
//! written.

use std::sync::Arc;

use super::diagnostic::{Place, Source, Spot};

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    pub style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Not quoted: may be a number, a bool or null.
    Plain,
    Quoted,
    /// A `|` block.
    Literal,
    Folded,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

// === impl Node ===

impl Node {
    pub fn null(place: Place) -> Node {
        let scalar = Scalar { text: String::new(), style: Style::Plain };
        Node { place, kind: Kind::Scalar(scalar) }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }

    /// The node at `a.b[0].c`, or its nearest ancestor and `false`. Keys are compared as
    /// `same_key` does. A key may itself contain dots: the longest that is there counts.
    pub fn find_nearest(&self, path: &str) -> (&Node, bool) {
        let path = path.trim_start_matches('.');
        if path.is_empty() {
            return (self, true);
        }
        let next = match &self.kind {
            Kind::Scalar(_) => None,
            Kind::Sequence(items) => index_step(items, path),
            Kind::Mapping(entries) => key_step(entries, path),
        };
        match next {
            Some((node, rest)) => node.find_nearest(rest),
            None => (self, false),
        }
    }
}

fn index_step<'a, 'p>(items: &'a [Node], path: &'p str) -> Option<(&'a Node, &'p str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((items.get(index.parse::<usize>().ok()?)?, rest))
}

fn key_step<'a, 'p>(entries: &'a [(Key, Node)], path: &'p str) -> Option<(&'a Node, &'p str)> {
    let path = path.strip_prefix('[').unwrap_or(path);
    let ends = path.char_indices().filter(|(_, c)| matches!(c, '.' | '[' | ']'));
    let ends = ends.map(|(at, _)| at).chain([path.len()]).collect::<Vec<_>>();
    ends.into_iter().rev().find_map(|end| {
        let (_, node) = entries.iter().find(|(key, _)| same_key(&key.text, &path[..end]))?;
        Some((node, path[end..].trim_start_matches(']')))
    })
}

/// Variables have no lower case and no `-`; validation names Rust's fields.
pub(super) fn same_key(a: &str, b: &str) -> bool {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    a.chars().map(fold).eq(b.chars().map(fold))
}

// === impl Scalar ===

impl Scalar {
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && super::scalar::is_null(&self.text)
    }

    /// See `Loaded::place_within`. Where a line of the text is no line of the file (folding,
    /// escapes, a variable), the place is in the text itself, as a source of its own. A block's
    /// place is its first line of content.
    pub fn place_within(&self, at: &Place, line: usize, column: usize, width: usize) -> Place {
        let inside = || {
            let name = format!("the text at {at}");
            let source = Arc::new(Source::new(name, self.text.clone()));
            Place::File(Spot { source, line, column, width })
        };
        let (Place::File(spot), true) = (at, line > 0) else { return inside() };
        let (file_line, shift) = match self.style {
            Style::Literal => (spot.line + line - 1, self.literal_indent(spot, line)),
            Style::Plain if line == 1 => (spot.line, Some(spot.column - 1)),
            Style::Quoted if line == 1 => (spot.line, Some(spot.column)),
            _ => return inside(),
        };
        let Some(shift) = shift else { return inside() };
        // Only where the file really says what the text says there.
        let written = spot.source.line(file_line).chars().skip(shift);
        let wanted = self.text.lines().nth(line - 1).unwrap_or_default();
        if !written.take(wanted.chars().count()).eq(wanted.chars()) {
            return inside();
        }
        let source = Arc::clone(&spot.source);
        Place::File(Spot { source, line: file_line, column: shift + column, width })
    }

    fn literal_indent(&self, spot: &Spot, line: usize) -> Option<usize> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?;
        let written = spot.source.line(spot.line + line - 1);
        written.chars().count().checked_sub(text.chars().count())
    }
}
