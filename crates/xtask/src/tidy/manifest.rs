//! Every dependency of the workspace stands under a comment that says why it is there.

use super::{Finding, Tree};

const MEND: &str = "put a `#` line above it (or above its group) that says what it is for";

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.file("Cargo.toml").map(|file| check_manifest(&file.text)).unwrap_or_default()
}

/// An empty line ends what a comment speaks of.
fn check_manifest(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_table = false;
    let mut has_reason = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            in_table = line == "[workspace.dependencies]";
            has_reason = false;
        } else if line.starts_with('#') {
            has_reason = line.trim_start_matches('#').trim().len() > 2;
        } else if line.is_empty() {
            has_reason = false;
        } else if in_table && !has_reason {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            let what = format!("dependency `{name}` has no reason");
            findings.push(Finding { file: "Cargo.toml".into(), line: at + 1, what, mend: MEND });
        }
    }
    findings
}
