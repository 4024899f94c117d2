//! Who may depend on whom. The crates' manifests are compared with the table of ARCHITECTURE.md;
//! a crate that is not in the table may not exist.

use super::{Finding, Tree};

/// An arrow from each crate to the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("bus", &["model"]),
    ("runtime", &["model", "bus"]),
    ("sql", &["model"]),
    ("ingest", &["model", "bus", "runtime"]),
    ("detect", &["model", "bus", "runtime", "sql"]),
    ("correlate", &["model", "bus", "runtime"]),
    ("act", &["model", "bus", "runtime"]),
    ("drivers", &["act"]),
    ("console", &["model", "bus", "runtime", "sql"]),
    (
        "replay",
        &["model", "bus", "runtime", "sql", "ingest", "detect", "correlate", "act", "console"],
    ),
    ("sim", &["model"]),
    (
        "gannet",
        &[
            "model",
            "bus",
            "runtime",
            "sql",
            "ingest",
            "detect",
            "correlate",
            "act",
            "drivers",
            "console",
            "replay",
            "sim",
        ],
    ),
    ("xtask", &[]),
    (
        "tests",
        &[
            "model",
            "bus",
            "runtime",
            "sql",
            "ingest",
            "detect",
            "correlate",
            "act",
            "console",
            "replay",
            "sim",
            "gannet",
            "xtask",
        ],
    ),
];

/// What comes from outside and only these crates may name, in code that ships.
const KEPT: &[(&str, &[&str])] = &[
    ("rdkafka", &["bus"]),
    ("rdkafka-sys", &["bus"]),
    ("redb", &["bus", "console"]),
    ("datafusion", &["sql"]),
    ("anyhow", &["gannet", "xtask", "tests"]),
];

const TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

const MEND: &str = "move the code to a crate that may, or change the table with ARCHITECTURE.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.iter().filter(|file| crate_of(&file.path).is_some());
    manifests.flat_map(|file| check_manifest(&file.path, &file.text)).collect()
}

/// The folder of a manifest of the workspace; fuzz crates stand outside of it.
fn crate_of(path: &str) -> Option<&str> {
    let dir = path.strip_suffix("/Cargo.toml")?;
    let name = dir.strip_prefix("crates/").unwrap_or(dir);
    (name == "tests" || dir.starts_with("crates/") && !name.contains('/')).then_some(name)
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let name = crate_of(path).expect("filtered by the caller");
    let finding = |line, what: String, mend| Finding { file: path.to_string(), line, what, mend };
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![finding(1, format!("not TOML: {error}"), "correct it")],
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![finding(1, format!("crate `{name}` is in no arrow"), MEND)];
    };
    let mut findings = Vec::new();
    for (table, dependency) in dependencies(&manifest) {
        let is_ours = ARROWS.iter().any(|(ours, _)| *ours == dependency);
        let kept = KEPT.iter().find(|(kept, _)| *kept == dependency);
        let barred = (is_ours && !allowed.contains(&dependency))
            || kept.is_some_and(|(_, only)| !only.contains(&name));
        if barred {
            let what = format!("`{name}` may not use `{dependency}` ({table})");
            findings.push(finding(line_of(text, dependency), what, MEND));
        }
    }
    findings
}

/// Every (table, dependency), those for one platform included.
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, &str)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let platforms = targets.into_iter().flat_map(|t| t.values()).filter_map(toml::Value::as_table);
    let mut found = Vec::new();
    for place in std::iter::once(manifest).chain(platforms) {
        for table in TABLES {
            if let Some(entries) = place.get(*table).and_then(toml::Value::as_table) {
                found.extend(entries.iter().map(|(name, entry)| (*table, real_name(name, entry))));
            }
        }
    }
    found
}

/// A dependency may be renamed; the arrow is to what it is.
fn real_name<'a>(name: &'a str, entry: &'a toml::Value) -> &'a str {
    entry.get("package").and_then(toml::Value::as_str).unwrap_or(name)
}

fn line_of(text: &str, dependency: &str) -> usize {
    let is_entry = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    text.lines().position(is_entry).map_or(1, |at| at + 1)
}
