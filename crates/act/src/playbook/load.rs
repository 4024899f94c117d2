//! Reads playbooks and bindings, and refuses what could only fail later, at night: an unknown or
//! unbound action, a variable that is nowhere, a change without a way back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use runtime::config::{ConfigError, ConfigSource, Diagnostic, Loaded, Place, load, nearest};
use serde::Serialize;

use super::spec::{ActionsFile, Binding, Effect, PlaybookFile, Step};
use super::template::{self, TemplateError};
use super::{Playbook, Trigger};

/// Where playbooks and bindings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub actions: PathBuf,
    /// A folder whose `*.yaml` are one playbook each, or one such file.
    pub playbooks: PathBuf,
}

/// All playbooks, and what their actions are on which class of device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Library {
    pub playbooks: BTreeMap<String, Playbook>,
    /// By action; the one without a class stands last.
    bindings: BTreeMap<String, Vec<Binding>>,
}

/// Drivers by name; `evidence` is act's own: it answers from the incident.
pub const DRIVERS: [&str; 6] = ["snmp", "command", "webhook", "sim", "notify", "evidence"];

const API_VERSION: &str = "actions.scheduler.net/v1";
const KIND: &str = "Playbook";
/// Files of a folder of playbooks.
const FILES_MAX: usize = 1_000;
/// What a trigger has.
const TRIGGER: [&str; 15] = [
    "device",
    "interface",
    "entity",
    "kind",
    "fault",
    "address",
    "incident",
    "headline",
    "domain",
    "speed_bps",
    "value",
    "talker",
    "edges",
    "exporter",
    "playbook",
];
/// What the templates of a binding may name.
const BINDING: [&str; 4] = ["inputs", "interface", "device", "before"];

/// Reads and checks everything; the errors of all files at once.
pub fn check(paths: &Paths) -> Result<Library, ConfigError> {
    let actions = ConfigSource::file(&paths.actions);
    let files = playbook_files(&paths.playbooks)?;
    build(actions, files.iter().map(ConfigSource::file).collect())
}

/// The same over texts, for tests and fuzzers.
pub fn check_texts(actions: &str, playbooks: &[(&str, &str)]) -> Result<Library, ConfigError> {
    let texts = playbooks.iter().map(|(name, text)| ConfigSource::text(name, text)).collect();
    build(ConfigSource::text("actions.yaml", actions), texts)
}

fn build(actions: ConfigSource, playbooks: Vec<ConfigSource>) -> Result<Library, ConfigError> {
    let mut library = Library::default();
    let loaded = load::<ActionsFile>(actions)?;
    let mut diagnostics = bind(&loaded, &mut library);
    for source in playbooks {
        match load::<PlaybookFile>(source) {
            Ok(loaded) => diagnostics.extend(add(&loaded, &mut library)),
            Err(error) => diagnostics.extend(error.diagnostics),
        }
    }
    if diagnostics.is_empty() { Ok(library) } else { Err(ConfigError { diagnostics }) }
}

fn playbook_files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let fail = |e: &dyn std::fmt::Display| {
        Diagnostic::new(format!("cannot read the playbooks in {}: {e}", path.display()))
    };
    let entries = std::fs::read_dir(path).map_err(|e| fail(&e))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| fail(&e))?.path();
        let is_yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if is_yaml && files.len() < FILES_MAX {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

// --- bindings

fn bind(loaded: &Loaded<ActionsFile>, library: &mut Library) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (index, binding) in loaded.value.actions.iter().enumerate() {
        let path = format!("actions[{index}]");
        let mut problems = Problems { loaded, path: &path, found: &mut diagnostics };
        check_binding(binding, &mut problems);
        let of = library.bindings.entry(binding.action.clone()).or_default();
        if of.iter().any(|other| other.class == binding.class) {
            problems.say("action", format!("{} is bound twice for this class", binding.action));
        }
        of.push(binding.clone());
        of.sort_by_key(|binding| binding.class.is_none());
    }
    diagnostics
}

fn check_binding(binding: &Binding, problems: &mut Problems<'_, ActionsFile>) {
    if !DRIVERS.contains(&binding.driver.as_str()) {
        let message = format!("there is no driver {:?}", binding.driver);
        problems.unknown("driver", message, &binding.driver, DRIVERS);
    }
    let changes = binding.effect.changes();
    let has_way_back = binding.inverse.is_some() || binding.no_inverse.is_some();
    if changes && !has_way_back {
        let message = format!("{} changes a device and has no inverse", binding.action);
        let help = "give `inverse`, or say with `no_inverse` why there is none";
        problems.say_with("effect", message, help);
    }
    if binding.effect != Effect::Reads && binding.write.is_none() {
        problems.say("action", format!("{} does nothing: it has no `write`", binding.action));
    }
    if binding.effect == Effect::Reads && binding.read.is_none() {
        problems.say("action", format!("{} asks for nothing: it has no `read`", binding.action));
    }
    if binding.read.is_none() && (binding.want.is_some() || binding.want_has.is_some()) {
        problems.say("want", "what is wanted can only be told where there is a `read`".to_owned());
    }
    let wants = binding.want.is_some() || binding.want_has.is_some();
    if changes && binding.read.is_some() && !wants {
        problems.say("read", "say with `want` or `want_has` what it must answer then".to_owned());
    }
    let calls = [("read", &binding.read), ("write", &binding.write), ("inverse", &binding.inverse)];
    for (key, call) in calls {
        for (parameter, text) in call.iter().flat_map(|call| call.iter()) {
            check_binding_text(binding, &format!("{key}.{parameter}"), text, problems);
        }
    }
    let texts = [
        ("target", &binding.target),
        ("says", &binding.says),
        ("want", &binding.want),
        ("want_has", &binding.want_has),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            check_binding_text(binding, key, text, problems);
        }
    }
}

fn check_binding_text(
    binding: &Binding,
    key: &str,
    text: &str,
    problems: &mut Problems<'_, ActionsFile>,
) {
    let Some(names) = problems.variables(key, text, template::variables(text)) else {
        return;
    };
    for name in names {
        let mut parts = name.split('.');
        let (root, of) = (parts.next().unwrap_or(""), parts.next());
        if !BINDING.contains(&root) {
            problems.unknown(key, format!("there is no variable `{name}`"), root, BINDING);
        } else if root == "inputs"
            && let Some(of) = of
            && !binding.inputs.iter().any(|input| input == of)
        {
            let known = binding.inputs.iter().map(String::as_str);
            problems.unknown(key, format!("the action has no input `{of}`"), of, known);
        }
    }
}

// --- playbooks

fn add(loaded: &Loaded<PlaybookFile>, library: &mut Library) -> Vec<Diagnostic> {
    let file = &loaded.value;
    let mut diagnostics = Vec::new();
    let mut head = Problems { loaded, path: "", found: &mut diagnostics };
    if file.api_version != API_VERSION {
        head.say("apiVersion", format!("{:?} is not {API_VERSION}", file.api_version));
    }
    if file.kind != KIND {
        head.say("kind", format!("{:?} is not {KIND}", file.kind));
    }
    check_trigger(&file.spec.trigger, &mut head);
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (index, step) in file.spec.steps.iter().enumerate() {
        let path = format!("spec.steps[{index}]");
        let mut problems = Problems { loaded, path: &path, found: &mut diagnostics };
        check_step(step, library, &known, &mut problems);
        let outputs = step.outputs.keys().map(String::as_str).collect();
        if known.insert(&step.name, outputs).is_some() {
            problems.say("name", format!("there are two steps named {:?}", step.name));
        }
    }
    let playbook = Playbook {
        name: file.metadata.name.clone(),
        description: file.metadata.description.clone(),
        mode: file.spec.mode,
        trigger: file.spec.trigger.clone(),
        verify_within_s: file.spec.verify_within_s,
        steps: file.spec.steps.clone(),
    };
    if library.playbooks.insert(playbook.name.clone(), playbook).is_some() {
        let mut head = Problems { loaded, path: "", found: &mut diagnostics };
        let message = format!("there are two playbooks named {:?}", file.metadata.name);
        head.say("metadata.name", message);
    }
    diagnostics
}

fn check_trigger(trigger: &Trigger, problems: &mut Problems<'_, PlaybookFile>) {
    let key = "spec.trigger";
    match (&trigger.condition, &trigger.fault, &trigger.source) {
        (Some(_), None, _) | (None, Some(_), None) => {}
        (None, None, _) => {
            problems.say(key, "a trigger is a `condition` or a `fault`".to_owned());
        }
        (Some(_), Some(_), _) => {
            problems.say(key, "a trigger is a `condition` or a `fault`, not both".to_owned());
        }
        (None, Some(_), Some(_)) => {
            problems.say(key, "`source` belongs to a condition".to_owned());
        }
    }
}

fn check_step(
    step: &Step,
    library: &Library,
    known: &BTreeMap<&str, BTreeSet<&str>>,
    problems: &mut Problems<'_, PlaybookFile>,
) {
    match library.bindings.get(&step.action) {
        None => {
            let message = format!("nothing binds the action {:?}", step.action);
            let known = library.bindings.keys().map(String::as_str);
            problems.unknown("action", message, &step.action, known);
        }
        Some(bindings) => {
            let wanted = bindings.iter().flat_map(|binding| &binding.inputs);
            let missing: BTreeSet<&String> =
                wanted.filter(|input| !step.inputs.contains_key(*input)).collect();
            for input in missing {
                problems.say("inputs", format!("{} needs the input `{input}`", step.action));
            }
        }
    }
    let has_item = step.each.is_some();
    let mut scope = Scope { known, has_item, has_result: false };
    if let Some(when) = &step.when {
        scope.check("when", when, template::condition_variables(when), problems);
    }
    if let Some(each) = &step.each {
        scope.has_item = false;
        scope.check("each", each, template::variables(each), problems);
        scope.has_item = true;
    }
    for (input, value) in &step.inputs {
        let mut texts = Vec::new();
        collect(value, &mut texts);
        for text in texts {
            scope.check(&format!("inputs.{input}"), text, template::variables(text), problems);
        }
    }
    scope.has_result = true;
    for (output, text) in &step.outputs {
        scope.check(&format!("outputs.{output}"), text, template::variables(text), problems);
    }
}

/// Texts anywhere in an input.
fn collect<'a>(value: &'a serde_json::Value, texts: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::String(text) => texts.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        serde_json::Value::Object(map) => map.values().for_each(|item| collect(item, texts)),
        _ => {}
    }
}

/// What a text of a step may name.
struct Scope<'a> {
    /// Steps before it with their outputs.
    known: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    has_item: bool,
    has_result: bool,
}

impl Scope<'_> {
    fn check(
        &self,
        key: &str,
        text: &str,
        names: Result<BTreeSet<String>, TemplateError>,
        problems: &mut Problems<'_, PlaybookFile>,
    ) {
        for name in problems.variables(key, text, names).unwrap_or_default() {
            self.check_name(key, &name, problems);
        }
    }

    fn check_name(&self, key: &str, name: &str, problems: &mut Problems<'_, PlaybookFile>) {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["trigger"] | ["steps"] => {}
            ["trigger", of, ..] if TRIGGER.contains(of) => {}
            ["trigger", of, ..] => {
                problems.unknown(key, format!("a trigger has no `{of}`"), of, TRIGGER);
            }
            ["item", ..] if self.has_item => {}
            ["result", ..] if self.has_result => {}
            ["steps", step, rest @ ..] => match (self.known.get(step), rest) {
                (None, _) => {
                    let message = format!("no step before this one is named `{step}`");
                    problems.unknown(key, message, step, self.known.keys().copied());
                }
                (Some(outputs), [output, ..]) if !outputs.contains(output) => {
                    let message = format!("the step `{step}` has no output `{output}`");
                    problems.unknown(key, message, output, outputs.iter().copied());
                }
                _ => {}
            },
            [root, ..] => {
                let known = ["trigger", "steps", "item", "result"];
                problems.unknown(key, format!("there is no variable `{name}`"), root, known);
            }
            [] => {}
        }
    }
}

/// Collects what is wrong below one path of a file.
struct Problems<'a, T> {
    loaded: &'a Loaded<T>,
    path: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl<T> Problems<'_, T> {
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn place(&self, key: &str) -> Place {
        self.loaded.place_of(&self.at(key))
    }

    fn say(&mut self, key: &str, message: String) {
        let place = self.place(key);
        self.found.push(Diagnostic::new(message).at(place));
    }

    fn say_with(&mut self, key: &str, message: String, help: &str) {
        let place = self.place(key);
        self.found.push(Diagnostic::new(message).at(place).help(help));
    }

    /// An unknown name, with the nearest known one.
    fn unknown<'k>(
        &mut self,
        key: &str,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => self.say_with(key, message, &format!("did you mean `{near}`?")),
            None if known.is_empty() => self.say(key, message),
            None => self.say_with(key, message, &format!("known here: {}", known.join(", "))),
        }
    }

    /// The variables of a text, or why it is no template.
    fn variables(
        &mut self,
        key: &str,
        text: &str,
        names: Result<BTreeSet<String>, TemplateError>,
    ) -> Option<BTreeSet<String>> {
        match names {
            Ok(names) => Some(names),
            Err(TemplateError::Wrong { message, at }) => {
                let place = match at {
                    Some((line, column)) if column <= text.chars().count() + 1 => {
                        self.loaded.place_within(&self.at(key), line, column, 1)
                    }
                    _ => self.place(key),
                };
                self.found.push(Diagnostic::new(message).at(place));
                None
            }
            Err(TemplateError::Undefined(message)) => {
                self.say(key, message);
                None
            }
        }
    }
}

// === impl Library ===

impl Library {
    /// What an action is on a device of this class.
    pub fn binding(&self, action: &str, class: Option<&str>) -> Option<&Binding> {
        let of = self.bindings.get(action)?;
        let own =
            of.iter().find(|binding| binding.class.is_some() && binding.class.as_deref() == class);
        own.or_else(|| of.iter().find(|binding| binding.class.is_none()))
    }

    /// All that an action is, of every class.
    pub fn bindings(&self, action: &str) -> &[Binding] {
        self.bindings.get(action).map(Vec::as_slice).unwrap_or_default()
    }

    /// Rules of detect that the conditions of playbooks are, as one YAML list.
    pub fn rules_yaml(&self) -> String {
        self.playbooks.values().filter_map(Playbook::rule_yaml).collect()
    }
}
