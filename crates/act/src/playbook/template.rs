//! Templates and conditions: minijinja, strict about what is undefined and with fuel against what
//! does not end. A text that is one expression keeps the kind of its value; `80%` in a condition is
//! of the interface's speed.

use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

/// Steps of the engine that one template may take; ours need about 50.
const FUEL: u64 = 20_000;
/// One text that a template makes; `"x" * 1000000` costs little fuel.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// The name under which a condition finds one percent of the interface's speed.
pub const PERCENT: &str = "percent_bps";

/// Why a template came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It names something that is not there.
    Undefined(String),
    /// It is none, or does not end; the place in its text where that is known: line and column.
    Wrong { message: String, at: Option<(usize, usize)> },
}

/// A new environment; making one is cheap, and none outlives a call.
fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
}

/// The value of a text: an expression's own where it is one alone, else the text.
pub fn value(text: &str, context: &Value) -> Result<Value, TemplateError> {
    let made = match single(text) {
        Some(expression) => evaluate(expression, context)?,
        None => Value::String(render(text, context)?),
    };
    match &made {
        Value::String(made) if made.len() > TEXT_BYTES_MAX => Err(too_long()),
        _ => Ok(made),
    }
}

/// The text that a template makes.
pub fn render(text: &str, context: &Value) -> Result<String, TemplateError> {
    if !text.contains("{{") && !text.contains("{%") {
        return Ok(text.to_owned());
    }
    let environment = environment();
    let template = environment.template_from_str(text).map_err(|e| wrong(&e, text))?;
    let made = template.render(Serde(context)).map_err(|e| wrong(&e, text))?;
    if made.len() > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(made) }
}

/// Whether a condition holds.
pub fn holds(condition: &str, context: &Value) -> Result<bool, TemplateError> {
    let expression = as_expression(condition);
    let environment = environment();
    let compiled = environment.compile_expression(&expression).map_err(|e| wrong(&e, condition))?;
    let value = compiled.eval(Serde(context)).map_err(|e| wrong(&e, condition))?;
    if value.is_undefined() {
        return Err(TemplateError::Undefined(format!("{condition:?} has no value")));
    }
    Ok(value.is_true())
}

/// The variables of a text, with what is asked of them: `trigger.device`.
pub fn variables(text: &str) -> Result<BTreeSet<String>, TemplateError> {
    let environment = environment();
    let found = match single(text) {
        Some(expression) => {
            let compiled =
                environment.compile_expression(expression).map_err(|e| wrong(&e, text))?;
            compiled.undeclared_variables(true)
        }
        None => {
            let template = environment.template_from_str(text).map_err(|e| wrong(&e, text))?;
            template.undeclared_variables(true)
        }
    };
    Ok(found.into_iter().collect())
}

/// The variables of a condition.
pub fn condition_variables(condition: &str) -> Result<BTreeSet<String>, TemplateError> {
    let expression = as_expression(condition);
    let environment = environment();
    let compiled = environment.compile_expression(&expression).map_err(|e| wrong(&e, condition))?;
    let found = compiled.undeclared_variables(true).into_iter();
    Ok(found.filter(|name| name != PERCENT).collect())
}

/// Whether a condition has a share of the interface's speed in it.
pub fn has_percent(condition: &str) -> bool {
    as_expression(condition).contains(PERCENT)
}

fn evaluate(expression: &str, context: &Value) -> Result<Value, TemplateError> {
    let environment = environment();
    let compiled = environment.compile_expression(expression).map_err(|e| wrong(&e, expression))?;
    let value = compiled.eval(Serde(context)).map_err(|e| wrong(&e, expression))?;
    if value.is_undefined() {
        return Err(TemplateError::Undefined(format!("{expression:?} has no value")));
    }
    serde_json::to_value(&value)
        .map_err(|e| TemplateError::Wrong { message: e.to_string(), at: None })
}

/// What stands in `{{ … }}`, where the text is nothing else.
fn single(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_one = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    is_one.then_some(inner)
}

/// A condition as one expression: `{{ x }} > 80%` is `( x ) > (80 * percent_bps)`. Quoted texts
/// stay as they are.
fn as_expression(condition: &str) -> String {
    let chars: Vec<char> = condition.chars().collect();
    let (mut out, mut at, mut quote) = (String::new(), 0, None);
    while at < chars.len() {
        let (c, next) = (chars[at], chars.get(at + 1).copied());
        match (quote, c, next) {
            (Some(open), _, _) => {
                out.push(c);
                if c == open {
                    quote = None;
                }
            }
            (None, '\'' | '"', _) => {
                quote = Some(c);
                out.push(c);
            }
            (None, '{', Some('{')) => {
                out.push_str(" (");
                at += 1;
            }
            (None, '}', Some('}')) => {
                out.push_str(") ");
                at += 1;
            }
            (None, '%', _) if is_percent(&out, &chars[at + 1..]) => {
                let digits = out.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
                let number = out.split_off(digits);
                out.push_str(&format!("({number} * {PERCENT})"));
            }
            (None, _, _) => out.push(c),
        }
        at += 1;
    }
    out
}

/// A percent sign stands right behind a number, and no operand behind it: else it is a remainder.
fn is_percent(before: &str, behind: &[char]) -> bool {
    let follows = behind.iter().find(|c| !c.is_whitespace());
    let word: String = behind.iter().skip_while(|c| c.is_whitespace()).take(4).collect();
    let joins = ["and ", "or ", "and", "or"].iter().any(|w| word.trim() == w.trim());
    let no_operand = follows.is_none_or(|c| !(c.is_alphanumeric() || "({[_'\"".contains(*c)));
    before.ends_with(|c: char| c.is_ascii_digit()) && (no_operand || joins)
}

fn too_long() -> TemplateError {
    let message = format!("it makes more than {TEXT_BYTES_MAX} bytes");
    TemplateError::Wrong { message, at: None }
}

fn wrong(error: &minijinja::Error, text: &str) -> TemplateError {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::UndefinedError {
        return TemplateError::Undefined(format!("{:?}: {message}", shortened(text)));
    }
    let at = error.line().map(|line| {
        let start = error.range().map_or(0, |range| range.start.min(text.len()));
        let before = text.get(..start).unwrap_or("");
        (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
    });
    TemplateError::Wrong { message, at }
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TemplateError::Undefined(what) => f.write_str(what),
            TemplateError::Wrong { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for TemplateError {}
