//! Overrides from the environment: `GANNET__BUS__KAFKA__BOOTSTRAP=broker:9092`. A double underscore
//! goes one level deeper, a number is an index, the value is YAML (`[a, b]` is a list).

use std::sync::Arc;

use super::compose::{Origin, compose};
use super::diagnostic::{ConfigError, Diagnostic, Place};
use super::node::{Key, Kind, Node, same_key};
use super::{DEPTH_MAX, VARIABLE_PREFIX};

/// Applies variables in their given order.
pub(super) fn apply(tree: &mut Node, variables: &[(String, String)]) -> Result<(), ConfigError> {
    for (name, value) in variables {
        let variable: Arc<str> = Arc::from(name.as_str());
        let place = Place::Variable(Arc::clone(&variable));
        let mut refuse = |_: &str, place: &Place| {
            let message = "`!include` works only in a file";
            Err(Diagnostic::new(message).at(place.clone()).into())
        };
        let value = compose(value, &Origin::Variable(variable), &mut refuse)?;
        let path = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
        let segments: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if segments.iter().any(String::is_empty) {
            let error = Diagnostic::new("names no key").at(place);
            return Err(error.help("write SECTION__KEY after GANNET__").into());
        }
        if segments.len() > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Diagnostic::new(message).at(place).into());
        }
        put(tree, &segments, value, &place)?;
    }
    Ok(())
}

fn put(at: &mut Node, path: &[String], value: Node, place: &Place) -> Result<(), ConfigError> {
    let Some((segment, rest)) = path.split_first() else {
        *at = value;
        return Ok(());
    };
    if at.is_null() {
        at.kind = Kind::Mapping(Vec::new());
    }
    let next = match &mut at.kind {
        Kind::Mapping(entries) => entry(entries, segment, place),
        Kind::Sequence(items) => item(items, segment, place)?,
        Kind::Scalar(_) => {
            let message =
                format!("`{segment}` is inside a value that has no keys, see {}", at.place);
            return Err(Diagnostic::new(message).at(place.clone()).into());
        }
    };
    put(next, rest, value, place)
}

fn entry<'a>(entries: &'a mut Vec<(Key, Node)>, segment: &str, place: &Place) -> &'a mut Node {
    let found = entries.iter().position(|(key, _)| same_key(&key.text, segment));
    let index = found.unwrap_or_else(|| {
        let key = Key { text: segment.to_owned(), place: place.clone() };
        entries.push((key, Node::null(place.clone())));
        entries.len() - 1
    });
    &mut entries[index].1
}

fn item<'a>(
    items: &'a mut Vec<Node>,
    segment: &str,
    place: &Place,
) -> Result<&'a mut Node, ConfigError> {
    let count = items.len();
    let index = segment.parse::<usize>().ok().filter(|index| *index <= count);
    let Some(index) = index else {
        let message = format!("`{segment}` is not an index of a list of {count}");
        return Err(Diagnostic::new(message).at(place.clone()).into());
    };
    if index == count {
        items.push(Node::null(place.clone()));
    }
    Ok(&mut items[index])
}
