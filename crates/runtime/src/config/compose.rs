//! From the parser's events to a tree with places: anchors, aliases, duplicate keys, limits.
//! `!include` is only recognized here and left to `include`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::diagnostic::{ConfigError, Diagnostic, Place, Source, Spot};
use super::node::{Key, Kind, Node, Scalar, Style};
use super::{DEPTH_MAX, NODES_MAX, TEXTS_BYTES_MAX, suggest};

/// What the value of `!include` becomes; also the place where a text may not include.
pub(super) type Resolve<'r> = dyn FnMut(&str, &Place) -> Result<Node, ConfigError> + 'r;

/// How places of this text are told: by line and column, or by the variable it came from.
pub(super) enum Origin {
    Source(Arc<Source>),
    Variable(Arc<str>),
}

struct Composer<'s, 'r> {
    parser: Parser<'s, serde_saphyr::granit_parser::StrInput<'s>>,
    origin: &'s Origin,
    anchors: BTreeMap<usize, Node>,
    weight: Weight,
    resolve: &'r mut Resolve<'r>,
}

/// What a tree takes: values, and bytes of keys and values.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

/// The one document of a text; a text of comments alone is null.
pub(super) fn compose<'r>(
    text: &str,
    origin: &Origin,
    resolve: &'r mut Resolve<'r>,
) -> Result<Node, ConfigError> {
    let parser = Parser::new_from_str(text);
    let (anchors, weight) = (BTreeMap::new(), Weight::default());
    let mut composer = Composer { parser, origin, anchors, weight, resolve };
    let mut document = None;
    loop {
        let (event, span) = composer.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if document.is_some() => {
                let message = "a configuration is one document, here a second one begins";
                return Err(Diagnostic::new(message).at(composer.place(span)).into());
            }
            event => document = Some(composer.node(event, span, 0)?),
        }
    }
    Ok(document.unwrap_or_else(|| Node::null(origin.place(1, 1, 1))))
}

// === impl Composer ===

impl<'s> Composer<'s, '_> {
    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'s>, Span), ConfigError> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(next),
                Some(Err(error)) => {
                    let at = self.place_of_marker(*error.marker());
                    return Err(Diagnostic::new(error.info().to_string()).at(at).into());
                }
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        let place = self.place(span);
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Diagnostic::new(message).at(place).into());
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), place)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &place)?;
                self.add(Weight { nodes: 1, bytes: 0 }, &place)?;
                (Node { place, kind: self.sequence(depth)? }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &place)?;
                self.add(Weight { nodes: 1, bytes: 0 }, &place)?;
                (Node { place, kind: self.mapping(depth)? }, anchor)
            }
            Event::Alias(anchor) => (self.alias(anchor, place)?, 0),
            other => {
                let message = format!("unexpected in a configuration: {other:?}");
                return Err(Diagnostic::new(message).at(place).into());
            }
        };
        if anchor != 0 {
            self.add(node.weight(), &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Counts what joins the tree.
    fn add(&mut self, weight: Weight, place: &Place) -> Result<(), ConfigError> {
        self.weight = self.weight.and(weight);
        let message = match self.weight {
            Weight { nodes, .. } if nodes > NODES_MAX => {
                format!("more than {NODES_MAX} values, with those that aliases make")
            }
            Weight { bytes, .. } if bytes > TEXTS_BYTES_MAX => {
                format!("more than {TEXTS_BYTES_MAX} bytes, with those that aliases make")
            }
            _ => return Ok(()),
        };
        Err(Diagnostic::new(message).at(place.clone()).into())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<Node, ConfigError> {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        };
        let style = match tag {
            Some(tag) if is_include(tag) => {
                let included = (self.resolve)(text, &place)?;
                self.add(included.weight(), &place)?;
                return Ok(included);
            }
            // `!!str 5` is the string.
            Some(tag) if is_core(tag) && tag.suffix() == "str" => Style::Quoted,
            other => {
                self.refuse_tag(other, &place)?;
                style
            }
        };
        self.add(Weight { nodes: 1, bytes: text.len() }, &place)?;
        Ok(Node { place, kind: Kind::Scalar(Scalar { text: text.to_owned(), style }) })
    }

    fn sequence(&mut self, depth: usize) -> Result<Kind, ConfigError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Kind, ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut lines: BTreeMap<String, Place> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Kind::Mapping(entries));
            }
            let key = self.key(event, span)?;
            if let Some(first) = lines.insert(key.text.clone(), key.place.clone()) {
                let message = format!("`{}` stands here a second time", key.text);
                let help = format!("the first is at {first}");
                return Err(Diagnostic::new(message).at(key.place).help(help).into());
            }
            let (event, span) = self.next()?;
            let mut value = self.node(event, span, depth + 1)?;
            // An empty value has no place of its own that a person could see.
            if matches!(&value.kind, Kind::Scalar(s) if s.text.is_empty() && value.is_null()) {
                value.place = key.place.clone();
            }
            entries.push((key, value));
        }
    }

    fn key(&mut self, event: Event<'s>, span: Span) -> Result<Key, ConfigError> {
        let place = self.place(span);
        match event {
            Event::Scalar(text, _, _, None) => {
                self.add(Weight { nodes: 1, bytes: text.len() }, &place)?;
                Ok(Key { text: text.into_owned(), place })
            }
            _ => Err(Diagnostic::new("a key must be a plain word").at(place).into()),
        }
    }

    /// A copy of what the anchor names; copies count, so that aliases of aliases stay bounded.
    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, ConfigError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::new("this alias is inside its own anchor").at(place).into());
        };
        let node = node.clone();
        self.add(node.weight(), &place)?;
        Ok(node)
    }

    fn refuse_tag(&self, tag: Option<&Tag>, place: &Place) -> Result<(), ConfigError> {
        let Some(tag) = tag.filter(|tag| !is_core(tag)) else { return Ok(()) };
        let name = format!("{}{}", tag.handle(), tag.suffix());
        let error = Diagnostic::new(format!("unknown tag `{name}`")).at(place.clone());
        Err(match is_include(tag) {
            true => error.help("`!include` takes the name of a file").into(),
            false => error.help(suggest::help(&name, &["!include"]).unwrap_or_default()).into(),
        })
    }

    fn place(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        let width = match start.line() == end.line() {
            true => end.col().saturating_sub(start.col()),
            false => usize::MAX,
        };
        self.origin.place(start.line(), start.col() + 1, width)
    }

    fn place_of_marker(&self, marker: Marker) -> Place {
        self.origin.place(marker.line(), marker.col() + 1, 1)
    }
}

// === impl Origin ===

impl Origin {
    fn place(&self, line: usize, column: usize, width: usize) -> Place {
        match self {
            Origin::Variable(name) => Place::Variable(Arc::clone(name)),
            Origin::Source(source) => {
                let left = source.columns(line) + 1;
                let width = width.clamp(1, left.saturating_sub(column).max(1));
                Place::File(Spot { source: Arc::clone(source), line, column, width })
            }
        }
    }
}

fn is_include(tag: &Tag) -> bool {
    tag.handle() == "!" && tag.suffix() == "include"
}

fn is_core(tag: &Tag) -> bool {
    tag.handle() == "tag:yaml.org,2002:"
}

// === impl Weight ===

impl Weight {
    fn and(self, other: Weight) -> Weight {
        Weight {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Node {
    fn weight(&self) -> Weight {
        let one = |bytes| Weight { nodes: 1, bytes };
        match &self.kind {
            Kind::Scalar(scalar) => one(scalar.text.len()),
            Kind::Sequence(items) => items.iter().map(Node::weight).fold(one(0), Weight::and),
            Kind::Mapping(entries) => {
                let entries = entries.iter();
                entries.fold(one(0), |sum, (key, node)| {
                    sum.and(one(key.text.len())).and(node.weight())
                })
            }
        }
    }
}
