//! Bytes that nobody should send: nothing panics, nothing hangs, each is a counted reason, and what
//! else is in the datagram is decoded.

use std::net::{IpAddr, Ipv4Addr};

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data;
use super::encode::{Message, field, plain_fields, plain_records, v5};
use super::fuzz::{mutated, sample};
use crate::engine::Engine;
use crate::engine::element::{Field, VARIABLE};
use crate::engine::limits::Limits;
use crate::engine::problem::Reason;
use crate::engine::program::Program;
use crate::engine::sampling::rate;

const EXPORTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

fn engine() -> Engine {
    Engine::new(Limits::default(), "default", "test")
}

/// Feeds datagrams; gives rows decoded and the engine.
fn feed(datagrams: &[Vec<u8>]) -> (usize, Engine) {
    let mut engine = engine();
    for datagram in datagrams {
        engine.datagram(1_700_000_000_000, EXPORTER, datagram);
    }
    engine.flush_flows();
    let rows = engine.take_flows().iter().map(|flows| flows.batch.num_rows()).sum();
    (rows, engine)
}

#[test]
fn cut_at_each_byte_gives_what_is_whole_and_says_so() {
    for whole in [sample(9), sample(10), v5(0, 3_600_000, 5)] {
        let (rows, engine) = feed(std::slice::from_ref(&whole));
        assert_eq!((rows, engine.problems().total()), (5, 0));
        for len in 0..whole.len() {
            let (rows, mut engine) = feed(&[whole[..len].to_vec()]);
            assert!(rows <= 5);
            // v9 has no length: cut between two sets it is a whole message.
            let silent = whole[1] == 9 && engine.problems().total() == 0;
            assert!(silent || engine.problems().total() > 0, "cut at {len}");
            if !silent {
                assert_eq!(engine.take_rejects().len(), 1, "cut at {len}");
            }
        }
    }
}

#[test]
fn a_bad_set_does_not_lose_the_others() {
    let good = |m: Message| m.set(256, &plain_records(0, 4));
    for version in [9, 10] {
        let start = || Message::new(version, 1, 0).template(256, &plain_fields());
        let reserved = good(start().set(77, &[1, 2, 3, 4])).bytes();
        let short = good(start().set(256, &[1, 2, 3])).bytes();
        let template =
            good(start().set(if version == 9 { 0 } else { 2 }, &[1, 0, 0, 9, 0, 1])).bytes();
        for (bytes, reason) in [
            (reserved, Reason::ReservedSet),
            (short, Reason::RecordTruncated),
            (template, Reason::TemplateSyntax),
        ] {
            let (rows, engine) = feed(&[bytes]);
            assert_eq!((rows, engine.problems().get(reason)), (4, 1), "{version} {reason:?}");
        }
    }
}

#[test]
fn set_lengths_below_a_header_or_past_the_end_end_the_datagram() {
    for version in [9, 10] {
        for len in [0u16, 1, 2, 3, 65_535] {
            let mut set = 256u16.to_be_bytes().to_vec();
            set.extend_from_slice(&len.to_be_bytes());
            set.extend_from_slice(&[7; 20]);
            let start = Message::new(version, 1, 0).template(256, &plain_fields());
            let (rows, engine) = feed(&[start.set(256, &plain_records(0, 3)).raw(&set).bytes()]);
            assert_eq!((rows, engine.problems().get(Reason::SetLength)), (3, 1), "{version} {len}");
        }
    }
}

#[test]
fn templates_without_length_are_legal_and_never_loop() {
    let empty: [&[Field]; 3] = [&[], &[field(8, 0)], &[field(8, 0), field(12, 0)]];
    for version in [9, 10] {
        for fields in empty {
            let datagram = Message::new(version, 1, 0)
                .template(300, fields)
                .set(300, &[0xff; 64])
                .template(256, &plain_fields())
                .set(256, &plain_records(0, 2))
                .bytes();
            let (rows, engine) = feed(&[datagram]);
            assert_eq!(rows, 2);
            // An IPFIX template without fields is a withdrawal, and its data waits for another.
            let withdrawn = version == 10 && fields.is_empty();
            let problems = engine.problems().get(Reason::EmptyTemplate);
            assert_eq!(problems, u64::from(!withdrawn));
            assert_eq!(engine.usage().waiting_sets, usize::from(withdrawn));
        }
    }
}

/// A record's steps are at most its bytes, however many fields without length are declared.
#[test]
fn fields_without_length_cost_nothing_and_change_nothing() {
    let mut fields = vec![field(8, 0); 1_023];
    fields.push(field(82, VARIABLE));
    assert_eq!(Program::compile(10, &fields).fields, [field(82, VARIABLE)]);
    for version in [9, 10] {
        let (scope, rate) = (if version == 9 { 2 } else { 10 }, [0, 0, 0, 7, 0, 0, 0, 100]);
        let told = [field(scope, 0), field(scope, 4), field(34, 0), field(34, 4)];
        let datagram = Message::new(version, 1, 0)
            .options_template(300, 2, &told)
            .set(300, &rate)
            .template(256, &[field(2, 0), field(10, 4), field(1, 4)])
            .set(256, &[0, 0, 0, 7, 0, 0, 0, 3]);
        let mut engine = engine();
        engine.datagram(0, EXPORTER, &datagram.bytes());
        engine.flush_flows();
        let flows = engine.take_flows();
        let scaled = flows[0].batch["bytes_scaled"].as_primitive::<UInt64Type>();
        assert_eq!(scaled.value(0), 300, "{version}");
    }
}

#[test]
fn a_template_of_65535_fields_is_refused() {
    for version in [9, 10] {
        let mut body = 256u16.to_be_bytes().to_vec();
        body.extend_from_slice(&65_535u16.to_be_bytes());
        for _ in 0..16_000 {
            body.extend_from_slice(&[0, 1, 0, 4]);
        }
        let set = if version == 9 { 0 } else { 2 };
        let (_, engine) = feed(&[Message::new(version, 1, 0).set(set, &body).bytes()]);
        assert_eq!(engine.problems().get(Reason::TemplateSyntax), 1);
        let fields = vec![field(1, 4); 2_000];
        let (_, engine) = feed(&[Message::new(version, 1, 0).template(256, &fields).bytes()]);
        assert_eq!(engine.problems().get(Reason::TemplateTooLarge), 1);
        let long = vec![field(1, 60_000); 4];
        let (_, engine) = feed(&[Message::new(version, 1, 0).template(256, &long).bytes()]);
        assert_eq!(engine.problems().get(Reason::TemplateTooLarge), 1);
        assert_eq!(engine.usage().templates, 0);
    }
}

#[test]
fn a_variable_field_past_its_set_is_a_problem_and_the_records_before_it_are_kept() {
    let fields = [field(4, 1), field(82, VARIABLE)];
    let mut body = vec![6, 3, b'a', b'b', b'c', 17, 255, 0, 2, b'x', b'y', 6];
    body.extend_from_slice(&[255, 0xff, 0xff]);
    let datagram = Message::new(10, 1, 0).template(256, &fields).set(256, &body).bytes();
    let (rows, engine) = feed(&[datagram]);
    assert_eq!((rows, engine.problems().get(Reason::RecordTruncated)), (2, 1));
}

#[test]
fn every_table_has_its_limit() {
    let limits = Limits {
        exporters_max: 2,
        domains_max: 2,
        templates_max: 2,
        waiting_sets_max: 2,
        samplers_max: 2,
        ..Limits::default()
    };
    let mut engine = Engine::new(limits, "default", "test");
    let ip = |i: u8| IpAddr::V4(Ipv4Addr::new(192, 0, 2, i));
    for i in 0..4u8 {
        engine.datagram(0, ip(i), &Message::new(9, 0, 0).bytes());
        engine.datagram(0, ip(0), &Message::new(9, i.into(), 1).bytes());
        let template = Message::new(9, 0, 2).template(300 + u16::from(i), &plain_fields());
        engine.datagram(0, ip(0), &template.bytes());
        engine.datagram(0, ip(1), &Message::new(9, 0, i.into()).set(999, &[1; 8]).bytes());
        let sampler = Message::new(9, 0, 9)
            .options_template(400, 1, &[field(1, 4), field(48, 1), field(34, 4)])
            .set(400, &[0, 0, 0, 0, i, 0, 0, 0, 9])
            .bytes();
        engine.datagram(0, ip(0), &sampler);
    }
    let problem = |reason| engine.problems().get(reason);
    assert_eq!(problem(Reason::ExportersFull), 2);
    assert_eq!(problem(Reason::DomainsFull), 2);
    assert!(problem(Reason::TemplateEvicted) >= 2);
    assert_eq!(problem(Reason::WaitingFull), 2);
    assert_eq!(problem(Reason::SamplersFull), 2);
    assert_eq!(engine.exporters(), 2);
}

/// An exporter may write any number into the elements that together tell its sampling rate.
#[test]
fn sampling_rates_of_any_numbers_are_told_or_not() {
    const MAX: u64 = u64::MAX;
    let cases = [
        ((1, 10), Some(10)),
        ((4, 10), Some(3)),
        ((3, 10), Some(3)),
        ((0, 10), None),
        ((10, 0), None),
        ((1 << 63, MAX), Some(2)),
        ((MAX, MAX), Some(1)),
        ((1, MAX), None),
        ((2, MAX), None),
    ];
    for ((size, population), expected) in cases {
        let told = rate(None, None, Some((size, population)));
        assert_eq!(told, expected, "{size} of {population}");
        let left = population.saturating_sub(size);
        let told = rate(None, Some((size, left)), None);
        assert!(told == expected || population < size, "{size} taken, {left} left");
    }
    assert_eq!(rate(None, Some((MAX, 1)), None), None);
}

/// Forged addresses with many domains each would multiply the two limits.
#[test]
fn the_domains_of_all_exporters_together_have_a_limit() {
    let limits = Limits { domains_total_max: 3, exporter_idle_ms: 1_000, ..Limits::default() };
    let mut engine = Engine::new(limits, "default", "test");
    let ip = |i: u8| IpAddr::V4(Ipv4Addr::new(192, 0, 2, i));
    for i in 0..6u8 {
        engine.datagram(0, ip(i / 2), &Message::new(9, i.into(), 1).bytes());
    }
    assert_eq!((engine.usage().domains, engine.exporters()), (3, 2));
    assert_eq!(engine.problems().get(Reason::DomainsFull), 3);
    // What is forgotten makes room.
    engine.tick(60_000);
    assert_eq!((engine.usage().domains, engine.exporters()), (0, 0));
    engine.datagram(60_000, ip(9), &Message::new(9, 9, 1).bytes());
    assert_eq!(engine.usage().domains, 1);
}

/// Seeds of the mutations: made here, and real ones where they are.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![sample(9), sample(10), v5(0, 3_600_000, 5)];
    if let Some(folder) = data::folder("flows/vendor-datagrams") {
        let files = data::files(&folder, ".dat");
        seeds.extend(files.iter().map(|path| std::fs::read(path).expect("a file that was listed")));
    }
    seeds
}

/// `FUZZ_INPUTS=10000000 cargo test -p ingest mutated` for a long run.
fn inputs() -> i64 {
    let told = std::env::var("FUZZ_INPUTS").ok().and_then(|n| n.parse().ok());
    told.unwrap_or(150_000)
}

#[test]
fn mutated_datagrams_never_panic() {
    let (seeds, inputs) = (seeds(), inputs());
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_123);
    let mut engine = engine();
    for i in 0..inputs {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        let datagram = mutated(&mut rng, seed);
        engine.datagram(1_700_000_000_000 + i * 10, EXPORTER, &datagram);
        if i % 100 == 0 {
            engine.flush_flows();
            for flows in engine.take_flows() {
                model::schema::flows().conform(&flows.batch).expect("a batch as the contract says");
            }
            engine.take_metrics();
            engine.take_events();
            engine.take_changes();
            engine.take_rejects();
        }
    }
    let counts = engine.counts();
    println!(
        "{} datagrams, {} records, {} problems",
        counts.datagrams,
        counts.records,
        engine.problems().total()
    );
    assert_eq!(counts.datagrams, inputs as u64);
    assert!(counts.records > 0 && engine.problems().total() > 0);
}
