//! Schemas only grow (ARCHITECTURE.md, invariant 5): every column that was ever promised stands in
//! `schemas/promised.txt`, and must still be in its schema file with the same type.

use std::collections::BTreeMap;

use super::{Finding, Tree};

/// Made by `cargo xtask tidy --promise`; in a review, a line taken out is a promise broken.
pub const PROMISED: &str = "schemas/promised.txt";

const MEND_BROKEN: &str = "put it back; another meaning is another topic (`.v2`)";
const MEND_NEW: &str = "run `cargo xtask tidy --promise` and commit what it writes";
const MEND_NULLABLE: &str = "make it nullable: older messages do not have it";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut columns = BTreeMap::new();
    for (path, line, column) in all(tree, &mut findings) {
        if column.since > 1 && !column.nullable {
            let what = format!("column `{}` came in version {}", column.name, column.since);
            findings.push(Finding { file: path.clone(), line, what, mend: MEND_NULLABLE });
        }
        columns.insert(column.promise(&path), (path, line));
    }
    let promised = tree.file(PROMISED).map(|file| file.text.as_str()).unwrap_or_default();
    let lines: Vec<&str> = promised.lines().filter(|line| !line.starts_with('#')).collect();
    for (at, line) in promised.lines().enumerate() {
        if !line.starts_with('#') && !columns.contains_key(line) {
            let what = format!("no longer so: {line}");
            let file = PROMISED.to_string();
            findings.push(Finding { file, line: at + 1, what, mend: MEND_BROKEN });
        }
    }
    for (promise, (file, line)) in columns {
        if !lines.contains(&promise.as_str()) {
            let what = format!("not yet promised: {promise}");
            findings.push(Finding { file, line, what, mend: MEND_NEW });
        }
    }
    findings
}

/// The text of [`PROMISED`]: what was promised before, and what is new.
pub fn promises(tree: &Tree) -> String {
    let before = tree.file(PROMISED).map(|file| file.text.as_str()).unwrap_or_default();
    let mut lines: Vec<String> =
        before.lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect();
    lines.extend(all(tree, &mut Vec::new()).iter().map(|(path, _, column)| column.promise(path)));
    lines.sort();
    lines.dedup();
    let head =
        "# Every column ever promised; made by `cargo xtask tidy --promise`, never shortened.";
    format!("{head}\n{}\n", lines.join("\n"))
}

struct Column {
    name: String,
    kind: String,
    nullable: bool,
    since: i64,
}

impl Column {
    /// What a reader may rely on. A column that must be there may not become one that may be null.
    fn promise(&self, path: &str) -> String {
        let stem = path.trim_start_matches("schemas/").trim_end_matches(".toml");
        let null = if self.nullable { "or null" } else { "not null" };
        format!("{stem} {} {} {null}, since {}", self.name, self.kind, self.since)
    }
}

/// Every column with its file and line.
fn all(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<(String, usize, Column)> {
    let mut found = Vec::new();
    for file in &tree.files {
        let is_schema = file.path.starts_with("schemas/") && file.path.ends_with(".toml");
        if !is_schema {
            continue;
        }
        let columns = file.text.parse::<toml::Table>().ok().and_then(|schema| columns(&schema));
        let Some(columns) = columns else {
            let (what, mend) = ("not a schema file".to_string(), "write it as its neighbours are");
            findings.push(Finding { file: file.path.clone(), line: 1, what, mend });
            continue;
        };
        for column in columns {
            let entry = format!("name = \"{}\"", column.name);
            let line = file.text.lines().position(|line| line == entry).map_or(1, |at| at + 1);
            found.push((file.path.clone(), line, column));
        }
    }
    found
}

fn columns(schema: &toml::Table) -> Option<Vec<Column>> {
    let none = Vec::new();
    let fields = schema.get("field").map_or(Some(&none), toml::Value::as_array)?;
    fields.iter().map(column).collect()
}

fn column(field: &toml::Value) -> Option<Column> {
    Some(Column {
        name: field.get("name")?.as_str()?.to_string(),
        kind: field.get("type")?.as_str()?.to_string(),
        nullable: field.get("nullable")?.as_bool()?,
        since: field.get("since")?.as_integer()?,
    })
}
