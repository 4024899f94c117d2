//! The shipped flood rule over flows as an exporter sends them: found at half and four times the
//! rate, victim known or not; benign traffic, a busy server and UDP amplification are not.

use model::rows::{Anomaly, AnomalyKind};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rig::{Message, detect, rules};
use super::rows::{Flow, flows, text};
use crate::rules::Source;

const SHIPPED: &str = include_str!("../../../../../config/rules.yaml");
const START: i64 = 1_700_000_000_000;
const VICTIM: u32 = 0xc000_0207;
const BUSY: u32 = 0x0a00_0001;
/// SYN, and the union of a completed connection: SYN, ACK, PSH, FIN.
const SYN: u16 = 2;
const WHOLE: u16 = 27;

struct Attack {
    from_s: i64,
    per_s: f64,
    protocol: u8,
    flags: u16,
    /// The victim also has ordinary traffic.
    known: bool,
}

fn benign(rng: &mut ChaCha8Rng, received: i64, known: bool) -> Vec<Flow> {
    let mut rows = Vec::new();
    for _ in 0..300 {
        let busy = rng.random_bool(0.6);
        let dst = if busy { BUSY } else { 0x0a00_0001 + rng.random_range(0..200) };
        let dst = if known && rng.random_bool(0.05) { VICTIM } else { dst };
        let lone = rng.random_bool(0.01);
        let packets = if lone { 1 } else { rng.random_range(5..200) };
        rows.push(Flow {
            received: received + rng.random_range(0..1000),
            last: None,
            src: 0x0b00_0000 + rng.random_range(0..5000),
            dst,
            protocol: if rng.random_bool(0.8) { 6 } else { 17 },
            flags: if lone { SYN } else { WHOLE },
            packets,
            bytes: packets * 500,
        });
    }
    rows
}

fn run(seed: u64, seconds: i64, attack: Option<&Attack>) -> Vec<Anomaly> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut messages = vec![Vec::new(), Vec::new()];
    for second in 0..seconds {
        let received = START + second * 1000;
        let mut rows = benign(&mut rng, received, attack.is_some_and(|attack| attack.known));
        if let Some(attack) = attack.filter(|attack| second >= attack.from_s) {
            for _ in 0..attack.per_s as usize {
                rows.push(Flow {
                    received: received + rng.random_range(0..1000),
                    last: None,
                    src: rng.random(),
                    dst: VICTIM,
                    protocol: attack.protocol,
                    flags: attack.flags,
                    packets: 1,
                    bytes: 40,
                });
            }
        }
        for (at, rows) in rows.chunks(rows.len().div_ceil(2)).enumerate() {
            let watermark_ms = received + 1000;
            messages[at].push(Message { batch: flows(rows), watermark_ms });
        }
    }
    detect(&rules(SHIPPED), Source::Flows, &messages, seed).1
}

fn of_victim(anomalies: &[Anomaly]) -> Vec<&Anomaly> {
    let name = text(VICTIM);
    anomalies.iter().filter(|a| a.entity.as_ref().is_some_and(|e| e.name == name)).collect()
}

#[test]
fn a_flood_is_found_within_a_window_and_names_its_victim() {
    for (per_s, known) in [(800.0, false), (1600.0, true), (6400.0, false), (800.0, true)] {
        let attack = Attack { from_s: 90, per_s, protocol: 6, flags: SYN, known };
        let anomalies = run(per_s as u64, 120, Some(&attack));
        let found = of_victim(&anomalies);
        let open = found.first().unwrap_or_else(|| panic!("no anomaly at {per_s}"));
        assert_eq!((open.kind, open.model.as_str()), (AnomalyKind::Open, "syn-flood"));
        let delay_ms = open.time_ms - (START + attack.from_s * 1000);
        assert!((0..=10_000).contains(&delay_ms), "{delay_ms} ms at {per_s}");
        assert!(open.score.unwrap() >= 3.0 && open.upper.unwrap() < open.value.unwrap());
        assert_eq!(open.contributors[0].name, "127.0.0.1");
        assert!(found.iter().filter(|a| a.kind == AnomalyKind::Open).count() == 1);
        assert_eq!(found.len(), anomalies.len(), "others too: {anomalies:?}");
    }
}

#[test]
fn benign_traffic_with_a_busy_server_is_quiet() {
    for seed in 1..4 {
        assert_eq!(run(seed, 240, None), []);
    }
}

#[test]
fn an_amplification_is_no_syn_flood() {
    let udp = Attack { from_s: 90, per_s: 3000.0, protocol: 17, flags: 0, known: false };
    assert_eq!(run(1, 120, Some(&udp)), []);
    // Reflected SYN|ACKs are not SYN only.
    let reflected = Attack { from_s: 90, per_s: 3000.0, protocol: 6, flags: 18, known: false };
    assert_eq!(run(1, 120, Some(&reflected)), []);
}
