//! Pages that must stay true: the README's length, links to files, and the tests that the
//! invariants of ARCHITECTURE.md are said to be held by.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use super::tree::File;
use super::{Finding, Tree};

const README_LINES_MAX: usize = 120;

const BEGIN: &str = "<!-- invariants -->";
const END: &str = "<!-- /invariants -->";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    let mut findings: Vec<Finding> = pages.flat_map(|page| links(tree, page)).collect();
    findings.extend(tree.file("README.md").and_then(readme_length));
    if let Some(page) = tree.file("ARCHITECTURE.md") {
        findings.extend(invariants(tree, page));
    }
    findings
}

fn readme_length(page: &File) -> Option<Finding> {
    let lines = page.text.lines().count();
    let what = format!("{lines} lines (at most {README_LINES_MAX})");
    (lines > README_LINES_MAX).then(|| finding(page, lines, what, "move the detail to docs/"))
}

/// `[words](path)`, from the page's own folder; addresses and places within a page aside.
fn links(tree: &Tree, page: &File) -> Vec<Finding> {
    let dir = page.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut findings = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            let is_address = target.contains("://") || target.starts_with("mailto:");
            let path = joined(dir, target);
            let is_folder = |file: &File| file.path.starts_with(&format!("{path}/"));
            let is_there = tree.file(&path).is_some() || tree.files.iter().any(is_folder);
            if !target.is_empty() && !is_address && !is_there {
                let what = format!("link to `{target}`, which is not there");
                findings.push(finding(page, at + 1, what, "correct the path"));
            }
        }
    }
    findings
}

fn joined(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every `a::test_name` between the markers must be a function of the tree.
fn invariants(tree: &Tree, page: &File) -> Vec<Finding> {
    let mut functions = Functions::default();
    for file in &tree.files {
        if let Some(Ok(syntax)) = &file.rust {
            functions.visit_file(syntax);
        }
    }
    let mut findings = Vec::new();
    let lines = page.text.lines().enumerate();
    let within = lines.skip_while(|(_, line)| *line != BEGIN).take_while(|(_, line)| *line != END);
    for (at, line) in within {
        let quoted = line.split('`').skip(1).step_by(2);
        for name in quoted.filter_map(|quoted| Some(quoted.rsplit_once("::")?.1)) {
            if !functions.names.contains(name) {
                let what = format!("no test is called `{name}`");
                findings.push(finding(page, at + 1, what, "name the one that holds it now"));
            }
        }
    }
    findings
}

#[derive(Default)]
struct Functions {
    names: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.names.insert(item.sig.ident.to_string());
        visit::visit_item_fn(self, item);
    }

    /// `proptest!` holds functions that are parsed as nothing but tokens.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let tokens = item.tokens.to_string();
        let mut words = tokens.split(|c: char| !c.is_alphanumeric() && c != '_');
        while let Some(word) = words.next() {
            if word == "fn"
                && let Some(name) = words.next()
            {
                self.names.insert(name.to_string());
            }
        }
    }
}

fn finding(page: &File, line: usize, what: String, mend: &'static str) -> Finding {
    Finding { file: page.path.clone(), line, what, mend }
}
