//! What the fuzz targets of messages run, without a fuzzer: seeds, and mutants of them. The seeds
//! are files in `fuzz/seeds`, which `UPDATE_SEEDS=1 cargo test -p bus fuzz` makes again; an input
//! that once broke something is added to them by hand. The golden samples of every topic are seeds
//! too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    ListArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray, UInt8Array,
};
use arrow::datatypes::{Int8Type, Int32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{arrow, meta};
use crate::frame::heartbeat;
use crate::record::{Name, Writer};

/// Mutants of a target in an ordinary run.
const MUTANTS: u32 = 20_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/seeds").join(target);
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        let made = if target == "arrow" { streams() } else { vec![beat()] };
        for (i, seed) in made.iter().enumerate() {
            fs::write(folder.join(format!("made-{i:02}")), seed).unwrap();
        }
    }
    let golden = (target == "arrow").then(|| root().join("schemas/golden"));
    let folders = [Some(folder), golden].into_iter().flatten();
    let entries = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Types that our topics do not have, stored, with LZ4 and with zstd.
fn streams() -> Vec<Vec<u8>> {
    let lists = [Some(vec![Some(1), None]), None, Some(vec![])];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let fields: Vec<(&str, ArrayRef)> = vec![("a", Arc::new(Int32Array::from(vec![1, 2, 3])))];
    let kinds: Vec<Vec<(&str, ArrayRef)>> = vec![
        vec![("text", Arc::new(StringArray::from(vec![Some("a"), None, Some("ccc")])))],
        vec![
            ("view", Arc::new(StringViewArray::from(vec!["longer than twelve bytes", "b", ""]))),
            ("bytes", Arc::new(BinaryViewArray::from_iter_values([&b"a"[..], b"b", b"c"]))),
        ],
        vec![(
            "dictionary",
            Arc::new(["x", "y", "x"].into_iter().collect::<DictionaryArray<Int8Type>>()),
        )],
        vec![("list", Arc::new(list)), ("null", Arc::new(NullArray::new(3)))],
        vec![("struct", Arc::new(StructArray::try_from(fields).unwrap()))],
        vec![
            ("float", Arc::new(Float64Array::from(vec![0.0, f64::NAN, 1e300]))),
            ("small", Arc::new(UInt8Array::from(vec![Some(1), None, Some(3)]))),
            (
                "fixed",
                Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8; 16]; 3].iter()).unwrap()),
            ),
        ],
    ];
    let codecs = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    let pairs = kinds.iter().flat_map(|kind| codecs.map(|codec| stream(kind, codec)));
    pairs.collect()
}

fn stream(columns: &[(&str, ArrayRef)], codec: Option<CompressionType>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A heartbeat as `meta` takes it.
fn beat() -> Vec<u8> {
    let writer = Writer::Task { stage: "s".to_owned(), topic_id: "id".to_owned(), partition: 3 };
    let name = Name { writer, offset: 42, index: 5 };
    let beat = heartbeat(&Arc::from("t"), 0, 1_000, name, "p", vec![("x".into(), "y".into())]);
    let mut out = vec![beat.headers.len() as u8];
    for (name, value) in &beat.headers {
        for part in [name.as_bytes(), value] {
            out.push(part.len() as u8);
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&beat.payload.unwrap());
    out
}

fn mutated(seed: &[u8], edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut input = seed.to_vec();
    for (at, how, byte) in edits {
        let at = at.index(input.len().max(1));
        match how {
            0 => input.truncate(at),
            1 => input.insert(at, *byte),
            2 if at < input.len() => input[at] ^= 1 << (byte % 8),
            _ if at < input.len() => input[at] = *byte,
            _ => {}
        }
    }
    input
}

#[test]
fn fuzz_entries_take_seeds_and_mutants_of_them() {
    for (target, entry) in [("arrow", arrow as fn(&[u8])), ("meta", meta)] {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds of {target}");
        seeds.iter().for_each(|seed| entry(seed));
        let edit = (any::<prop::sample::Index>(), 0..8u8, any::<u8>());
        let mutants = (prop::sample::select(seeds), prop::collection::vec(edit, 0..6));
        let config = ProptestConfig { cases: MUTANTS, ..ProptestConfig::default() };
        let done = TestRunner::new(config).run(&mutants, |(seed, edits)| {
            entry(&mutated(&seed, &edits));
            Ok(())
        });
        done.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}
