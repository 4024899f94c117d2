//! `cargo xtask tidy`: the rules of `STYLE.md` and the dependency arrows of `ARCHITECTURE.md` that
//! a program can check. Every rule is a function over the whole [`Tree`] in the table [`RULES`],
//! so that a test can hand it a bad sample; what needs a compiler is left to clippy.

mod arrows;
mod bounds;
mod manifest;
mod metrics;
mod pages;
mod schemas;
mod source;
mod sources;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::reference;

pub use tree::Tree;

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub what: String,
    pub mend: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} — {}", self.file, self.line, self.what, self.mend)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule by its name.
const RULES: &[(&str, Rule)] = &[
    ("arrows", arrows::check),
    ("dependency reasons", manifest::check),
    ("text", text::check),
    ("source", source::check),
    ("metric names", metrics::check),
    ("bounds", bounds::check),
    ("pages", pages::check),
    ("schemas only grow", schemas::check),
    ("sources", sources::check),
    ("reference", reference::check),
];

/// All findings in the repository at `root`, in order of file and line.
pub fn run(root: &Path) -> Result<Vec<Finding>> {
    Ok(check(&Tree::read(root)?))
}

/// Writes down the columns that the schema files have, as promised from now on.
pub fn promise(root: &Path) -> Result<()> {
    let text = schemas::promises(&Tree::read(root)?);
    Ok(std::fs::write(root.join(schemas::PROMISED), text)?)
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|(_, rule)| rule(tree)).collect();
    findings.sort();
    findings.dedup();
    findings
}
