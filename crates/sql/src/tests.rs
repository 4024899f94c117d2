//! What a cut plan promises, over small data: refusals with their places, states that merge in any
//! grouping, results that do not depend on arrival, and no text that makes it panic.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Float64Array, Int64Array, StringArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    CutPlan, PlanError, RowFilter, SqlError, check_sql, row_bytes, run_whole, state_bytes,
};

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("word", DataType::Utf8, true),
        Field::new("bytes", DataType::Int64, true),
        Field::new("rate", DataType::Float64, true),
        Field::new("dst", DataType::FixedSizeBinary(16), true),
    ]))
}

pub(crate) fn rows(seed: u64, rows: usize) -> RecordBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let k: Vec<i64> = (0..rows).map(|_| rng.random_range(0..9)).collect();
    let word: Vec<Option<String>> = (0..rows)
        .map(|_| rng.random_bool(0.9).then(|| format!("w{}", rng.random_range(0..5))))
        .collect();
    let bytes: Vec<Option<i64>> =
        (0..rows).map(|_| rng.random_bool(0.9).then(|| rng.random_range(-50..5_000))).collect();
    let rate: Vec<f64> = (0..rows).map(|_| 10f64.powf(rng.random_range(-3.0..5.0))).collect();
    let dst: Vec<[u8; 16]> = (0..rows)
        .map(|_| {
            let v4 = [10, 0, rng.random_range(0..3), rng.random_range(0..9)];
            std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets()
        })
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(k)),
        Arc::new(StringArray::from(word)),
        Arc::new(Int64Array::from(bytes)),
        Arc::new(Float64Array::from(rate)),
        Arc::new(FixedSizeBinaryArray::try_from_iter(dst.into_iter()).unwrap()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn plan(sql: &str) -> CutPlan {
    CutPlan::new(sql, "flows", schema()).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn refused(sql: &str) -> PlanError {
    match CutPlan::new(sql, "flows", schema()) {
        Ok(_) => panic!("not refused: {sql}"),
        Err(e) => e,
    }
}

/// Everything that does not commute, and some that does.
const MIXED: &str = "SELECT k, count(*) AS n, sum(rate) AS s, avg(rate) AS a, stddev(rate) AS d, \
    count(DISTINCT word) AS w, sum(DISTINCT rate) AS sd, median(rate) AS m, \
    approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY rate) AS p, array_agg(word) AS l, \
    top_k(dst, bytes, 3) AS t, corr(rate, bytes) AS c FROM flows WHERE bytes > 0 GROUP BY k";

#[test]
fn refusals_name_the_place() {
    let texts = [
        "SELECT k, count(*) AS n\nFROM flows\nGROUP BY k\nORDER BY n",
        "SELECT k, count(*) FROM flows GROUP BY k LIMIT 5",
        "SELECT k, count(*) FROM flows GROUP BY k OFFSET 5",
        "SELECT k, count(*) FROM flows GROUP BY k FETCH FIRST 3 ROWS ONLY",
        "SELECT k, rank() OVER (ORDER BY k) FROM flows",
        "SELECT k, first_value(bytes) FROM flows GROUP BY k",
        "SELECT k, array_agg(word ORDER BY bytes) FROM flows GROUP BY k",
        "SELECT max(n) FROM (SELECT k, count(*) AS n FROM flows GROUP BY k)",
        "SELECT DISTINCT count(*) FROM flows GROUP BY k",
        "SELECT sum(count(*)) FROM flows GROUP BY k",
        "SELECT count(*) FROM flows a JOIN flows b ON a.k = b.k",
        "SELECT count(*) FROM flows WHERE k IN (SELECT 1)",
        "SELECT count(*) FROM flows UNION SELECT count(*) FROM flows",
        "SELECT count(*) FROM generate_series(1, 9)",
        "SELECT count(*)",
        "SELECT count(*) FROM flow",
        "SELECT k FROM flows WHERE k > 1",
        "SELECT count(*) FROM flows WHERE 1 = 2",
        "SELECT count(*) FROM flows WHERE random() < 0.5",
        "SELECT sum(byts) AS b FROM flows",
        "SELECT smu(bytes) AS b FROM flows",
        "SELECT sum(word) FROM flows",
        "SELECT in_prefix(dst, '10/99'), count(*) FROM flows GROUP BY 1",
        "SELECT count(* FROM flows",
        "SELECT 'open FROM flows",
        "DELETE FROM flows",
        "SELECT count(*) FROM flows; SELECT 1",
        "",
    ];
    let printed = texts.map(|sql| {
        let error = refused(sql);
        format!("{}: {error}\n", error.refusal)
    });
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn a_refusal_never_points_beside_the_text() {
    let long =
        format!("SELECT count(*) FROM flows WHERE k IN ({}) LIMIT 1", "1, ".repeat(300) + "1");
    let error = refused(&long);
    assert_eq!((error.line, error.column), (1, long.find("LIMIT").unwrap() + 1));
    assert!(error.snippet.lines().all(|line| line.len() < 110), "{}", error.snippet);
    assert!(error.snippet.contains("LIMIT 1"));
}

#[test]
fn large_and_deep_texts_are_refused() {
    let wide = format!("SELECT count(*) FROM flows WHERE k = 1{}", " ".repeat(20_000));
    assert_eq!(refused(&wide).refusal.as_str(), "too-large");
    let sum = format!("SELECT sum(k{}) FROM flows", "+k".repeat(3_000));
    assert_eq!(refused(&sum).refusal.as_str(), "too-large");
    // The parser gives up on these at its own depth, with either word.
    let deep = format!("SELECT {}k{} FROM flows", "(".repeat(3_000), ")".repeat(3_000));
    let nots = format!("SELECT count(*) FROM flows WHERE {}true", "NOT ".repeat(3_000));
    for sql in [deep, nots] {
        assert!(["too-large", "syntax"].contains(&refused(&sql).refusal.as_str()));
    }
}

/// Two of these in each other took 7 GB to plan.
#[test]
fn functions_that_multiply_texts_are_unknown() {
    for call in
        ["replace('b', 'a', 'aaa')", "regexp_replace('b', 'a', 'aaa', 'g')", "repeat('b', 9)"]
    {
        let error = refused(&format!("SELECT max({}) AS n FROM flows", call));
        assert_eq!(error.refusal.as_str(), "unknown", "{error}");
    }
}

#[test]
fn a_plan_says_what_it_reads_and_gives() {
    let plan = plan("SELECT dst, k + 1 AS next, sum(bytes) AS b FROM flows GROUP BY k, dst");
    assert_eq!(plan.input_columns(), [0, 2, 4]);
    assert_eq!(plan.group_columns(), 2);
    let names: Vec<_> = plan.output_schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["dst", "next", "b"]);
    let keys: Vec<_> = plan.output_keys().iter().map(|k| (k.name.as_str(), k.output)).collect();
    assert_eq!(keys, [("dst", 0)]);
    assert!(plan.exact_merge());
    assert!(!super::tests::plan(MIXED).exact_merge());
}

#[test]
fn fingerprints_follow_the_meaning() {
    let a = plan("SELECT k, sum(bytes) AS b FROM flows WHERE k > 3 GROUP BY k");
    let same = plan("select k,\n  sum(bytes) as b\nfrom flows -- note\nwhere k > 3 group by k");
    assert_eq!(a.fingerprint(), same.fingerprint());
    assert_eq!(a.fingerprint().len(), 16);
    let other = plan("SELECT k, sum(bytes) AS b FROM flows WHERE k > 4 GROUP BY k");
    assert_ne!(a.fingerprint(), other.fingerprint());
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("added", DataType::Utf8, true)));
    let grown = Arc::new(Schema::new(fields));
    let sql = "SELECT k, sum(bytes) AS b FROM flows WHERE k > 3 GROUP BY k";
    assert_eq!(a.fingerprint(), CutPlan::new(sql, "flows", grown).unwrap().fingerprint());
}

#[test]
fn count_distinct_alone_is_exact() {
    let batches: Vec<_> = (0..24).map(|i| rows(i, 100)).collect();
    let sql = "SELECT count(DISTINCT bytes) AS n FROM flows";
    let plan = plan(sql);
    let mut states: Vec<_> =
        batches.iter().map(|b| plan.partial(std::slice::from_ref(b)).unwrap()).collect();
    states.reverse();
    let whole = run_whole(sql, "flows", &batches).unwrap();
    let n = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().value(0);
    assert!(n(&whole) > 1_000);
    assert_eq!(n(&plan.finish(&states).unwrap()), n(&whole));
    assert_eq!(n(&plan.finish(&[plan.merge(&states).unwrap()]).unwrap()), n(&whole));
}

#[test]
fn merges_group_as_they_like() {
    let plan = plan(MIXED);
    let states: Vec<_> = (0..7).map(|i| plan.partial(&[rows(i, 300)]).unwrap()).collect();
    let at_once = plan.merge(&states).unwrap();
    for cut in 1..7 {
        let first = plan.merge(&states[..cut]).unwrap();
        let mut rest = vec![first];
        rest.extend_from_slice(&states[cut..]);
        assert_eq!(plan.merge(&rest).unwrap(), at_once, "cut after {cut}");
        assert_eq!(plan.finish(&rest).unwrap(), plan.finish(&states).unwrap());
    }
    assert_eq!(plan.merge(&[at_once.clone()]).unwrap(), at_once);
}

/// A group's state may not depend on which other groups came in the same message.
#[test]
fn other_groups_leave_no_mark() {
    let plan = plan(MIXED);
    let states: Vec<_> = (0..7).map(|i| plan.partial(&[rows(i, 40)]).unwrap()).collect();
    let all = plan.finish(&states).unwrap();
    for group in 0..9 {
        let own = |state: &RecordBatch| {
            let keys = state.column(0).as_primitive::<Int64Type>();
            let row = keys.values().iter().position(|&k| k == group)?;
            Some(state.slice(row, 1))
        };
        let alone: Vec<_> = states.iter().filter_map(own).collect();
        let alone = plan.finish(&alone).unwrap();
        assert_eq!(alone, all.slice(group as usize, 1), "group {group}");
    }
}

#[test]
fn exact_results_do_not_depend_on_arrival() {
    let sql = "SELECT k, word, count(*) AS n, sum(bytes) AS b, min(rate) AS lo, max(rate) AS hi, \
        median(rate) AS m, approx_distinct(dst) AS d, count(DISTINCT dst) AS e FROM flows \
        GROUP BY k, word HAVING count(*) > 2";
    let plan = plan(sql);
    assert!(plan.exact_merge());
    let mut states: Vec<_> = (0..9).map(|i| plan.partial(&[rows(i, 200)]).unwrap()).collect();
    let expected = plan.finish(&states).unwrap();
    assert!(expected.num_rows() > 20);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..10 {
        states.shuffle(&mut rng);
        assert_eq!(plan.finish(&states).unwrap(), expected);
        assert_eq!(plan.finish(&[plan.merge(&states).unwrap()]).unwrap(), expected);
    }
}

#[test]
fn partial_states_are_the_same_each_time() {
    let batches = [rows(1, 500), rows(2, 500)];
    let expected = plan(MIXED).partial(&batches).unwrap();
    for _ in 0..3 {
        let plan = plan(MIXED);
        assert_eq!(plan.partial(&batches).unwrap(), expected);
        let projected: Vec<_> =
            batches.iter().map(|b| b.project(plan.input_columns()).unwrap()).collect();
        assert_eq!(plan.partial_projected(&projected).unwrap(), expected);
    }
}

#[test]
fn many_groups_come_out_once_each_and_sorted() {
    let n = 20_000i64;
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
    let keys: Vec<i64> = (0..n).map(|i| (i * 7_919) % n).collect();
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(keys))]);
    let batch = batch.unwrap();
    let plan = CutPlan::new("SELECT k, count(*) AS n FROM flows GROUP BY k", "flows", schema);
    let plan = plan.unwrap();
    let state = plan.partial(&[batch.clone(), batch]).unwrap();
    assert_eq!(state.num_rows(), n as usize);
    let result = plan.finish(&[state.clone(), state]).unwrap();
    let keys = result.column(0).as_primitive::<Int64Type>().values();
    assert!(keys.windows(2).all(|w| w[0] < w[1]));
    assert!(result.column(1).as_primitive::<Int64Type>().values().iter().all(|&n| n == 4));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let plan = plan("SELECT k, sum(bytes) AS b FROM flows GROUP BY k");
    let strange = RecordBatch::try_from_iter([("k", Arc::new(StringArray::from(vec!["x"])) as _)]);
    let strange = strange.unwrap();
    assert!(matches!(plan.partial(&[strange.clone()]), Err(SqlError::Source(_))));
    assert!(matches!(plan.merge(&[strange.clone()]), Err(SqlError::State(_))));
    assert!(matches!(plan.finish(&[strange]), Err(SqlError::State(_))));
}

#[test]
fn a_failing_row_is_an_error_and_the_plan_lives() {
    let plan = plan("SELECT k, sum(10 / (bytes - 1)) AS b FROM flows GROUP BY k");
    let mut batch = rows(1, 3);
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1]));
    let columns = batch.columns().iter().enumerate();
    let columns = columns.map(|(i, c)| if i == 2 { ones.clone() } else { c.clone() }).collect();
    batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let error = plan.partial(&[batch]).unwrap_err();
    assert!(matches!(error, SqlError::Query(_)), "{error}");
    assert!(plan.partial(&[rows(3, 10)]).is_ok());
}

#[test]
fn without_groups_there_is_one_row_even_for_none() {
    let plan = plan("SELECT count(*) AS n, max(bytes) AS m FROM flows");
    let none = plan.partial(&[]).unwrap();
    assert_eq!(none.num_rows(), 1);
    let result = plan.finish(&[none]).unwrap();
    assert_eq!(result.column(0).as_primitive::<Int64Type>().value(0), 0);
    assert!(result.column(1).is_null(0));
    assert_eq!(plan.finish(&[]).unwrap(), result);
}

#[test]
fn state_is_measured_by_row() {
    let plan = plan(MIXED);
    let state = plan.partial(&[rows(1, 900)]).unwrap();
    let each = row_bytes(&state);
    assert_eq!(each.len(), state.num_rows());
    assert!(each.iter().all(|&bytes| bytes > 100));
    assert_eq!(each.iter().sum::<usize>(), state_bytes(&state));
    let twice = plan.merge(&[state.clone(), plan.partial(&[rows(2, 900)]).unwrap()]).unwrap();
    assert!(state_bytes(&twice) > state_bytes(&state));
}

#[test]
fn a_row_filter_matches_rows() {
    let filter = RowFilter::new("word = 'w1' AND bytes > 10", schema()).unwrap();
    assert_eq!(filter.input_columns(), [1, 2]);
    let batch = rows(4, 400);
    let found = filter.matches(&batch).unwrap();
    let sql = "SELECT count(*) FROM flows WHERE word = 'w1' AND bytes > 10";
    let whole = run_whole(sql, "flows", &[batch]).unwrap();
    assert_eq!(found.true_count() as i64, whole.column(0).as_primitive::<Int64Type>().value(0));
    assert!(found.true_count() > 10);
    assert_eq!(arrow::array::Array::null_count(&found), 0);
}

#[test]
fn a_row_filter_refuses_what_is_no_condition() {
    let texts = [
        "bytes + 1",
        "count(*) > 1",
        "now() > 1",
        "bytes > 1 LIMIT 5",
        "bytes > (SELECT 1)",
        "byts > 1",
        "bytes >",
    ];
    let printed = texts.map(|text| {
        let error = RowFilter::new(text, schema()).unwrap_err();
        format!("{}: {error}\n", error.refusal)
    });
    insta::assert_snapshot!(printed.join("\n"));
}

/// Words, cuts and doublings of real queries: none may panic or hang.
#[test]
fn mutated_sql_never_panics() {
    let seeds = [MIXED, "SELECT k, count(*) FROM flows WHERE in_prefix(dst, '::/0') GROUP BY k"];
    let scraps = [
        "(",
        ")",
        ",",
        "'",
        "\"",
        "*",
        "GROUP BY",
        "SELECT",
        "FROM",
        "DISTINCT",
        "OVER",
        "NULL",
        "CASE",
        "WHEN",
        "[",
        "]",
        "::int",
        "-- ",
        "/*",
        "\u{0}",
        "é",
        "1e999",
        "99999999999999999999",
        "INTERVAL '1 day'",
        "ARRAY[1]",
        "::",
        "||",
        "{",
        "}",
        "@",
        "$1",
        ":x",
        "?",
        ";",
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for round in 0..600 {
        let mut words: Vec<&str> = seeds[round % 2].split_inclusive([' ', '(', ',']).collect();
        for _ in 0..rng.random_range(1..5) {
            let at = rng.random_range(0..words.len());
            match rng.random_range(0..4) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, scraps[rng.random_range(0..scraps.len())]),
                2 => {
                    let again = words[rng.random_range(0..words.len())];
                    words.insert(at, again);
                }
                _ => {
                    let other = rng.random_range(0..words.len());
                    words.swap(at, other);
                }
            }
        }
        check_sql(&words.concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_text_is_answered(sql in "\\PC{0,60}") {
        check_sql(&sql);
    }
}
