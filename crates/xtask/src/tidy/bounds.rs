//! Everything has a limit, and none is forgotten: each field of a configuration that ends in `_max`
//! stands in `docs/bounds.md` with the metric that counts what it refused, or with why nothing is
//! refused; and no channel grows without a word on what bounds it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Span;
use syn::visit::{self, Visit};

use super::tree::{File, is_for_tests};
use super::{Finding, Tree};

pub const PAGE: &str = "docs/bounds.md";
/// Files that hold what an operator sets.
const SETTINGS: &[&str] = &["config", "limits", "options", "spec"];
/// Constructors of channels that take whatever is sent.
const CHANNELS: &[&str] = &["channel", "unbounded", "unbounded_channel"];
/// How a comment above one begins.
const BOUNDED: &str = "// Bounded:";
/// What stands in the place of a metric where a limit refuses nothing, or by an error.
const UNCOUNTED: &[&str] = &["nothing is lost", "an error"];

const MEND_ROW: &str = "give it one row in docs/bounds.md";
const MEND_COUNT: &str = "name the metric that counts it, or say `nothing is lost` or `an error`";
const MEND_CHANNEL: &str =
    "`sync_channel` with a size, or say above it what bounds it: `// Bounded:";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.files.iter().flat_map(channels).collect();
    if let Some(page) = tree.file(PAGE) {
        findings.extend(limits(tree, page));
    }
    findings
}

// --- limits

fn limits(tree: &Tree, page: &File) -> Vec<Finding> {
    let mut fields: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| is_settings(file)) {
        for (name, span) in file_limits(file) {
            fields.entry(name).or_default().push((&file.path, span.start().line));
        }
    }
    let metrics = metrics(tree);
    let (mut findings, mut named) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for (at, line) in page.text.lines().enumerate().filter(|(_, line)| line.starts_with("| `")) {
        let name = line.split('`').nth(1).and_then(|key| key.rsplit('.').next()).unwrap_or("");
        *named.entry(name).or_default() += 1;
        let mut report = |what: String, mend| {
            findings.push(Finding { file: page.path.clone(), line: at + 1, what, mend });
        };
        if !fields.contains_key(name) {
            report(format!("no field `{name}`"), "take the row out, or correct the name");
        }
        let counts: Vec<&str> = counters(line).collect();
        for unknown in counts.iter().filter(|name| !metrics.contains(**name)) {
            report(format!("no metric `{unknown}`"), MEND_COUNT);
        }
        if counts.is_empty() && !UNCOUNTED.iter().any(|words| line.contains(words)) {
            report(format!("what `{name}` refuses is not counted"), MEND_COUNT);
        }
    }
    for (name, places) in &fields {
        let rows = named.get(name.as_str()).copied().unwrap_or(0);
        for (file, line) in places.iter().skip(rows) {
            let what = format!("limit `{name}` is not in {PAGE}");
            findings.push(Finding { file: (*file).into(), line: *line, what, mend: MEND_ROW });
        }
    }
    findings
}

fn is_settings(file: &File) -> bool {
    let is_product = file.path.starts_with("crates/") && !file.path.starts_with("crates/xtask/");
    is_product && !file.is_test && SETTINGS.contains(&file.stem())
}

fn counters(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with("gannet_")).filter_map(|text| text.split('{').next())
}

struct Fields(Vec<(String, Span)>);

fn file_limits(file: &File) -> Vec<(String, Span)> {
    let mut found = Fields(Vec::new());
    if let Some(Ok(syntax)) = &file.rust {
        found.visit_file(syntax);
    }
    found.0
}

impl<'ast> Visit<'ast> for Fields {
    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let (Some(name), syn::Visibility::Public(_)) = (&field.ident, &field.vis)
            && name.to_string().ends_with("_max")
        {
            self.0.push((name.to_string(), name.span()));
        }
    }
}

/// Every text of the product that is a metric's name.
fn metrics(tree: &Tree) -> BTreeSet<String> {
    let mut texts = Texts(BTreeSet::new());
    for file in tree.files.iter().filter(|file| file.stem() == "metrics") {
        if let Some(Ok(syntax)) = &file.rust {
            texts.visit_file(syntax);
        }
    }
    texts.0
}

struct Texts(BTreeSet<String>);

impl<'ast> Visit<'ast> for Texts {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0.insert(text.value());
    }
}

// --- channels

fn channels(file: &File) -> Vec<Finding> {
    let Some(Ok(syntax)) = &file.rust else {
        return Vec::new();
    };
    let mut visitor = Channels { in_test: file.is_test, found: Vec::new() };
    visitor.visit_file(syntax);
    let lines: Vec<&str> = file.text.lines().collect();
    let is_said = |line: usize| {
        let above = lines[..line.saturating_sub(1)].iter().rev().map(|line| line.trim());
        above.take_while(|line| line.starts_with("//")).any(|line| line.starts_with(BOUNDED))
    };
    let lines_of = visitor.found.iter().map(|span| span.start().line);
    let finding = |line| Finding {
        file: file.path.clone(),
        line,
        what: "a channel without a limit".into(),
        mend: MEND_CHANNEL,
    };
    lines_of.filter(|line| !is_said(*line)).map(finding).collect()
}

struct Channels {
    in_test: bool,
    found: Vec<Span>,
}

impl Channels {
    fn within(&mut self, attrs: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let outer = self.in_test;
        self.in_test |= is_for_tests(attrs);
        visit(self);
        self.in_test = outer;
    }
}

impl<'ast> Visit<'ast> for Channels {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, |visitor| visit::visit_item_mod(visitor, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |visitor| visit::visit_item_fn(visitor, item));
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(last) = function.path.segments.last()
            && CHANNELS.iter().any(|name| last.ident == name)
            && call.args.is_empty()
            && !self.in_test
        {
            self.found.push(last.ident.span());
        }
        visit::visit_expr_call(self, call);
    }
}
