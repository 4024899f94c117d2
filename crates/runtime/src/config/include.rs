//! Files and `!include`: a path relative to the including file, no cycles, a limited depth and
//! size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compose::{Origin, compose};
use super::diagnostic::{ConfigError, Diagnostic, Place, Source};
use super::node::Node;
use super::{FILE_BYTES_MAX, INCLUDES_DEPTH_MAX};

/// The tree of a file and of all that it includes.
pub(super) fn read_root(path: &Path) -> Result<Node, ConfigError> {
    read(path, Place::Default, &[])
}

/// The tree of a text and of all that it includes, by their names among `texts`.
pub(super) fn compose_text(
    name: &str,
    texts: &BTreeMap<String, String>,
) -> Result<Node, ConfigError> {
    compose_named(name, texts, Place::Default, &[])
}

fn compose_named(
    name: &str,
    texts: &BTreeMap<String, String>,
    included_from: Place,
    stack: &[&str],
) -> Result<Node, ConfigError> {
    let refuse = |message: &str| Diagnostic::new(message).at(included_from.clone()).into();
    let Some(text) = texts.get(name) else {
        return Err(refuse("`!include` works only in a file"));
    };
    if stack.contains(&name) || stack.len() >= INCLUDES_DEPTH_MAX {
        return Err(refuse("texts include each other without end"));
    }
    let outer = matches!(included_from, Place::File(_)).then(|| included_from.clone());
    let source = Arc::new(Source::new(name, text.as_str()).with_included_from(outer));
    let stack: Vec<&str> = stack.iter().copied().chain([name]).collect();
    let mut resolve =
        |other: &str, place: &Place| compose_named(other, texts, place.clone(), &stack);
    compose(&source.text, &Origin::Source(Arc::clone(&source)), &mut resolve)
}

fn read(path: &Path, included_from: Place, stack: &[PathBuf]) -> Result<Node, ConfigError> {
    let shown = path.display().to_string();
    let (real, text) = read_text(path).map_err(|e| {
        Diagnostic::new(format!("cannot read {shown}: {e}")).at(included_from.clone())
    })?;
    if stack.contains(&real) {
        let message = format!("{shown} includes itself, directly or through another file");
        return Err(Diagnostic::new(message).at(included_from).into());
    }
    if stack.len() >= INCLUDES_DEPTH_MAX {
        let message = format!("files include files deeper than {INCLUDES_DEPTH_MAX} levels");
        return Err(Diagnostic::new(message).at(included_from).into());
    }
    let outer = match &included_from {
        Place::File(_) => Some(included_from.clone()),
        _ => None,
    };
    let source = Arc::new(Source::new(shown, text).with_included_from(outer));
    let stack: Vec<PathBuf> = stack.iter().cloned().chain([real]).collect();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut resolve = |name: &str, place: &Place| read(&folder.join(name), place.clone(), &stack);
    compose(&source.text, &Origin::Source(Arc::clone(&source)), &mut resolve)
}

fn read_text(path: &Path) -> std::io::Result<(PathBuf, String)> {
    let real = path.canonicalize()?;
    // Asked before it is opened: to open a pipe waits for whoever writes to it.
    if !real.metadata()?.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    let file = File::open(&real)?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok((real, text))
}
