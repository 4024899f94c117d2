//! How fast the halves run: rows a second of the partial half for the queries of DESIGN §5, and
//! what a merge and a finish cost each time. One core, nothing else of ours running.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int64Array};
use arrow::record_batch::RecordBatch;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sql::CutPlan;

const ROWS: usize = 200_000;
const BATCH: usize = 5_000;
const GROUPS: u32 = 10_000;

const QUERIES: [(&str, &str); 6] = [
    (
        "count, sum, max by int",
        "SELECT k, count(*) AS n, sum(bytes) AS b, max(bytes) AS m FROM flows GROUP BY k",
    ),
    (
        "count, sum, max by address",
        "SELECT dst, count(*) AS n, sum(bytes) AS b, max(bytes) AS m FROM flows GROUP BY dst",
    ),
    (
        "the same, half filtered",
        "SELECT dst, count(*) AS n, sum(bytes) AS b, max(bytes) AS m FROM flows \
         WHERE bytes > 750 GROUP BY dst",
    ),
    ("approx_distinct", "SELECT k, approx_distinct(src) AS n FROM flows GROUP BY k"),
    ("count distinct", "SELECT k, count(DISTINCT src) AS n FROM flows GROUP BY k"),
    ("top_k", "SELECT k, top_k(src, bytes, 5) AS t FROM flows GROUP BY k"),
];

/// A table of the figures.
pub fn measure() -> Result<String> {
    let chunk = chunk()?;
    let mut table = String::new();
    writeln!(table, "{:<28}{:>14}{:>14}{:>14}", "query", "rows/s", "merge of 2", "finish")?;
    for (name, sql) in QUERIES {
        let plan = CutPlan::new(sql, "flows", chunk[0].schema())?;
        let state = plan.partial(&chunk)?;
        let partial = best(5, || plan.partial(&chunk).map(drop))?;
        let two = [state.clone(), state.clone()];
        let merge = best(5, || plan.merge(&two).map(drop))?;
        let finish = best(5, || plan.finish(std::slice::from_ref(&state)).map(drop))?;
        let (rate, merge, finish) = (ROWS as f64 / partial / 1e6, merge * 1e3, finish * 1e3);
        writeln!(table, "{name:<28}{rate:>12.1} M{merge:>11.2} ms{finish:>11.2} ms")?;
    }
    let (_, sql) = QUERIES[0];
    let plan = CutPlan::new(sql, "flows", chunk[0].schema())?;
    let small = plan.partial(&[chunk[0].slice(0, 10)])?;
    let few = [chunk[0].slice(0, 10)];
    let two = [small.clone(), small.clone()];
    let micros = |seconds: f64| seconds * 1e6;
    writeln!(
        table,
        "10 rows (fixed cost): partial {:.0} µs, merge {:.0} µs, finish {:.0} µs",
        micros(best(200, || plan.partial(&few).map(drop))?),
        micros(best(200, || plan.merge(&two).map(drop))?),
        micros(best(200, || plan.finish(&two).map(drop))?),
    )?;
    let planned = best(20, || CutPlan::new(sql, "flows", chunk[0].schema()).map(drop))?;
    writeln!(table, "planning: {:.2} ms", planned * 1e3)?;
    Ok(table)
}

/// The shortest of `times` runs, in seconds.
fn best<E>(times: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut shortest = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        run()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    Ok(shortest)
}

fn chunk() -> Result<Vec<RecordBatch>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut batches = vec![];
    for _ in 0..ROWS / BATCH {
        let groups: Vec<u32> = (0..BATCH).map(|_| rng.random_range(0..GROUPS)).collect();
        let k = Int64Array::from_iter_values(groups.iter().map(|&g| i64::from(g)));
        let bytes = Int64Array::from_iter_values((0..BATCH).map(|_| rng.random_range(0..1_500)));
        let sources: Vec<u32> = (0..BATCH).map(|_| rng.random_range(0..100_000)).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("k", Arc::new(k)),
            ("bytes", Arc::new(bytes)),
            ("dst", Arc::new(addresses(&groups)?)),
            ("src", Arc::new(addresses(&sources)?)),
        ];
        batches.push(RecordBatch::try_from_iter(columns)?);
    }
    Ok(batches)
}

fn addresses(numbers: &[u32]) -> Result<FixedSizeBinaryArray> {
    let mapped = numbers.iter().map(|n| (0xffff_0a00_0000u128 + u128::from(*n)).to_be_bytes());
    Ok(FixedSizeBinaryArray::try_from_iter(mapped)?)
}
