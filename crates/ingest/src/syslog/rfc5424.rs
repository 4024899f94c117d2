//! The header of RFC 5424 §6: version, time, host, application, process, message id and structured
//! data, one space between each.

use super::parse::Parsed;
use super::stamp::{self, When, digits};

/// What stands behind the priority, where it begins as RFC 5424 says. A header that ends early has
/// the parts that are there.
pub fn read<'a>(text: &'a str, into: &mut Parsed<'a>) -> bool {
    let version = digits(text);
    let behind = text.get(version..).and_then(|rest| rest.strip_prefix(' '));
    let Some(rest) = behind.filter(|_| (1..=3).contains(&version)) else {
        return false;
    };
    let (time, rest) = word(rest);
    if time != "-" && !(digits(time) == 4 && time.contains('T')) {
        return false;
    }
    if let Some((When::Date(stamp), _)) = stamp::read(time) {
        into.time = Some(stamp);
    }
    let (host, rest) = word(rest);
    let (app, rest) = word(rest);
    let (process, rest) = word(rest);
    let (id, rest) = word(rest);
    (into.host, into.app, into.process) = (value(host), value(app), value(process));
    let (data, rest) = structured(rest);
    into.data = data;
    into.text = rest.trim_start_matches('\u{feff}').trim_start();
    into.tag = value(id);
    true
}

/// `-` is how RFC 5424 writes nothing.
fn value(word: &str) -> Option<&str> {
    (!word.is_empty() && word != "-").then_some(word)
}

fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// Structured data and what follows: `-`, or elements in brackets, within whose quotes `"`, `\` and
/// `]` are escaped. An element that never ends is text.
fn structured(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('-') {
        return ("", rest.strip_prefix(' ').unwrap_or(rest));
    }
    let mut end = 0;
    while let Some(element) = text.get(end..).filter(|rest| rest.starts_with('[')) {
        match element_end(element) {
            Some(len) => end += len,
            None => break,
        }
    }
    let (data, rest) = text.split_at_checked(end).unwrap_or(("", text));
    (data, rest.strip_prefix(' ').unwrap_or(rest))
}

fn element_end(element: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in element.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The value of a parameter, as written.
pub fn parameter<'a>(data: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = data;
    loop {
        let at = rest.find(name)?;
        let is_whole = rest[..at].ends_with([' ', '[']);
        rest = &rest[at + name.len()..];
        if let Some(value) = rest.strip_prefix("=\"").filter(|_| is_whole) {
            return value.split_once('"').map(|(value, _)| value);
        }
    }
}
