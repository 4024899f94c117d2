//! Each folder of `cases` is a configuration and what is said of it: its effective values, or its
//! errors as a person sees them. `UPDATE_GOLDEN=1` writes what is said now.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ConfigSource, Loaded, Place, check_text, load};

/// A configuration with all that ours has: sections, lists, enums, times, limits.
#[derive(Debug, Default, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
struct Sample {
    name: String,
    #[serde(with = "super::units::duration")]
    drain: Duration,
    #[serde(with = "super::units::bytes")]
    buffer: u64,
    #[garde(range(max = 64))]
    workers: u32,
    log: Log,
    #[garde(dive)]
    rules: Vec<Rule>,
    model: Option<Model>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    kafka: Option<Kafka>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    bootstrap: String,
    #[serde(default)]
    level: Level,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Info,
    Debug,
}

#[derive(Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Rule {
    #[garde(length(min = 1))]
    name: String,
    sql: String,
    watch: Watch,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Watch {
    Threshold { above: f64 },
    Silent,
}

/// Tagged inside: serde buffers it, and errors lose their way.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Model {
    Level { width: u32 },
    Season { days: u32 },
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/cases")
}

fn what_is_said(case: &Path) -> String {
    let variables = fs::read_to_string(case.join("env")).unwrap_or_default();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let source = ConfigSource::file(case.join("in.yaml"))
        .with_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let said = match load::<Sample>(source) {
        Ok(loaded) => loaded.dump().unwrap(),
        Err(error) => format!("{error}\n"),
    };
    said.replace(&format!("{}/", case.display()), "")
}

#[test]
fn each_case_is_told_as_expected() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(cases()).unwrap() {
        let case = entry.unwrap().path();
        let (said, file) = (what_is_said(&case), case.join("expected"));
        count += 1;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &said).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{said}", case.display()));
        }
    }
    assert!(count >= 30, "only {count} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn loaded(text: &str) -> Loaded<Sample> {
    load(ConfigSource::text("t.yaml", text)).unwrap()
}

/// The line and column of each word, found through the text of its rule.
fn place_of_word(text: &str, word: &str) -> String {
    let loaded = loaded(text);
    let sql = &loaded.value.rules[0].sql;
    let (line, rest) = sql.lines().enumerate().find(|(_, line)| line.contains(word)).unwrap();
    let column = rest.find(word).unwrap() + 1;
    match loaded.place_within("rules[0].sql", line + 1, column, word.len()) {
        Place::File(spot) => {
            let shown: String = spot
                .source
                .line(spot.line)
                .chars()
                .skip(spot.column - 1)
                .take(spot.width)
                .collect();
            assert_eq!(shown, word, "in {}", spot.source.name);
            format!("{}:{}:{}", spot.source.name, spot.line, spot.column)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_place_inside_a_text_is_a_place_of_the_file_where_the_lines_are_the_same() {
    let literal = "rules:\n- name: a\n  sql: |\n    SELECT x\n    FROM y\n  watch: silent\n";
    assert_eq!(place_of_word(literal, "FROM"), "t.yaml:5:5");
    let plain = "rules:\n- name: a\n  sql: SELECT x FROM y\n  watch: silent\n";
    assert_eq!(place_of_word(plain, "FROM"), "t.yaml:3:17");
    let quoted = "rules:\n- name: a\n  sql: 'SELECT x FROM y'\n  watch: silent\n";
    assert_eq!(place_of_word(quoted, "FROM"), "t.yaml:3:18");
    let folded = "rules:\n- name: a\n  sql: >\n    SELECT x\n    FROM y\n  watch: silent\n";
    assert_eq!(place_of_word(folded, "FROM"), "the text at t.yaml:4:5:1:10");
    let escaped = "rules:\n- name: a\n  sql: \"SELECT \\x41 FROM y\"\n  watch: silent\n";
    assert_eq!(place_of_word(escaped, "FROM"), "the text at t.yaml:3:8:1:10");
}

#[test]
fn sizes_are_read_and_written_in_the_same_words() {
    for (text, bytes) in [("256KiB", 262_144), ("1GiB", 1 << 30), ("77B", 77), ("0B", 0)] {
        let loaded = loaded(&format!("buffer: {text}\n"));
        assert_eq!(loaded.value.buffer, bytes);
        assert!(loaded.dump().unwrap().contains(text), "{text}");
    }
    assert_eq!(loaded("buffer: 4096\n").value.buffer, 4096);
    let too_large = check_text::<Sample>("buffer: 99999999999TiB\n").unwrap_err();
    assert!(too_large.to_string().contains("is not a size"), "{too_large}");
}

#[test]
fn a_dump_is_a_configuration_that_dumps_the_same() {
    let text = fs::read_to_string(cases().join("good/in.yaml")).unwrap();
    let first = loaded(&text).dump().unwrap();
    assert_eq!(loaded(&first).dump().unwrap(), first);
}

/// A text of a megabyte or some files must not take minutes or the machine's memory.
#[test]
fn what_grows_by_its_form_is_refused() {
    let refused = |text: &str, words: &str| {
        let error = check_text::<Sample>(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    // A text of a megabyte, a hundred times by an alias of three bytes.
    let long = "x".repeat(1 << 20);
    refused(&format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(100)), "bytes, with those that");
    // Each anchor keeps what is within it.
    let (open, close): (String, String) =
        ((0..60).map(|i| format!("&a{i} [")).collect(), "]".repeat(60));
    refused(&format!("{open}{}{close}", "x, ".repeat(20_000)), "values, with those that");
    // So does each file that is included.
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("1.yaml", "- !include 2.yaml\n".repeat(1_000));
    write("2.yaml", "- x\n".repeat(1_000));
    let root = folder.path().join("1.yaml");
    let error = load::<Sample>(ConfigSource::file(root)).unwrap_err().to_string();
    assert!(error.contains("values, with those that"), "{error}");
}

/// Each value asks for its line: one long line, and many short ones, within a minute. Searching
/// for the line each time took time with the square of the size.
#[test]
fn large_texts_are_read_in_time() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let one_line = format!("rules: [{}]\n", "abcdefgh, ".repeat(300_000));
        let many_lines = format!("rules:\n{}", "- abcdefgh\n".repeat(300_000));
        for text in [one_line, many_lines] {
            assert!(check_text::<Sample>(&text).is_err());
        }
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("both are read");
}

#[test]
fn a_pipe_is_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(load::<Sample>(ConfigSource::file(pipe)).unwrap_err()));
    let error = is_done.recv_timeout(Duration::from_secs(60)).expect("it is not waited for");
    assert!(error.to_string().contains("not a file"), "{error}");
}

/// Characters that YAML gives a meaning, and beginnings of lines, in any order.
const PIECES: &str =
    concat!("([a-z\\[\\]{}:,|>&*!\"'#\t\n é-]", "|rules: |name: |\\n  |- |sql: \\|\\n)*");

proptest! {
    /// Pieces of YAML in any order: an error or a value, never a panic.
    #[test]
    fn any_text_is_a_value_or_an_error(text in PIECES) {
        if let Err(error) = check_text::<Sample>(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
