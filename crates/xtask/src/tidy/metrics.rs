//! Metric names are `gannet_<stage>_<subject>_<unit>[_total]`: those passed to the `metrics`
//! macros as literals, and the constants of every `metrics.rs`.

use proc_macro2::{Span, TokenTree};
use syn::visit::{self, Visit};

use super::tree::File;
use super::{Finding, Tree};

/// What can speak: stages, and what all of them share.
const STAGES: &[&str] = &[
    "ingest",
    "detect",
    "rollup",
    "score",
    "correlate",
    "act",
    "console",
    "sim",
    "bus",
    "task",
    "process",
];

const MACROS: &[&str] =
    &["counter", "gauge", "histogram", "describe_counter", "describe_gauge", "describe_histogram"];

/// Units that are not the plural of a thing.
const UNITS: &[&str] = &["ratio", "info", "state"];

/// Not base units: seconds, bytes and ratios are.
const NOT_BASE: &[&str] = &[
    "ms",
    "millis",
    "milliseconds",
    "micros",
    "microseconds",
    "nanos",
    "nanoseconds",
    "minutes",
    "hours",
    "percents",
    "kilobytes",
    "megabytes",
    "kbytes",
    "mbytes",
    "bits",
];

const MEND: &str = "name it gannet_<stage>_<subject>_<unit>[_total] in base units, plural";

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().filter(|file| !file.is_test).flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let Some(Ok(syntax)) = &file.rust else {
        return Vec::new();
    };
    let mut names = Names { in_constants: file.stem() == "metrics", found: Vec::new() };
    // This file speaks of metrics and has none.
    if !file.path.starts_with("crates/xtask/") {
        names.visit_file(syntax);
    }
    let breaches = names.found.into_iter().filter_map(|(name, span)| {
        let why = breach(&name)?;
        let what = format!("metric name `{name}`: {why}");
        Some(Finding { file: file.path.clone(), line: span.start().line, what, mend: MEND })
    });
    breaches.collect()
}

/// Why a name is not a metric's, if it is not.
pub(super) fn breach(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split('_').collect();
    let is_word = |word: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !word.is_empty() && word.chars().all(allowed)
    };
    if !words.iter().all(is_word) {
        return Some("not lower case words parted by `_`".into());
    }
    if words[0] != "gannet" {
        return Some("does not begin with `gannet_`".into());
    }
    let stage = words.get(1).copied().unwrap_or_default();
    if !STAGES.contains(&stage) {
        return Some(format!("`{stage}` is none of {}", STAGES.join(", ")));
    }
    let (rest, is_counter) = match words[2..].strip_suffix(&["total"]) {
        Some(rest) => (rest, true),
        None => (&words[2..], false),
    };
    let Some(unit) = rest.last() else {
        return Some("no unit".into());
    };
    if let Some(word) = rest.iter().find(|word| NOT_BASE.contains(word)) {
        return Some(format!("`{word}` is no base unit"));
    }
    // What a counter counts may stand before how it ended: `rows_dropped_total`.
    let is_unit = |word: &&str| word.ends_with('s') || UNITS.contains(word);
    let has_unit = is_unit(unit) || is_counter && rest.iter().any(|word| is_unit(word));
    (!has_unit).then(|| format!("`{unit}` is no unit"))
}

/// Literals that name metrics, with their places.
struct Names {
    in_constants: bool,
    found: Vec<(String, Span)>,
}

impl Names {
    fn literal(&mut self, expr: &syn::Expr) {
        if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = expr {
            // A label is one word; a metric's name never is.
            if text.value().contains('_') {
                self.found.push((text.value(), text.span()));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        let is_text = matches!(&*item.ty, syn::Type::Reference(_));
        if self.in_constants && is_text && !item.ident.to_string().contains("LABEL") {
            self.literal(&item.expr);
        }
        visit::visit_item_const(self, item);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let named = item.path.segments.last().map(|segment| segment.ident.to_string());
        if named.is_some_and(|name| MACROS.contains(&name.as_str()))
            && let Some(TokenTree::Literal(literal)) = item.tokens.clone().into_iter().next()
            && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
        {
            self.found.push((text.value(), literal.span()));
        }
    }
}
