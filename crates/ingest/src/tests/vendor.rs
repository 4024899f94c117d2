//! Datagrams of real exporters. What each gives is in `golden/vendor.txt` (counts and hashes, never
//! data); `UPDATE_GOLDEN=1 cargo test -p ingest vendor` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::data;
use crate::decode::{json, read_file};
use crate::engine::Engine;
use crate::engine::limits::Limits;
use crate::engine::problem::Reason;

/// Files of one exporter: the name up to what says template or data.
fn group(path: &Path) -> String {
    let name = data::name(path);
    let marks = ["_tpl", "_data", "_opttpl", "_template", "_options"];
    let end = marks.iter().filter_map(|mark| name.find(mark)).min();
    name[..end.unwrap_or(name.len())].to_owned()
}

pub fn groups(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in data::files(folder, ".dat") {
        groups.entry(group(&path)).or_default().push(path);
    }
    groups
}

/// Feeds files in order at one time, and gives the rows of all.
pub fn feed<'a>(engine: &mut Engine, paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<String> {
    for path in paths {
        for datagram in read_file(path).expect("a file that was listed").0 {
            engine.datagram(1_600_000_000_000, datagram.source, &datagram.payload);
        }
    }
    engine.flush_flows();
    let batches = engine.take_flows();
    let rows = batches.iter().flat_map(|b| (0..b.batch.num_rows()).map(|i| json::row(&b.batch, i)));
    rows.collect()
}

pub fn engine() -> Engine {
    Engine::new(Limits::default(), "default", "test")
}

/// What one file gives after the other files of its exporter.
fn result(path: &PathBuf, group: &[PathBuf]) -> String {
    let mut engine = engine();
    feed(&mut engine, group.iter().filter(|other| *other != path));
    let problems = engine.problems().clone();
    let waiting = engine.usage().waiting_sets;
    let options = engine.counts().options_records;
    let waited = |row: &String| notes(row) & 32 != 0;
    let rows: Vec<String> = feed(&mut engine, [path]).into_iter().filter(|r| !waited(r)).collect();
    let hash = model::schema::hex16(rows.join("\n").as_bytes());
    let mut line = format!("{} records {} hash {hash}", data::name(path), rows.len());
    let options = engine.counts().options_records - options;
    if options > 0 {
        let _ = write!(line, " options {options}");
    }
    if engine.usage().waiting_sets > waiting {
        let _ = write!(line, " waiting {}", engine.usage().waiting_sets - waiting);
    }
    for &reason in Reason::ALL {
        let count = engine.problems().get(reason) - problems.get(reason);
        if count > 0 {
            let _ = write!(line, " problem \"{}\" {count}", reason.name());
        }
    }
    line
}

fn notes(row: &str) -> u32 {
    let value: serde_json::Value = serde_json::from_str(row).expect("a line of JSON");
    value["notes"].as_u64().unwrap_or(0) as u32
}

#[test]
fn each_file_gives_what_is_committed() {
    let Some(folder) = data::folder("flows/vendor-datagrams") else {
        return;
    };
    let mut found = String::new();
    for group in groups(&folder).values() {
        for path in group {
            let _ = writeln!(found, "{}", result(path, group));
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/vendor.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&golden).expect("golden/vendor.txt is committed");
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// Rows without what may depend on the order: when they were received, whether they waited, and the
/// rate, which may come after them.
fn timeless(rows: Vec<String>) -> Vec<String> {
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut value: serde_json::Value = serde_json::from_str(row).expect("a line of JSON");
            let notes = value["notes"].as_u64().unwrap_or(0) & !(32 | 1);
            value["notes"] = notes.into();
            for column in ["received", "sampling_rate", "bytes_scaled", "packets_scaled"] {
                value.as_object_mut().expect("an object").remove(column);
            }
            value.to_string()
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn the_order_of_templates_and_data_does_not_matter() {
    let Some(folder) = data::folder("flows/vendor-datagrams") else {
        return;
    };
    for (name, group) in groups(&folder) {
        let forwards = timeless(feed(&mut engine(), &group));
        let backwards = timeless(feed(&mut engine(), group.iter().rev()));
        assert_eq!(forwards, backwards, "{name}");
    }
}
