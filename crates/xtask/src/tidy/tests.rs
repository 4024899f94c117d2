//! Every rule is shown red on a bad sample, and quiet on its good neighbour.

use super::schemas::{self, PROMISED};
use super::{Tree, check, metrics};
use crate::reference;

/// The findings of a tree of one file, as `line: what`.
fn found(path: &str, text: &str) -> Vec<String> {
    let findings = check(&Tree::of(vec![(path.to_string(), text.to_string())]));
    findings.iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
}

fn rust(body: &str) -> String {
    format!("//! Why.\n{body}\n")
}

#[track_caller]
fn red(path: &str, text: &str, expected: &str) {
    let found = found(path, text);
    assert!(found.iter().any(|line| line.contains(expected)), "no `{expected}` in {found:?}");
}

#[track_caller]
fn green(path: &str, text: &str) {
    assert_eq!(found(path, text), Vec::<String>::new());
}

#[test]
fn a_finding_says_where_what_and_how_to_mend() {
    let findings = check(&Tree::of(vec![("crates/sim/src/a.rs".into(), "fn f() {}".into())]));
    assert_eq!(
        findings[0].to_string(),
        "crates/sim/src/a.rs:1: no module docs — begin the file with `//!`: why it exists and \
         what it leaves to others"
    );
}

#[test]
fn arrows() {
    for (path, entry, expected) in [
        ("crates/model/Cargo.toml", "bus.workspace = true", "`model` may not use `bus`"),
        ("crates/ingest/Cargo.toml", "sql.workspace = true", "`ingest` may not use `sql`"),
        ("crates/detect/Cargo.toml", "datafusion = \"55\"", "may not use `datafusion`"),
        ("crates/runtime/Cargo.toml", "rdkafka.workspace = true", "may not use `rdkafka`"),
        ("crates/runtime/Cargo.toml", "redb = { version = \"4\" }", "may not use `redb`"),
        ("crates/act/Cargo.toml", "drivers.workspace = true", "`act` may not use `drivers`"),
        ("crates/replay/Cargo.toml", "drivers.workspace = true", "may not use `drivers`"),
        ("crates/bus/Cargo.toml", "anyhow.workspace = true", "`bus` may not use `anyhow`"),
        ("crates/sim/Cargo.toml", "k = { package = \"rdkafka\" }", "may not use `rdkafka`"),
        ("crates/other/Cargo.toml", "", "`other` is in no arrow"),
        ("crates/xtask/Cargo.toml", "bus.workspace = true", "`xtask` may not use `bus`"),
    ] {
        red(path, &format!("[dependencies]\n{entry}\n"), expected);
        if !entry.is_empty() {
            red(path, &format!("[dev-dependencies]\n{entry}\n"), expected);
            red(path, &format!("[target.'cfg(unix)'.dependencies]\n{entry}\n"), expected);
        }
    }
    let with_line =
        found("crates/model/Cargo.toml", "[dependencies]\narrow = \"1\"\nbus = \"1\"\n");
    assert_eq!(with_line, ["3: `model` may not use `bus` (dependencies)"]);
    green("crates/bus/Cargo.toml", "[dependencies]\nmodel.workspace = true\nrdkafka = \"1\"\n");
    green("crates/gannet/Cargo.toml", "[dependencies]\ndrivers.workspace = true\nanyhow = \"1\"\n");
    green("crates/bus/fuzz/Cargo.toml", "[dependencies]\nsql.workspace = true\n");
}

#[test]
fn dependency_reasons() {
    let table = "[workspace.dependencies]\n";
    red("Cargo.toml", &format!("{table}arrow = \"59\"\n"), "`arrow` has no reason");
    red("Cargo.toml", &format!("{table}# a\n\nfoo.version = \"1\"\n"), "`foo` has no reason");
    green("Cargo.toml", &format!("{table}# columns\narrow = \"59\"\nparquet = \"59\"\n"));
    green("Cargo.toml", "[profile.release]\nopt-level = 3\n");
}

#[test]
fn unwrap_outside_tests() {
    let path = "crates/sim/src/a.rs";
    for body in [
        "fn f() { g().unwrap(); }",
        "fn f() { g().unwrap_err(); }",
        "impl A { fn f(&self) { self.0.unwrap(); } }",
        "fn f() { println!(\"{}\", g().unwrap()); }",
        "fn f() { let c = || { vec![[g().unwrap()]] }; }",
        "#[cfg(not(test))]\nfn f() { g().unwrap(); }",
        "const A: u8 = b().unwrap();",
    ] {
        red(path, &rust(body), "outside tests");
    }
    for body in [
        "// g().unwrap()\n/// `g().unwrap()`\nfn f() { h(\".unwrap()\"); }",
        "fn f() { g().unwrap_or(1); g().expect(\"never fails\"); }",
        "#[cfg(test)]\nmod t { fn f() { g().unwrap(); } }",
        "#[test]\nfn f() { g().unwrap(); assert!(g().unwrap()); }",
        "#[cfg(any(test, feature = \"x\"))]\nimpl A { fn f() { g().unwrap(); } }",
    ] {
        green(path, &rust(body));
    }
    let call = rust("fn f() { g().unwrap(); }");
    for path in ["crates/sim/src/tests.rs", "crates/sim/src/tests/a.rs", "tests/src/a.rs"] {
        green(path, &call);
    }
}

#[test]
fn a_module_that_is_declared_for_tests_is_test_code() {
    let tree = Tree::of(vec![
        ("crates/sim/src/lib.rs".into(), rust("#[cfg(test)]\nmod check;\nmod real;")),
        ("crates/sim/src/check.rs".into(), rust("fn f() { g().unwrap(); }")),
        ("crates/sim/src/check/more.rs".into(), rust("fn f() { g().unwrap(); }")),
        ("crates/sim/src/real.rs".into(), rust("fn f() { g().unwrap(); }")),
    ]);
    let files: Vec<String> = check(&tree).into_iter().map(|finding| finding.file).collect();
    assert_eq!(files, ["crates/sim/src/real.rs"]);
}

#[test]
fn lengths() {
    let path = "crates/sim/src/a.rs";
    let function = |lines: usize| rust(&format!("fn f() {{\n{}}}", "g();\n".repeat(lines - 2)));
    red(path, &function(101), "2: `f` has 101 lines (at most 100)");
    green(path, &function(100));
    let method = format!("impl A {{\nfn f() {{\n{}}}\n}}", "g();\n".repeat(99));
    red(path, &rust(&method), "`f` has 101 lines");
    let file = |lines: usize| rust(&"const A: u8 = 1;\n".repeat(lines - 2));
    red(path, &file(801), "file of 801 lines (at most 800)");
    green(path, &file(800));
    let line = |columns: usize| rust(&format!("//{}", "ü".repeat(columns - 2)));
    red(path, &line(101), "2: line of 101 columns (at most 100)");
    green(path, &line(100));
    red("tests/python/a.py", &format!("#{}", "x".repeat(100)), "line of 101 columns");
    green("docs/a.md", &"x".repeat(200));
}

#[test]
fn module_docs_and_names() {
    red("crates/sim/src/a.rs", "// Why.\nfn f() {}\n", "no module docs");
    red("crates/sim/src/a.rs", "//!\nfn f() {}\n", "no module docs");
    red("crates/sim/src/tests.rs", "fn f() {}\n", "no module docs");
    for name in ["common", "utils", "helpers", "core"] {
        red(&format!("crates/sim/src/{name}.rs"), &rust(""), "module named");
        red(&format!("crates/sim/src/{name}/mod.rs"), &rust(""), "module named");
    }
    green("crates/sim/src/encore.rs", &rust(""));
}

#[test]
fn paths_of_one_machine() {
    let named = |folder: &str| format!("see {folder}/x/y\n");
    for folder in ["/work", "/root", "/home", "/tmp"] {
        red("docs/a.md", &named(folder), "a path of one machine");
        red("crates/sim/src/a.rs", &rust(&format!("// {folder}/x")), "a path of one machine");
    }
    red("crates/sim/src/tests.rs", &rust(&format!("// {}/x", "/work")), "a path of one machine");
    green("crates/sim/src/tests.rs", &rust("// /tmp/x"));
    green("docs/a.md", "one/work/x, $HOME/tmp/x, a/root/b, /works/x\n");
}

#[test]
fn unsafe_only_where_it_may_be() {
    for body in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for A {}",
        "unsafe trait A {}",
        "unsafe extern \"C\" { fn f(); }",
        "fn f() { vec![unsafe { g() }]; }",
    ] {
        red("crates/sim/src/a.rs", &rust(body), "`unsafe` in a crate that may not");
        red("crates/sim/src/tests.rs", &rust(body), "`unsafe` in a crate that may not");
        green("crates/bus/src/a.rs", &rust(body));
        green("crates/ingest/src/a.rs", &rust(body));
    }
    green("crates/sim/src/a.rs", &rust("// unsafe\nfn f() { g(\"unsafe\"); }"));
}

#[test]
fn metric_names_in_code() {
    let path = "crates/sim/src/a.rs";
    red(path, &rust("fn f() { counter!(\"rows\").increment(1); }"), "metric name `rows`");
    red(path, &rust("fn f() { metrics::gauge!(\"gannet_sim_lag\"); }"), "`gannet_sim_lag`");
    green(path, &rust("fn f() { counter!(\"gannet_sim_flow_rows_total\", \"r\" => \"x\"); }"));
    green(path, &rust("fn f() { counter!(NAME); other!(\"rows\"); }"));
    let constants = "crates/sim/src/metrics.rs";
    red(constants, &rust("pub const A: &str = \"sim_rows_total\";"), "does not begin");
    green(constants, &rust("pub const REASON: &str = \"reason\";"));
    green(constants, &rust("pub const KIND_LABEL: &str = \"record_kind\";"));
}

#[test]
fn the_grammar_of_metric_names() {
    for good in [
        "gannet_ingest_flow_records_total",
        "gannet_ingest_kernel_dropped_datagrams_total",
        "gannet_ingest_records_total",
        "gannet_bus_chunks_dropped_total",
        "gannet_task_commit_seconds",
        "gannet_process_memory_bytes",
        "gannet_score_group_fill_ratio",
    ] {
        assert_eq!(metrics::breach(good), None, "{good}");
    }
    for (bad, why) in [
        ("flows_total", "does not begin"),
        ("gannet_flows_total", "`flows` is none of"),
        ("gannet_bus_queue_full_total", "`full` is no unit"),
        ("gannet_bus_rows_dropped", "`dropped` is no unit"),
        ("gannet_ingest_total", "no unit"),
        ("gannet_ingest_Flow_records", "lower case"),
        ("gannet_ingest__records", "lower case"),
        ("gannet_task_commit_ms", "no base unit"),
        ("gannet_task_commit_milliseconds", "no base unit"),
        ("gannet_task_commit_duration", "`duration` is no unit"),
    ] {
        let breach = metrics::breach(bad).unwrap_or_default();
        assert!(breach.contains(why), "{bad}: {breach:?}");
    }
}

#[test]
fn pages() {
    red("README.md", &"line\n".repeat(121), "121 lines (at most 120)");
    green("README.md", &"line\n".repeat(120));
    red("docs/a.md", "see [b](b.md)", "1: link to `b.md`, which is not there");
    green(
        "docs/a.md",
        "[a](a.md#here), [a](../docs/a.md), [d](../docs), [w](https://b.md), [x](#y)",
    );
}

#[test]
fn an_invariant_names_a_test_that_is_there() {
    let page =
        |test: &str| format!("<!-- invariants -->\n| 1 | `{test}` |\n<!-- /invariants -->\n");
    let findings = |test: &str, code: &str| {
        let tree = vec![
            ("ARCHITECTURE.md".to_string(), page(test)),
            ("crates/sim/src/tests.rs".to_string(), rust(code)),
        ];
        check(&Tree::of(tree)).len()
    };
    assert_eq!(findings("a::b", "#[test]\nfn b() {}"), 0);
    assert_eq!(findings("a::b", "proptest! { #[test]\nfn b(x in 0..9) {} }"), 0);
    assert_eq!(findings("a::b", "#[test]\nfn c() {}"), 1);
    assert_eq!(findings("cargo xtask tidy", ""), 0);
}

#[test]
fn schemas_only_grow() {
    let field = |name: &str, kind: &str, nullable: bool, since: u8| {
        let head = format!("[[field]]\nname = \"{name}\"\ntype = \"{kind}\"\n");
        format!("{head}nullable = {nullable}\nsince = {since}\n")
    };
    let tree = |schema: String, promised: &str| {
        Tree::of(vec![("schemas/flows.toml".into(), schema), (PROMISED.into(), promised.into())])
    };
    let first = field("domain", "utf8", false, 1);
    let promised = schemas::promises(&tree(first.clone(), ""));
    let line = "flows domain utf8 not null, since 1";
    assert_eq!(promised.lines().nth(1), Some(line));
    let whats = |schema: String| -> Vec<String> {
        check(&tree(schema, &promised)).into_iter().map(|finding| finding.what).collect()
    };
    assert_eq!(whats(first.clone()), [""; 0]);
    assert!(whats(String::new()).contains(&format!("no longer so: {line}")));
    assert!(whats(field("domain", "uint64", false, 1)).contains(&format!("no longer so: {line}")));
    assert!(whats(field("domain", "utf8", true, 1)).contains(&format!("no longer so: {line}")));
    let grown = first.clone() + &field("zone", "utf8", true, 2);
    assert_eq!(whats(grown.clone()), ["not yet promised: flows zone utf8 or null, since 2"]);
    let promised_both = schemas::promises(&tree(grown.clone(), &promised));
    assert_eq!(check(&tree(grown, &promised_both)), []);
    let hard = first + &field("zone", "utf8", false, 2);
    assert!(whats(hard).contains(&"column `zone` came in version 2".to_string()));
    assert_eq!(whats("field = 1".into())[0], "not a schema file");
}

#[test]
fn a_broken_promise_stays_in_the_list() {
    let promised = "# head\nflows gone utf8 not null, since 1\n";
    let tree = Tree::of(vec![(PROMISED.into(), promised.into())]);
    assert!(schemas::promises(&tree).contains("flows gone utf8"));
}

#[test]
fn sources() {
    let source = |from: &str| format!("[[package]]\nname = \"a\"\nsource = \"{from}\"\n");
    red("Cargo.lock", &source("git+https://github.com/a/b#1"), "3: a crate from");
    red("Cargo.lock", &source("registry+https://registry.a/index"), "a crate from");
    green("Cargo.lock", &source("registry+https://github.com/rust-lang/crates.io-index"));
    red("crates/console/package.json", "{}", "a build with Node");
}

#[test]
fn channels_are_bounded() {
    let path = "crates/sim/src/a.rs";
    for call in ["channel()", "mpsc::channel::<u8>()", "tokio::sync::mpsc::unbounded_channel()"] {
        red(path, &rust(&format!("fn f() {{ let (a, b) = {call}; }}")), "2: a channel without");
        let said =
            format!("fn f() {{\n// Bounded: by the caller.\n// See there.\nlet a = {call};\n}}");
        green(path, &rust(&said));
        green(path, &rust(&format!("#[test]\nfn f() {{ let (a, b) = {call}; }}")));
    }
    green(path, &rust("fn f() { let (a, b) = sync_channel(1); }"));
}

#[test]
fn limits_are_told_and_counted() {
    let of = |page: &str| {
        let settings = rust("pub struct A {\n    pub rows_max: u32,\n    pub rows: u32,\n}");
        let metrics = rust("pub const A: &str = \"gannet_sim_rows_refused_total\";");
        let tree = Tree::of(vec![
            ("crates/sim/src/config.rs".into(), settings),
            ("crates/sim/src/metrics.rs".into(), metrics),
            ("docs/bounds.md".into(), page.into()),
        ]);
        let findings = check(&tree).into_iter();
        let shown = findings.map(|f| format!("{}:{}: {}", f.file, f.line, f.what));
        shown.collect::<Vec<String>>().join("; ")
    };
    let counted = "| `sim.rows_max` | rows | `gannet_sim_rows_refused_total{a=\"b\"}` |\n";
    assert_eq!(of(counted), "");
    assert_eq!(of("| `sim.rows_max` | rows | it ends, nothing is lost |\n"), "");
    for (page, wanted) in [
        ("", "config.rs:3: limit `rows_max` is not in docs/bounds.md"),
        ("| `sim.rows_max` | rows | |\n", "bounds.md:1: what `rows_max` refuses is not counted"),
        ("| `sim.rows_max` | rows | `gannet_sim_x_total` |\n", "no metric `gannet_sim_x_total`"),
        (&counted.replace("rows_max", "cells_max"), "no field `cells_max`"),
    ] {
        assert!(of(page).contains(wanted), "no `{wanted}` in {}", of(page));
    }
}

#[test]
fn reference_pages_are_what_would_be_made() {
    let schema = "topic = \"flows\"\nversion = 1\ndoc = \"A flow.\"\npartition_by = \"spread\"\n\
                  time = \"received\"\n\n[[field]]\nname = \"bytes\"\ntype = \"uint64\"\n\
                  nullable = true\nsince = 1\nunit = \"bytes\"\ndoc = \"Its bytes.\"\n";
    let code = rust("/// Flows | read.\npub const FLOWS: &str = \"gannet_ingest_flows_total\";");
    let mut samples = vec![
        ("schemas/flows.toml".to_string(), schema.to_string()),
        ("crates/ingest/src/metrics.rs".to_string(), code),
        ("crates/xtask/src/reference.rs".to_string(), rust("")),
    ];
    let stale = |samples: &[(String, String)]| {
        let findings = reference::check(&Tree::of(samples.to_vec()));
        findings.into_iter().map(|finding| finding.file).collect::<Vec<_>>()
    };
    assert_eq!(stale(&samples), ["docs/reference/topics.md", "docs/reference/metrics.md"]);
    let tree = Tree::of(samples.clone());
    let pages = reference::pages(&tree);
    assert!(pages[0].1.contains("| `bytes` | uint64 | bytes | yes | 1 | Its bytes. |"));
    assert!(pages[1].1.contains("| `gannet_ingest_flows_total` | counter | Flows \\| read. |"));
    samples.extend(pages);
    assert_eq!(stale(&samples), Vec::<String>::new());
    samples[0].1 = schema.replace("Its bytes.", "Bytes.");
    assert_eq!(stale(&samples), ["docs/reference/topics.md"]);
}
