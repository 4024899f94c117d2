//! Entry points for fuzzing: what a person's text can reach, from the parser to the plan check.
//! They must return, whatever comes, and what they say must not be empty.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use detect::rules::{Limits, Rule, RuleSet, parse};
use runtime::config::{ConfigError, ConfigSource, Loaded, VARIABLE_PREFIX, load};

use crate::check;
use crate::config::Config;

/// A rule whose SQL is the input.
const WITH_SQL: &str = "
- name: fuzz
  from: flows
  window: { size: 10s }
  sql: ''
  watch: [{ value: n, models: [level] }]
";

/// A rule whose condition is the input.
const WITH_WHEN: &str = "[{ name: fuzz, from: events, when: '' }]";

/// A configuration: its text, then lines of variables, then files that it may include as `1.yaml`,
/// `2.yaml`, …, parted by bytes of zero. What is valid dumps, and the dump dumps the same.
pub fn config(bytes: &[u8]) {
    static FOLDER: OnceLock<Option<Folder>> = OnceLock::new();
    let text = String::from_utf8_lossy(bytes);
    let parts: Vec<&str> = text.split('\0').collect();
    let root = parts.first().copied().unwrap_or_default();
    let source = match FOLDER.get_or_init(Folder::new) {
        Some(folder) if root.contains("!include") => folder.filled(root, parts.get(2..)),
        _ => ConfigSource::text("text", root),
    };
    let lines = parts.get(1).copied().unwrap_or_default().lines();
    let variables = lines.filter_map(|line| line.split_once('='));
    let named = variables.map(|(name, value)| (format!("{VARIABLE_PREFIX}{name}"), value.into()));
    match load::<Config>(source.with_variables(named)) {
        Err(error) => told(&error),
        Ok(loaded) => {
            let dump = dumped(&loaded);
            let again = load::<Config>(ConfigSource::text("dump", &dump));
            let again = again.unwrap_or_else(|error| panic!("a dump is valid: {error}\n{dump}"));
            assert_eq!(dumped(&again), dump);
        }
    }
}

/// Rules as YAML where the input begins like a list; else the SQL of one, or after `when ` the
/// condition of one.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.starts_with(['-', '[']) {
        return as_configuration(&text);
    }
    let rule = match text.strip_prefix("when ") {
        Some(when) => Rule { when: Some(when.to_owned()), ..template(WITH_WHEN) },
        None => Rule { sql: Some(text.into_owned()), ..template(WITH_SQL) },
    };
    match RuleSet::load(vec![rule], Limits::default()) {
        Ok(set) => assert_eq!(set.fingerprint().len(), 16),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The way that `gannet check` goes, carets included.
fn as_configuration(text: &str) {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    let whole = format!("detect:\n  rules:\n{}", lines.collect::<String>());
    match load::<Config>(ConfigSource::text("rules", &whole)) {
        Err(error) => told(&error),
        Ok(loaded) => {
            if let Err(error) = check::rules(&loaded) {
                told(&error);
            }
        }
    }
}

fn template(text: &str) -> Rule {
    let mut rules = parse(text).expect("the text above is a rule");
    rules.pop().expect("it is one rule")
}

fn told(error: &ConfigError) {
    assert!(!error.to_string().is_empty());
}

fn dumped(loaded: &Loaded<Config>) -> String {
    loaded.dump().unwrap_or_else(|error| panic!("what is valid can be written: {error}"))
}

/// Where files to include are written: they are read from nowhere else.
struct Folder(std::path::PathBuf);

// === impl Folder ===

impl Folder {
    /// `None` where none can be made: then nothing is included.
    fn new() -> Option<Folder> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("gannet-fuzz-{}", std::process::id()));
        fs::create_dir_all(&path).ok().map(|()| Folder(path))
    }

    fn filled(&self, root: &str, included: Option<&[&str]>) -> ConfigSource {
        let write = |name: &str, text: &str| fs::write(self.0.join(name), text).ok();
        write("root.yaml", root);
        for (text, name) in included.unwrap_or_default().iter().zip(["1.yaml", "2.yaml"]) {
            write(name, text);
        }
        ConfigSource::file(self.0.join("root.yaml"))
    }
}

#[cfg(test)]
mod tests;
