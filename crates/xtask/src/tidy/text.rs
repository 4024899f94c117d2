//! Rules over lines and names alone: lengths, module docs, module names, machine paths.

use super::tree::File;
use super::{Finding, Tree};

const FILE_LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;

/// Source whose line and file lengths are held.
const SOURCE: &[&str] = &[".rs", ".py", ".sh"];

/// Names that say nothing about what is inside.
const BANNED_MODULES: &[&str] = &["common", "core", "helper", "helpers", "misc", "util", "utils"];

/// Folders of one machine; the repository must work on all.
const MACHINE_FOLDERS: &[&str] = &["/work", "/root", "/home", "/tmp"];

/// What tests may name: a place of theirs that need not exist.
const FOLDERS_IN_TESTS: &[&str] = &["/tmp"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = machine_paths(file);
    if SOURCE.iter().any(|ending| file.path.ends_with(ending)) {
        findings.extend(lengths(file));
    }
    if file.rust.is_some() {
        findings.extend(module_docs(file));
        findings.extend(module_name(file));
    }
    findings
}

fn lengths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let what = format!("line of {columns} columns (at most {COLUMNS_MAX})");
            findings.push(finding(file, at + 1, what, "break it"));
        }
    }
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("file of {lines} lines (at most {FILE_LINES_MAX})");
        findings.push(finding(file, lines, what, "split it by what its parts are for"));
    }
    findings
}

fn module_docs(file: &File) -> Option<Finding> {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let has_docs = first.strip_prefix("//!").is_some_and(|docs| !docs.trim().is_empty());
    let mend = "begin the file with `//!`: why it exists and what it leaves to others";
    (!has_docs).then(|| finding(file, 1, "no module docs".into(), mend))
}

fn module_name(file: &File) -> Option<Finding> {
    let parts = file.path.trim_end_matches(".rs").split('/');
    let banned = parts.into_iter().find(|part| BANNED_MODULES.contains(part))?;
    let what = format!("module named `{banned}`");
    Some(finding(file, 1, what, "name it after what it does"))
}

/// A path of one machine, wherever it stands alone (`/tmp` begins no word of a longer path).
fn machine_paths(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let named = MACHINE_FOLDERS.iter().find(|folder| names_folder(line, folder));
        let Some(folder) = named else { continue };
        if !(file.is_test && FOLDERS_IN_TESTS.contains(folder)) {
            let what = format!("a path of one machine ({folder}/…)");
            let mend = "make it relative, or take it from configuration";
            findings.push(finding(file, at + 1, what, mend));
        }
    }
    findings
}

fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let goes_on = line[at + folder.len()..].starts_with('/');
        let is_start = before.is_none_or(|c| !c.is_alphanumeric() && !"._-$})/".contains(c));
        goes_on && is_start
    })
}

fn finding(file: &File, line: usize, what: String, mend: &'static str) -> Finding {
    Finding { file: file.path.clone(), line, what, mend }
}
