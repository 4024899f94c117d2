//! `gannet check`: the configuration, then each rule planned alone, so that all that is wrong is
//! told at once and at its place in the file.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use detect::{DetectConfig, RuleError};
use runtime::config::{ConfigError, Diagnostic, Loaded};

use crate::config::{self, Config};

pub fn run(path: &Path, dump: bool, out: &mut dyn Write) -> Result<()> {
    let loaded = config::load(path)?;
    rules(&loaded)?;
    let config = &loaded.value;
    match dump {
        true => write!(out, "{}", loaded.dump()?)?,
        false => {
            let rules = config.detect.rules.len();
            let playbooks = config.library.playbooks.len();
            writeln!(
                out,
                "{} is valid: its {rules} rules can be run, its {playbooks} playbooks are bound",
                path.display()
            )?;
        }
    }
    Ok(())
}

/// Plans every rule; the errors of all of them.
pub fn rules(loaded: &Loaded<Config>) -> Result<(), ConfigError> {
    let detect = &loaded.value.detect;
    let mut diagnostics = Vec::new();
    // Too many are not planned at all: that is told below.
    let planned = detect.rules.iter().take(detect.rules_max).enumerate();
    let mut alone = DetectConfig { rules: Vec::new(), ..detect.clone() };
    for (index, rule) in planned {
        alone.rules = vec![rule.clone()];
        if let Err(detect::ConfigError::Rule(error)) = alone.load() {
            diagnostics.push(diagnostic(loaded, index, &error));
        }
    }
    // What is wrong only between rules: a name twice, too many.
    if diagnostics.is_empty()
        && let Err(detect::ConfigError::Rule(error)) = detect.load()
    {
        let named = |name: &String| detect.rules.iter().rposition(|rule| rule.name == *name);
        let index = error.rule.as_ref().and_then(named).unwrap_or_default();
        diagnostics.push(diagnostic(loaded, index, &error));
    }
    // Playbooks' conditions are rules of other files.
    if diagnostics.is_empty()
        && let Err(error) = loaded.value.detect_with_playbooks()?.load()
    {
        diagnostics.push(Diagnostic::new(format!("a playbook's condition: {error}")));
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(ConfigError { diagnostics }) }
}

fn diagnostic(loaded: &Loaded<Config>, index: usize, error: &RuleError) -> Diagnostic {
    let rule = &loaded.value.detect.rules[index];
    let path = format!("detect.rules[{index}]");
    let message = format!("rule {}: {}", rule.name, error.message);
    let place = match &error.place {
        None => loaded.place_of(&format!("{path}.name")),
        Some(place) => {
            let text = match (&rule.sql, &rule.when) {
                (Some(_), _) => "sql",
                (None, Some(_)) => "when",
                (None, None) => "condition",
            };
            loaded.place_within(&format!("{path}.{text}"), place.line, place.column, 1)
        }
    };
    Diagnostic::new(message).at(place)
}
