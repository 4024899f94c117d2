//! Rules over parsed Rust: `unwrap` outside tests, function lengths, `unsafe`, inline modules'
//! names. Parsed, so that strings and comments do not count; the inside of macros is seen as
//! tokens.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::tree::{File, is_for_tests};
use super::{Finding, Tree};

const FUNCTION_LINES_MAX: usize = 100;

/// Crates that may call what the kernel or a C library only gives as `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &["crates/bus/", "crates/ingest/"];

/// Calls that end the program on a value from outside.
const BANNED_CALLS: &[&str] = &["unwrap", "unwrap_err"];

const MEND_UNWRAP: &str = "return an error, or `expect` with the reason why it cannot fail";
const MEND_LENGTH: &str = "give its steps names of their own";
const MEND_UNSAFE: &str = "use a safe crate, or move it to a crate that may";

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let syntax = match &file.rust {
        None => return Vec::new(),
        Some(Ok(syntax)) => syntax,
        Some(Err(error)) => {
            let line = error.span().start().line;
            let what = format!("not Rust: {error}");
            return vec![Finding { file: file.path.clone(), line, what, mend: "correct it" }];
        }
    };
    let mut visitor = Visitor {
        path: &file.path,
        in_test: file.is_test,
        may_be_unsafe: UNSAFE_ALLOWED.iter().any(|dir| file.path.starts_with(dir)),
        findings: Vec::new(),
    };
    visitor.visit_file(syntax);
    visitor.findings
}

struct Visitor<'a> {
    path: &'a str,
    in_test: bool,
    may_be_unsafe: bool,
    findings: Vec<Finding>,
}

impl Visitor<'_> {
    fn report(&mut self, span: Span, what: String, mend: &'static str) {
        let line = span.start().line;
        self.findings.push(Finding { file: self.path.to_string(), line, what, mend });
    }

    fn call(&mut self, name: &syn::Ident) {
        let banned = BANNED_CALLS.iter().find(|banned| name == *banned);
        if let (Some(banned), false) = (banned, self.in_test) {
            self.report(name.span(), format!("`{banned}()` outside tests"), MEND_UNWRAP);
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let what = format!("`{name}` has {lines} lines (at most {FUNCTION_LINES_MAX})");
            self.report(signature.fn_token.span, what, MEND_LENGTH);
        }
        if let Some(token) = &signature.unsafety {
            self.unsafety(token.span);
        }
    }

    fn unsafety(&mut self, span: Span) {
        if !self.may_be_unsafe {
            self.report(span, "`unsafe` in a crate that may not".into(), MEND_UNSAFE);
        }
    }

    /// The inside of a macro: `.unwrap()` and `unsafe {`.
    fn tokens(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(name) if name == "unsafe" => self.unsafety(name.span()),
                TokenTree::Ident(name) => {
                    let dot = at > 0
                        && matches!(&trees[at - 1], TokenTree::Punct(p) if p.as_char() == '.');
                    let called = matches!(trees.get(at + 1), Some(TokenTree::Group(group))
                        if group.delimiter() == Delimiter::Parenthesis);
                    if dot && called {
                        self.call(name);
                    }
                }
                _ => {}
            }
        }
    }

    /// Visits an item's inside, as test code if its attributes say so.
    fn within(&mut self, attrs: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let outer = self.in_test;
        self.in_test |= is_for_tests(attrs);
        visit(self);
        self.in_test = outer;
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, |visitor| visit::visit_item_mod(visitor, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        self.within(&item.attrs, |visitor| visit::visit_item_fn(visitor, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafety(token.span);
        }
        self.within(&item.attrs, |visitor| visit::visit_item_impl(visitor, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if let Some(token) = &item.unsafety {
            self.unsafety(token.span);
        }
        self.within(&item.attrs, |visitor| visit::visit_item_trait(visitor, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        self.within(&item.attrs, |visitor| visit::visit_impl_item_fn(visitor, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.unsafety(item.abi.span());
    }

    fn visit_expr_unsafe(&mut self, expr: &'ast syn::ExprUnsafe) {
        self.unsafety(expr.unsafe_token.span);
        visit::visit_expr_unsafe(self, expr);
    }

    fn visit_expr_method_call(&mut self, expr: &'ast syn::ExprMethodCall) {
        if expr.args.is_empty() {
            self.call(&expr.method);
        }
        visit::visit_expr_method_call(self, expr);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}
