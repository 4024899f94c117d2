//! Functions by their results, and the promises of summaries and extremes under any merging.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Float64Array, Int64Array, StringArray,
};
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;

use super::summary::{Key, Summary};
use crate::tests::{plan, rows};
use crate::{CutPlan, RowFilter, run_whole};

fn addresses(texts: &[&str]) -> RecordBatch {
    let octets = |text: &&str| match text.parse().unwrap() {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    let column = FixedSizeBinaryArray::try_from_iter(texts.iter().map(octets)).unwrap();
    let n = Int64Array::from_iter_values(0..texts.len() as i64);
    let columns: [(&str, ArrayRef); 2] = [("a", Arc::new(column)), ("n", Arc::new(n))];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn addresses_are_printed_tested_and_cut() {
    let batch = addresses(&["10.1.2.3", "192.0.2.255", "2001:db8:1:2::3", "::", "::1"]);
    let sql = "SELECT n, ip(a) AS ip, is_v4(a) AS v4, in_prefix(a, '10.0.0.0/8') AS ten, \
        in_prefix(a, '2001:db8::/32') AS doc, in_prefix(a, '::/0') AS every, \
        in_prefix(a, '0.0.0.0/0') AS all4, ip(prefix(a, 24, 48)) AS net, \
        a = addr('192.0.2.255') AS same, ip(addr('nonsense' || ip(a))) AS no FROM t ORDER BY n";
    let result = run_whole(sql, "t", &[batch]).unwrap();
    insta::assert_snapshot!(pretty_format_batches(&[result]).unwrap());
}

#[test]
fn wrong_constants_are_refused_with_the_rule() {
    let schema = addresses(&["::"]).schema();
    for text in [
        "in_prefix(a, '10.0.0.0/33')",
        "in_prefix(a, 'ten')",
        "in_prefix(a, ip(a))",
        "prefix(a, 33, 64) = a",
        "prefix(a, 24) = a",
        "prefix(a, n, n) = a",
        "a = addr('10.0.0')",
        "ip(n) = 'x'",
    ] {
        assert!(RowFilter::new(text, schema.clone()).is_err(), "{text}");
    }
    for text in [
        "top_k(a)",
        "top_k(a, n, 0)",
        "top_k(a, n, n)",
        "top_k(a, a)",
        "top_k(DISTINCT a, n)",
        "top_k(1.5, n)",
    ] {
        let sql = format!("SELECT {text} FROM t");
        assert!(CutPlan::new(&sql, "t", schema.clone()).is_err(), "{text}");
    }
}

#[test]
fn extremes_do_not_depend_on_the_order() {
    let odd = [1.0, f64::NAN, -f64::NAN, 2.0, -0.0, 0.0, f64::NEG_INFINITY, f64::INFINITY];
    let schema = RecordBatch::try_from_iter([("x", Arc::new(Float64Array::from(vec![1.0])) as _)]);
    let schema = schema.unwrap().schema();
    for sql in [
        "SELECT min(x) AS lo, max(x) AS hi FROM t",
        "SELECT x IS NULL AS g, min(x) AS lo, max(x) AS hi FROM t GROUP BY x IS NULL",
    ] {
        let plan = CutPlan::new(sql, "t", schema.clone()).unwrap();
        let bits = |values: &[f64]| {
            let state = |v: &f64| {
                let column = Arc::new(Float64Array::from(vec![Some(*v)]));
                let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
                plan.partial(&[batch]).unwrap()
            };
            let states: Vec<_> = values.iter().map(state).collect();
            let result = plan.finish(&states).unwrap();
            let at = result.num_columns() - 2;
            let value =
                |c: usize| result.column(c).as_primitive::<Float64Type>().value(0).to_bits();
            (value(at), value(at + 1))
        };
        for from in 0..odd.len() {
            let mut turned = odd;
            turned.rotate_left(from);
            assert_eq!(bits(&turned), (f64::NEG_INFINITY.to_bits(), f64::NAN.to_bits()));
            let pair = [odd[from], odd[(from + 1) % odd.len()]];
            assert_eq!(bits(&pair), bits(&[pair[1], pair[0]]), "{pair:?}");
        }
        assert_eq!(bits(&[0.0, -0.0]), ((-0.0f64).to_bits(), 0.0f64.to_bits()));
        assert_eq!(bits(&[f64::NEG_INFINITY]).1, f64::NEG_INFINITY.to_bits());
    }
}

#[test]
fn top_k_names_the_heaviest() {
    let plan = plan("SELECT top_k(dst, bytes, 2) AS top, top_k(word, 1) AS words FROM flows");
    let state = |i| plan.partial(&[rows(i, 500)]).unwrap();
    let cut = plan.finish(&[state(1), state(2)]).unwrap();
    let sql = "SELECT top_k(dst, bytes, 2) AS top, top_k(word, 1) AS words FROM flows";
    let whole = run_whole(sql, "flows", &[rows(1, 500), rows(2, 500)]).unwrap();
    assert_eq!(cut, whole);
    let exact = "SELECT ip(dst) AS name, sum(bytes) AS weight FROM flows WHERE bytes > 0 \
        GROUP BY dst ORDER BY weight DESC, name LIMIT 1";
    let exact = run_whole(exact, "flows", &[rows(1, 500), rows(2, 500)]).unwrap();
    let first = cut.column(0).as_list::<i32>().value(0);
    let first = first.as_struct();
    assert_eq!(
        first.column(0).as_string::<i32>().value(0),
        exact.column(0).as_string::<i32>().value(0)
    );
    assert_eq!(&first.column(1).slice(0, 1), exact.column(1));
    assert_eq!(first.column(0).len(), 2);
}

#[test]
fn few_keys_are_counted_exactly() {
    let mut one = Summary::<i64>::new(8);
    let mut two = Summary::<i64>::new(8);
    for i in 0..1_000i64 {
        let summary = if i % 3 == 0 { &mut one } else { &mut two };
        summary.add(Some(&[(i % 8) as u8]), i);
        summary.add(None, 1);
        summary.add(Some(b"x"), -5);
    }
    let entries = two.entries();
    one.merge(two.total(), entries.iter().map(|(k, w)| (k.as_ref(), *w)));
    assert_eq!(one.total(), 499_500 + 1_000);
    let sevens: i64 = (0..1_000).filter(|i| i % 8 == 7).sum();
    assert_eq!(one.heaviest(1), [(Key::new(&[7]), sevens)]);
    // A key of any length is one key, short ones and long ones.
    let (long, mut of_long) = ([9u8; 40], Summary::<i64>::new(8));
    (0..2).for_each(|_| of_long.add(Some(&long), 5));
    assert_eq!(of_long.heaviest(1), [(Key::new(&long), 10)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Counted weights are never high, and low by at most W / (c + 1), however it was merged.
    #[test]
    fn summaries_keep_their_bound(
        stream in prop::collection::vec((0u8..60, 1i64..1_000), 1..600),
        cuts in prop::collection::vec(1usize..50, 1..20),
    ) {
        let capacity = 10;
        let mut truth: BTreeMap<u8, i64> = BTreeMap::new();
        let mut merged = Summary::<i64>::new(capacity);
        let (mut rest, mut cut) = (stream.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let len = (*cut.next().unwrap()).min(rest.len());
            let mut part = Summary::<i64>::new(capacity);
            for (key, weight) in &rest[..len] {
                part.add(Some(&[*key]), *weight);
                *truth.entry(*key).or_default() += weight;
            }
            let entries = part.entries();
            merged.merge(part.total(), entries.iter().map(|(k, w)| (k.as_ref(), *w)));
            rest = &rest[len..];
        }
        let total: i64 = truth.values().sum();
        prop_assert_eq!(merged.total(), total);
        let entries: BTreeMap<u8, i64> =
            merged.entries().iter().map(|(k, w)| (k.as_ref()[0], *w)).collect();
        prop_assert!(entries.len() <= capacity);
        for (key, weight) in truth {
            let counted = entries.get(&key).copied().unwrap_or(0);
            prop_assert!(counted <= weight);
            prop_assert!((weight - counted) * (capacity as i64 + 1) <= total);
        }
    }
}

#[test]
fn strings_and_numbers_are_rendered() {
    let batch = RecordBatch::try_from_iter([
        ("s", Arc::new(StringArray::from(vec!["lyon", "lyon", "oslo"])) as ArrayRef),
        ("i", Arc::new(Int64Array::from(vec![-5, -5, 7])) as ArrayRef),
    ]);
    let sql = "SELECT top_k(s, i + 10) AS s, top_k(i, 1.5) AS i FROM t";
    let result = run_whole(sql, "t", &[batch.unwrap()]).unwrap();
    insta::assert_snapshot!(pretty_format_batches(&[result]).unwrap());
}
