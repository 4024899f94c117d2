//! `cargo xtask docs`: the reference pages, made of what the code and the schemas say, so that they
//! cannot say anything else. Files are parsed; none of the product's crates is linked. Tidy fails
//! where a page is not what would be made now.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use syn::{Expr, Item, Lit, Meta};

use crate::tidy::{Finding, Tree};

/// A page and what makes it.
type Page = (&'static str, fn(&Tree) -> String);

const PAGES: &[Page] =
    &[("docs/reference/topics.md", topics), ("docs/reference/metrics.md", metrics)];

const MEND: &str = "run `cargo xtask docs` and commit what it writes";

/// Writes all pages, and says which.
pub fn write(root: &Path) -> Result<Vec<&'static str>> {
    for (path, text) in pages(&Tree::read(root)?) {
        let file = root.join(&path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).context("failed to make the pages' folder")?;
        }
        std::fs::write(&file, text).with_context(|| format!("failed to write {path}"))?;
    }
    Ok(PAGES.iter().map(|(path, _)| *path).collect())
}

/// The path and text of each page.
pub fn pages(tree: &Tree) -> Vec<(String, String)> {
    PAGES.iter().map(|(path, make)| ((*path).to_string(), make(tree))).collect()
}

/// Pages that are not what would be made now. A tree without what makes them has none.
pub fn check(tree: &Tree) -> Vec<Finding> {
    if tree.file("crates/xtask/src/reference.rs").is_none() {
        return Vec::new();
    }
    let stale = PAGES.iter().filter(|(path, make)| {
        tree.file(path).map(|page| page.text.as_str()) != Some(make(tree).as_str())
    });
    let finding = |(path, _): &Page| {
        let what = "the page is not what the code and the schemas say".to_string();
        Finding { file: (*path).to_string(), line: 1, what, mend: MEND }
    };
    stale.map(finding).collect()
}

/// Topics and their columns.
fn topics(tree: &Tree) -> String {
    let mut page = String::from(
        "# Topics\n\nMade by `cargo xtask docs` from `schemas/*.toml`. The topic's name is the \
         prefix (`gannet.`), the name below\nand `.v1`; `version` is that of its schema, \
         which only grows. One heading a schema: `evidence` has several,\neach message says in \
         its header `schema` which is its own. **Read with `isolation.level=read_committed`.**\n",
    );
    let mut files: Vec<_> = tree.files.iter().filter(|file| is_schema(&file.path)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    for file in files {
        // A file that is no schema is a finding of another rule.
        if let Ok(schema) = file.text.parse::<toml::Table>() {
            topic(&mut page, &file.path, &schema);
        }
    }
    page
}

fn is_schema(path: &str) -> bool {
    path.starts_with("schemas/") && path.ends_with(".toml")
}

/// Writing to a string does not fail.
fn topic(page: &mut String, path: &str, schema: &toml::Table) {
    let name = path.trim_start_matches("schemas/").trim_end_matches(".toml");
    let version = schema.get("version").map_or(String::new(), ToString::to_string);
    let _ = write!(page, "\n## {name}\n\n{}\n\n", text(schema, "doc"));
    let _ = writeln!(
        page,
        "Schema version {version}, partitioned by {}, in the order of `{}`.\n",
        quoted(text(schema, "partition_by")),
        text(schema, "time")
    );
    page.push_str("| column | type | unit | null | since | meaning |\n|---|---|---|---|---|---|\n");
    let none = Vec::new();
    let fields = schema.get("field").and_then(toml::Value::as_array).unwrap_or(&none);
    for field in fields.iter().filter_map(toml::Value::as_table) {
        let is_nullable = field.get("nullable").and_then(toml::Value::as_bool).unwrap_or(true);
        let since = field.get("since").map_or(String::new(), ToString::to_string);
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {since} | {} |",
            text(field, "name"),
            text(field, "type"),
            text(field, "unit"),
            if is_nullable { "yes" } else { "no" },
            cell(text(field, "doc")),
        );
    }
}

fn text<'a>(table: &'a toml::Table, key: &str) -> &'a str {
    table.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// A column's name as code, words as they are.
fn quoted(by: &str) -> String {
    if by.contains(' ') { by.to_string() } else { format!("`{by}`") }
}

/// A table's cells have one line and no bars of their own.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Metrics by the crate that speaks them.
fn metrics(tree: &Tree) -> String {
    let mut page = String::from(
        "# Metrics\n\nMade by `cargo xtask docs` from each crate's `metrics.rs`. Every process \
         serves them on `/metrics` in the\nPrometheus text format. Names have base units; what \
         ends in `_total` only rises.\n",
    );
    let mut crates: BTreeMap<&str, BTreeMap<String, Metric>> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| file.stem() == "metrics" && !file.is_test) {
        let krate = file.path.strip_prefix("crates/").and_then(|path| path.split('/').next());
        if let (Some(krate), Some(Ok(syntax))) = (krate.filter(|k| *k != "xtask"), &file.rust) {
            let found = syntax.items.iter().filter_map(metric);
            crates.entry(krate).or_default().extend(found);
        }
    }
    crates.retain(|_, metrics| !metrics.is_empty());
    for (krate, metrics) in crates {
        let _ = write!(page, "\n## {krate}\n\n| metric | kind | meaning |\n|---|---|---|\n");
        for (name, metric) in metrics {
            let kind = kind(tree, &name, &metric.constant);
            let _ = writeln!(page, "| `{name}` | {kind} | {} |", cell(&metric.doc));
        }
    }
    page
}

struct Metric {
    constant: String,
    doc: String,
}

/// A constant of a metric's name, with its docs.
fn metric(item: &Item) -> Option<(String, Metric)> {
    let Item::Const(item) = item else {
        return None;
    };
    let Expr::Lit(value) = &*item.expr else {
        return None;
    };
    let Lit::Str(name) = &value.lit else {
        return None;
    };
    let name = Some(name.value()).filter(|name| name.starts_with("gannet_"))?;
    let lines: Vec<String> = item.attrs.iter().filter_map(doc_line).collect();
    Some((name, Metric { constant: item.ident.to_string(), doc: lines.join(" ") }))
}

fn doc_line(attr: &syn::Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attr.meta else {
        return None;
    };
    let Expr::Lit(value) = &meta.value else {
        return None;
    };
    match &value.lit {
        Lit::Str(line) if meta.path.is_ident("doc") => Some(line.value().trim().to_string()),
        _ => None,
    }
}

/// A counter by its name, a histogram where one is made of its constant.
fn kind(tree: &Tree, name: &str, constant: &str) -> &'static str {
    if name.ends_with("_total") {
        return "counter";
    }
    let is_made = |text: &str| {
        let made = text.split("histogram!(").skip(1);
        let mut names = made.filter_map(|rest| rest.split([',', ')']).next());
        names.any(|name| name.trim().rsplit("::").next() == Some(constant))
    };
    let sources = tree.files.iter().filter(|file| file.rust.is_some());
    match sources.map(|file| &file.text).any(|text| is_made(text)) {
        true => "histogram",
        false => "gauge",
    }
}
