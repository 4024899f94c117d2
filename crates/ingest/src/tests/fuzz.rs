//! What the fuzz targets of the decoders run, without a fuzzer: seeds, and mutants of them. The
//! seeds are files in `fuzz/seeds`, which `UPDATE_SEEDS=1 cargo test -p ingest` makes again; an
//! input that once broke something is added to them by hand.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data;
use super::encode::{Message, field, plain_fields, plain_records, v5};
use crate::decode::fuzz;
use crate::engine::element::{Field, VARIABLE};

type Entry = fn(&[u8]);

const TARGETS: [(&str, Entry); 6] = [
    ("v5", fuzz::v5),
    ("v9", fuzz::v9),
    ("ipfix", fuzz::ipfix),
    ("datagram", fuzz::datagram),
    ("datagrams", fuzz::datagrams),
    ("pcap", fuzz::capture),
];
/// Mutants of a target in an ordinary run; `FUZZ_INPUTS` names another number.
const MUTANTS: u64 = 20_000;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// The files of a target, by name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        write(target);
    }
    let files = data::files(&folder(target), "");
    files.iter().map(|path| fs::read(path).expect("a file that was listed")).collect()
}

fn write(target: &str) {
    fs::create_dir_all(folder(target)).expect("the repository can be written");
    for (i, seed) in made(target).iter().enumerate() {
        fs::write(folder(target).join(format!("made-{i:02}")), seed).expect("so can a file");
    }
}

/// A message of each kind that a version has.
pub fn sample(version: u16) -> Vec<u8> {
    Message::new(version, 1, 0)
        .template(256, &plain_fields())
        .options_template(257, 1, &[field(if version == 9 { 1 } else { 143 }, 4), field(34, 4)])
        .set(257, &[0, 0, 0, 1, 0, 0, 0, 10])
        .set(256, &plain_records(0, 5))
        .bytes()
}

/// Elements in the order of their numbers, all of one length, and two records of them.
fn elements(version: u16, ids: std::ops::Range<u16>, len: u16) -> Vec<u8> {
    let fields: Vec<Field> = ids.map(|id| field(id, len)).collect();
    let record: Vec<u8> = (0..2 * len)
        .cycle()
        .take(2 * fields.len() * usize::from(len))
        .map(|byte| byte as u8)
        .collect();
    Message::new(version, 2, 7).template(300, &fields).set(300, &record).bytes()
}

fn all_elements(version: u16) -> Vec<Vec<u8>> {
    let mut all = vec![sample(version)];
    for ids in [1..34, 34..67, 67..101, 128..162, 225..245, 298..312] {
        all.extend([1, 4, 8].map(|len| elements(version, ids.clone(), len)));
    }
    all.push(elements(version, 27..33, 16));
    all.push(elements(version, 56..82, 6));
    let private = Field { enterprise: 29_305, id: 1, len: 4 };
    let mixed = [field(8, 4), field(82, VARIABLE), private, field(96, VARIABLE)];
    let values = [10, 0, 0, 1, 2, b'e', b'0', 0, 0, 0, 9, 255, 0, 3, b'd', b'n', b's'];
    all.push(Message::new(version, 1, 0).template(256, &mixed).set(256, &values).bytes());
    // Data before its template, a withdrawal, and padding.
    let late = Message::new(version, 1, 0).set(256, &plain_records(0, 2));
    all.push(late.template(256, &plain_fields()).set(2, &[1, 0, 0, 0]).raw(&[0; 6]).bytes());
    all
}

fn made(target: &str) -> Vec<Vec<u8>> {
    let v5s = || vec![v5(0, 3_600_000, 1), v5(1, 3_600_000, 3)];
    match target {
        "v5" => v5s(),
        "v9" => all_elements(9),
        "ipfix" => all_elements(10),
        "datagram" => [v5s(), vec![sample(9), sample(10)]].concat(),
        "datagrams" => {
            let parted = |version| {
                let data = |sequence| {
                    let set = plain_records(sequence, 2);
                    Message::new(version, 1, sequence).set(256, &set).bytes()
                };
                let template = Message::new(version, 1, 0).template(256, &plain_fields());
                framed(&[template.bytes(), data(1), data(3), data(2)])
            };
            vec![parted(9), parted(10), framed(&[v5s(), vec![sample(9), sample(10)]].concat())]
        }
        _ => [sample(9), v5(0, 3_600_000, 1)]
            .iter()
            .flat_map(|d| [1, 12, 113].map(|l| pcap(l, d)))
            .collect(),
    }
}

fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for datagram in datagrams {
        out.extend_from_slice(&(datagram.len() as u16 | 0x8000).to_be_bytes());
        out.extend_from_slice(datagram);
    }
    out
}

/// A capture of one packet: Ethernet, raw IP or Linux cooked.
fn pcap(link: u32, payload: &[u8]) -> Vec<u8> {
    let udp = payload.len() as u16 + 8;
    let mut packet = match link {
        1 => [&[2; 12][..], &[8, 0]].concat(),
        113 => [&[0; 14][..], &[8, 0]].concat(),
        _ => Vec::new(),
    };
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&(udp + 20).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend_from_slice(&[0, 99, 8, 7]);
    packet.extend_from_slice(&udp.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 65_535, link, 1_700_000_000, 500] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for _ in 0..2 {
        out.extend_from_slice(&(packet.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(&packet);
    out
}

/// A few bytes of a seed changed, taken away or repeated.
pub fn mutated(rng: &mut ChaCha8Rng, seed: &[u8]) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..rng.random_range(1..8) {
        let at = rng.random_range(0..input.len());
        match rng.random_range(0..6) {
            0 => input[at] = rng.random(),
            1 => input[at] ^= 1 << rng.random_range(0..8),
            2 => input.truncate(at.max(1)),
            3 => {
                let end = (at + rng.random_range(1..9)).min(input.len());
                input.extend_from_within(at..end);
            }
            4 if input.len() > 1 => {
                input.remove(at);
            }
            _ => input[at] = [0, 1, 2, 3, 255][rng.random_range(0..5)],
        }
    }
    input
}

#[test]
fn fuzz_entries_take_seeds_and_mutants_of_them() {
    let told = std::env::var("FUZZ_INPUTS").ok().and_then(|n| n.parse().ok());
    for (target, entry) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds of {target}");
        seeds.iter().for_each(|seed| entry(seed));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..told.unwrap_or(MUTANTS) {
            let seed = &seeds[rng.random_range(0..seeds.len())];
            entry(&mutated(&mut rng, seed));
        }
    }
}
