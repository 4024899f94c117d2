//! What the fuzz targets run, without a fuzzer: seeds, and mutants of them. The seeds are files in
//! `fuzz/seeds`, which `UPDATE_SEEDS=1 cargo test -p gannet fuzz` makes again; an input that once
//! broke something is added to them by hand.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{config, rules};
use crate::config::Config;
use runtime::config::{ConfigSource, load};

/// Mutants of a target in an ordinary run. Planning takes milliseconds.
const MUTANTS: u32 = 300;
const RULES: &str = include_str!("../../../../config/rules.yaml");

/// One shape of query each, of those that are cut and of those that are refused.
const SQL: [&str; 24] = [
    "SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr",
    "SELECT count(*) AS n FROM flows WHERE protocol = 6 AND tcp_flags & 2 = 2",
    "SELECT dst_port, sum(bytes) AS n, avg(packets) AS m FROM flows GROUP BY dst_port",
    "SELECT exporter, count(DISTINCT src_addr) AS n FROM flows GROUP BY exporter",
    "SELECT protocol, approx_distinct(src_addr) AS n FROM flows GROUP BY protocol",
    "SELECT dst_addr, top_k(src_addr, bytes, 5) AS n FROM flows GROUP BY dst_addr",
    "SELECT median(bytes) AS n, stddev(bytes) AS s FROM flows",
    "SELECT in_if, min(bytes) AS a, max(bytes) AS n FROM flows GROUP BY 1 HAVING max(bytes) > 9",
    "SELECT bit_xor(src_port) AS n, bool_and(src_port > 1024) AS b FROM flows",
    "SELECT dst_port / 9 AS k, sum(CASE WHEN tos = 1 THEN 2 ELSE 0 END) AS n FROM flows GROUP BY 1",
    "SELECT approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY bytes) AS n FROM flows",
    "SELECT n, domain FROM (SELECT domain, count(*) AS n FROM flows GROUP BY domain) WHERE n > 3",
    "WITH f AS (SELECT * FROM flows WHERE bytes IS NOT NULL) SELECT count(*) AS n FROM f",
    "SELECT array_agg(src_port) AS n FROM flows FILTER (WHERE src_port > 3)",
    "SELECT corr(bytes, packets) AS n FROM flows WHERE src_addr IN ('10.0.0.1', '10.0.0.2')",
    "SELECT date_bin(INTERVAL '1 minute', received) AS k, count(*) AS n FROM flows GROUP BY 1",
    "SELECT string_agg(domain, ',') AS n FROM flows WHERE domain LIKE 'a%' OR domain ~ '^b+'",
    "SELECT src_port, dst_port, count(*) AS n FROM flows GROUP BY CUBE (src_port, dst_port)",
    "SELECT DISTINCT dst_addr AS n FROM flows ORDER BY 1 LIMIT 3",
    "SELECT row_number() OVER (PARTITION BY dst_addr) AS n FROM flows",
    "SELECT count(*) AS n FROM flows f JOIN flows g ON f.dst_addr = g.src_addr",
    "SELECT count(*) AS n FROM flows WHERE bytes > (SELECT avg(bytes) FROM flows)",
    "when kind = 'link' AND state = 'down'",
    "when severity BETWEEN 1 AND 3 OR device LIKE 'core-%' AND NOT (entity IS NULL)",
];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (i, seed) in made(target).iter().enumerate() {
            fs::write(folder.join(format!("made-{i:02}")), seed).unwrap();
        }
    }
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn made(target: &str) -> Vec<String> {
    // Each rule of the shipped file, without what is said about it.
    let written = RULES.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let written = written.fold(String::new(), |text, line| format!("{text}{line}\n"));
    let shipped = written.split("- name:").skip(1).map(|rule| format!("- name:{rule}"));
    match target {
        "rules" => shipped.chain(SQL.map(str::to_owned)).collect(),
        _ => {
            let defaults = load::<Config>(ConfigSource::text("none", "")).unwrap().dump().unwrap();
            let mut sections: Vec<String> = Vec::new();
            for line in defaults.lines() {
                if !line.starts_with([' ', '-']) {
                    sections.push(String::new());
                }
                let section = sections.last_mut().unwrap();
                *section += line;
                section.push('\n');
            }
            let rule = shipped.last().unwrap();
            sections.push(format!("detect:\n  rules: !include 1.yaml\n\0\0{rule}\0"));
            sections
                .push("a: !include 1.yaml\n\0\0b: !include 2.yaml\n\0c: !include 1.yaml\n".into());
            sections.push("\0BUS__KAFKA__BOOTSTRAP=b:9\nINGEST__LISTEN__0=udp://:1\n".into());
            sections.push("bus: &a {engine: embedded}\n\0BUS__ENGINE={a: [b, 1.5e3, ~]}\n".into());
            sections.push("process: {drain: \"20s\"}\nadmin: {listen: '127.0.0.1:0'}\n".into());
            sections
        }
    }
}

/// Where, how, and with what byte a seed is changed.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..5u8, any::<u8>()), 0..6)
}

fn mutated(seed: &[u8], edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    const WORDS: &[u8] = b"\0\n -:[]{}()&*!|>'\"#,.=0129azNULLselectORNOT";
    let mut input = seed.to_vec();
    for (at, how, byte) in edits {
        let at = at.index(input.len() + 1);
        match how {
            0 => input.insert(at, WORDS[usize::from(*byte) % WORDS.len()]),
            1 if at < input.len() => input[at] = WORDS[usize::from(*byte) % WORDS.len()],
            2 if at < input.len() => input[at] ^= 1 << (byte % 8),
            3 => input.truncate(at),
            _ => {
                let end = (at + usize::from(*byte)).min(input.len());
                input.extend_from_within(at..end);
            }
        }
    }
    input
}

#[test]
fn fuzz_entries_take_seeds_and_mutants_of_them() {
    for (target, entry) in [("config", config as fn(&[u8])), ("rules", rules)] {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds of {target}");
        seeds.iter().for_each(|seed| entry(seed));
        let config = ProptestConfig { cases: MUTANTS, ..ProptestConfig::default() };
        let mutants = (prop::sample::select(seeds), edits());
        let mut runner = TestRunner::new(config);
        let done = runner.run(&mutants, |(seed, edits)| {
            entry(&mutated(&seed, &edits));
            Ok(())
        });
        done.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}
