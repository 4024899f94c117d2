//! Building needs the crates registry and nothing else from outside (ARCHITECTURE.md, invariant 7):
//! no other registry, no git repository, no Node.

use super::{Finding, Tree};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Files by which another tool's build comes in.
const FOREIGN_BUILDS: &[&str] = &["package.json", "yarn.lock", "pnpm-lock.yaml", "node_modules"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let locks = tree.files.iter().filter(|file| file.stem() == "Cargo" && is_lock(&file.path));
    let mut findings: Vec<Finding> =
        locks.flat_map(|file| check_lock(&file.path, &file.text)).collect();
    for file in &tree.files {
        if file.path.split('/').any(|part| FOREIGN_BUILDS.contains(&part)) {
            let what = "a build with Node".to_string();
            let mend = "commit what it would make";
            findings.push(Finding { file: file.path.clone(), line: 1, what, mend });
        }
    }
    findings
}

fn is_lock(path: &str) -> bool {
    path.ends_with(".lock")
}

fn check_lock(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(source) = line.strip_prefix("source = ") else { continue };
        if source.trim_matches('"') != REGISTRY {
            let what = format!("a crate from {source}");
            let mend = "take one from crates.io";
            findings.push(Finding { file: path.to_string(), line: at + 1, what, mend });
        }
    }
    findings
}
