//! Configuration: YAML with `!include`, overridden by the environment, into a stage's own structs.
//! Every error names its place: file, line, column and a caret, or the variable. A tree that keeps
//! places (`node`) is composed from the parser's events because a merge of files and variables by
//! values alone would lose them. What the keys mean is left to the stages' `config.rs`.

mod compose;
mod de;
mod diagnostic;
mod environment;
mod include;
mod node;
mod scalar;
mod suggest;
pub mod units;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use garde::Validate;
use serde::de::DeserializeOwned;

pub use diagnostic::{ConfigError, Diagnostic, Place, Source};
use node::{Kind, Node};
pub use suggest::nearest;

/// Nesting of mappings, sequences and includes together. Ours needs 7; the parser's own limit of
/// 255 would let a hostile text use deep recursion.
const DEPTH_MAX: usize = 64;
/// Files that include files. Two suffice (a rules file that is split by team).
const INCLUDES_DEPTH_MAX: usize = 8;
/// A whole configuration, included files, anchors and aliases counted. 2,000 rules need about
/// 60,000.
const NODES_MAX: usize = 500_000;
/// Bytes of all its keys and values, counted likewise: an alias of a long text costs three bytes.
const TEXTS_BYTES_MAX: usize = 64 << 20;
/// One file. A thousand rules with SQL are about 1 MB.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Variables that override a key begin with this; `__` goes one level deeper.
pub const VARIABLE_PREFIX: &str = "GANNET__";

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    root: Root,
    variables: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Root {
    File(PathBuf),
    /// A text by its name among others that it may include, and no file: a test, a fuzzer, the
    /// configuration that the binary carries.
    Text {
        name: String,
        texts: BTreeMap<String, String>,
    },
}

/// A configuration as it holds: files, then variables, then defaults, checked.
#[derive(Debug)]
pub struct Loaded<T> {
    pub value: T,
    tree: Node,
}

// === impl ConfigSource ===

impl ConfigSource {
    pub fn file(path: impl Into<PathBuf>) -> ConfigSource {
        ConfigSource { root: Root::File(path.into()), variables: Vec::new() }
    }

    pub fn text(name: &str, text: &str) -> ConfigSource {
        ConfigSource::texts(name, &[(name, text)])
    }

    /// The text called `name`, which may include the others by their names.
    pub fn texts(name: &str, texts: &[(&str, &str)]) -> ConfigSource {
        let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let root = Root::Text { name: name.to_owned(), texts: texts.collect() };
        ConfigSource { root, variables: Vec::new() }
    }

    /// Variables that do not begin with `GANNET__` are left alone.
    pub fn with_variables(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> ConfigSource {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX));
        self.variables.extend(ours);
        // The order of an environment means nothing; a fixed one makes errors repeatable.
        self.variables.sort();
        self
    }

    /// With this process's environment.
    pub fn with_environment(self) -> ConfigSource {
        let readable = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.with_variables(readable)
    }
}

/// Reads, merges, deserializes and checks a configuration.
pub fn load<T>(source: ConfigSource) -> Result<Loaded<T>, ConfigError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let mut tree = match source.root {
        Root::File(path) => include::read_root(&path)?,
        Root::Text { name, texts } => include::compose_text(&name, &texts)?,
    };
    environment::apply(&mut tree, &source.variables)?;
    let value = de::from_node(&tree)?;
    validate::check(&value, &tree)?;
    Ok(Loaded { value, tree })
}

/// The whole way over a text alone, for fuzzers: anything may come back but a panic.
pub fn check_text<T>(text: &str) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    load(ConfigSource::text("text", text)).map(|loaded: Loaded<T>| loaded.value)
}

// === impl Loaded ===

impl<T> Loaded<T> {
    /// Where a key stands, `ingest.listen[0]`; else its nearest ancestor that was written.
    pub fn place_of(&self, path: &str) -> Place {
        self.tree.find_nearest(path).0.place.clone()
    }

    /// The place of line `line`, column `column` (both from 1) *within* a string of the
    /// configuration, such as the SQL of a rule.
    pub fn place_within(&self, path: &str, line: usize, column: usize, width: usize) -> Place {
        let (node, found) = self.tree.find_nearest(path);
        match &node.kind {
            Kind::Scalar(scalar) if found => scalar.place_within(&node.place, line, column, width),
            _ => node.place.clone(),
        }
    }
}

impl<T: serde::Serialize> Loaded<T> {
    /// The effective configuration as YAML, defaults filled in.
    pub fn dump(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(&self.value).map_err(|e| {
            Diagnostic::new(format!("the configuration cannot be written as YAML: {e}")).into()
        })
    }
}

#[cfg(test)]
mod tests;
