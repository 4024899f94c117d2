//! Checks of values by `garde`, told with the place where the value was written.

use garde::Validate;

use super::diagnostic::{ConfigError, Diagnostic, Place};
use super::node::Node;

pub(super) fn check<T: Validate<Context = ()>>(value: &T, tree: &Node) -> Result<(), ConfigError> {
    let Err(report) = value.validate() else { return Ok(()) };
    let diagnostics = report.iter().map(|(path, error)| {
        let path = path.to_string();
        let (node, found) = tree.find_nearest(&path);
        let message = match path.is_empty() {
            true => error.to_string(),
            false => format!("`{path}`: {error}"),
        };
        let diagnostic = Diagnostic::new(message).at(node.place.clone());
        match found || matches!(node.place, Place::Default) {
            true => diagnostic,
            false => diagnostic.help("the key is not written here, its default does not fit"),
        }
    });
    Err(ConfigError { diagnostics: diagnostics.collect() })
}
