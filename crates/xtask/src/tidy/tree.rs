//! The files that the rules look at: read once, Rust files parsed once, and for each whether it is
//! test code. Judging is left to the rules.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use syn::visit::Visit;

use crate::process;

/// Folders that a clone without git may hold and that are not the project's text.
const NOT_OURS: &[&str] = &["target", ".git"];

/// The repository's text files.
pub struct Tree {
    pub files: Vec<File>,
}

/// One text file.
pub struct File {
    /// From the root, parted by `/`.
    pub path: String,
    pub text: String,
    /// `None` for what is not Rust.
    pub rust: Option<Rust>,
    /// Whole file is test code.
    pub is_test: bool,
}

/// A Rust file as parsed, or where it could not be.
pub type Rust = Result<syn::File, syn::Error>;

impl Tree {
    /// Reads the tracked files and the new ones that git would not ignore.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut samples = Vec::new();
        for path in paths(root)? {
            // A file may be tracked and just deleted; one that is no text has no lines.
            if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
                samples.push((path, text));
            }
        }
        Ok(Tree::of(samples))
    }

    /// A tree of (path, text), as tests make it.
    pub fn of(samples: Vec<(String, String)>) -> Tree {
        let mut files: Vec<File> = samples.into_iter().map(|(p, t)| File::parse(p, t)).collect();
        let test_modules: BTreeSet<String> = files.iter().flat_map(File::test_modules).collect();
        for file in &mut files {
            file.is_test |= test_modules.iter().any(|module| {
                let rest = file.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
        Tree { files }
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    fn parse(path: String, text: String) -> File {
        let rust = path.ends_with(".rs").then(|| syn::parse_file(&text));
        let is_test = path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests");
        File { path, text, rust, is_test }
    }

    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    /// The paths, without their ending, of the modules that are declared here for tests only.
    fn test_modules(&self) -> Vec<String> {
        let Some(Ok(syntax)) = &self.rust else {
            return Vec::new();
        };
        let dir = match self.stem() {
            "mod" | "lib" | "main" => self.path.rsplit_once('/').map_or("", |(dir, _)| dir),
            _ => self.path.trim_end_matches(".rs"),
        };
        let mut found = TestModules { dir, paths: Vec::new() };
        found.visit_file(syntax);
        found.paths
    }
}

struct TestModules<'a> {
    dir: &'a str,
    paths: Vec<String>,
}

impl<'ast> Visit<'ast> for TestModules<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_none() && is_for_tests(&module.attrs) {
            self.paths.push(format!("{}/{}", self.dir, module.ident));
        }
    }
}

/// Whether attributes say that the item is compiled for tests only.
pub fn is_for_tests(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        if attr.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attr.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        let words = |word: &str| condition.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
        list.path.is_ident("cfg") && words("test") && !words("not")
    })
}

fn paths(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "-co", "--exclude-standard"]);
    if let Ok(listed) = process::output(&mut git) {
        return Ok(listed.split('\0').filter(|p| !p.is_empty()).map(str::to_string).collect());
    }
    let ours = |entry: &walkdir::DirEntry| {
        !NOT_OURS.contains(&entry.file_name().to_string_lossy().as_ref())
    };
    let mut paths = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(ours) {
        let entry = entry.context("failed to list the repository")?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(root)?;
            paths.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(paths)
}
