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
use crate::syslog::fuzz as syslog;

type Entry = fn(&[u8]);

const TARGETS: [(&str, Entry); 8] = [
    ("v5", fuzz::v5),
    ("v9", fuzz::v9),
    ("ipfix", fuzz::ipfix),
    ("datagram", fuzz::datagram),
    ("datagrams", fuzz::datagrams),
    ("pcap", fuzz::capture),
    ("syslog", syslog::message),
    ("stream", syslog::stream),
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
        "syslog" => MESSAGES.map(|message| message.as_bytes().to_vec()).to_vec(),
        "stream" => vec![stream()],
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

/// A header of each family.
const MESSAGES: [&str; 14] = [
    "<187>94: edge1: *Nov 26 10:00:00.123 UTC: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, \
     changed state to administratively down",
    "<189>97: 2d03h: %BGP-5-ADJCHANGE: neighbor 192.0.2.9 vpn vrf red Down Peer closed",
    "<187>7: pe1 LC/0/2/CPU0:Nov 26 10:00:00.5 UTC: ifmgr[214]: %PKT_INFRA-LINK-3-UPDOWN : \
     Interface TenGigE0/2/0/4, changed state to Down",
    "<189>leaf1: 2026 Nov 26 10:00:00 UTC: %ETHPORT-5-IF_UP: Interface Ethernet1/3 is up in mode x",
    "<164>Nov 26 2026 10:00:00 fw1 : %ASA-4-411002: Line protocol on Interface o, changed state \
     to up",
    "<28>Nov 26 10:00:00  re0.core1 mib2d[24]: SNMP_TRAP_LINK_DOWN: ifIndex 502, ifAdminStatus \
     up(1), ifOperStatus down(2), ifName xe-0/0/0",
    "<28>1 2026-11-26T10:00:00.250Z core1 mib2d 24 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.18 \
     admin-status=\"down(2)\" interface-name=\"xe-0/0/0\"] ifIndex 502",
    "<28>Nov 26 10:00:00 core1 rpd[29]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.9 (AS 1) \
     changed state from Established to Idle",
    "<13>2026-11-26T10:00:00+01:00 veos1 Bgp: %BGP-5-ADJCHANGE: peer 192.0.2.9 (VRF default AS 1) \
     old state OpenConfirm event Established new state Established",
    "<29>2026-11-6 10:00:00.270.1 sw1 %%01IFNET/4/IF_STATE(l)[4997]:Interface E0/0/8 has turned \
     into DOWN state.",
    "<189>date=2026-11-26 time=10:00:00 devname=\"fw 1\" tz=\"+0100\" type=\"event\" \
     subtype=system",
    "<30>cons1 port02 2026-Nov- 6 10:00:00.341 LOGIN: root",
    "<14>Nov 26 10:00:00 pa1 1,2026/11/26 10:00:00,0123,TRAFFIC,end,2304,a",
    "<7>Dec 10 00:00:01  re0.edge01 fpc3 fpc3 dcpfe: JPRDS_NH:jprds_nh_alloc(),631: failed",
];

/// Both framings in pieces of 17 bytes.
fn stream() -> Vec<u8> {
    let counted = |message: &str| format!("{} {message}", message.len());
    let line = |message: &str| format!("{message}\n");
    let each = MESSAGES.iter().enumerate();
    let texts = each.map(|(i, m)| if i % 2 == 0 { counted(m) } else { line(m) });
    [vec![16], texts.collect::<String>().into_bytes()].concat()
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
