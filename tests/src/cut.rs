//! The cut check: every query over the whole data with plain DataFusion, and cut in two over 1, 4
//! and 12 source partitions, 1 and 3 instances, in shuffled arrival, its states as Arrow IPC. The
//! results must be equal, exactly or within the stated bound; what cannot be cut must be refused
//! with its place. Kafka is not needed for it: the exchange is simulated by `cluster`.

mod cluster;
mod compare;
mod data;
mod queries;
mod speed;

use std::fmt;

use sql::{CutPlan, PlanError};

use self::compare::Bound;
use self::queries::{Expect, Query};
pub use self::speed::measure;

pub struct CutOptions {
    /// A dozen queries only.
    pub short: bool,
    pub seed: u64,
}

/// What became of one query.
pub struct Line {
    pub name: &'static str,
    pub sql: String,
    pub verdict: Verdict,
}

pub enum Verdict {
    /// Ran, equal to the whole as expected.
    Ran {
        note: String,
    },
    /// Was refused, as expected.
    Refused {
        error: PlanError,
    },
    Failed {
        why: String,
    },
}

pub struct CutReport {
    pub lines: Vec<Line>,
    /// Aggregates of DataFusion that no query covers.
    pub uncovered: Vec<String>,
}

impl CutReport {
    pub fn ran(&self) -> usize {
        self.lines.iter().filter(|l| matches!(l.verdict, Verdict::Ran { .. })).count()
    }

    pub fn refused(&self) -> usize {
        self.lines.iter().filter(|l| matches!(l.verdict, Verdict::Refused { .. })).count()
    }

    /// With one more for the list of aggregates as a whole.
    pub fn failed(&self) -> usize {
        let failed = self.lines.iter().filter(|l| matches!(l.verdict, Verdict::Failed { .. }));
        failed.count() + usize::from(!self.uncovered.is_empty())
    }

    pub fn passed(&self) -> usize {
        self.ran() + self.refused()
    }
}

impl fmt::Display for CutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match &line.verdict {
                Verdict::Ran { note } => writeln!(f, "ran      {:<22} {}", line.name, line.sql)
                    .and_then(|()| writeln!(f, "{:>31} {note}", ""))?,
                Verdict::Refused { error } => {
                    writeln!(f, "refused  {:<22} {}", line.name, line.sql)?;
                    writeln!(f, "{}: {error}", error.refusal)?;
                }
                Verdict::Failed { why } => {
                    writeln!(f, "FAILED   {:<22} {}\n         {why}", line.name, line.sql)?;
                }
            }
        }
        for name in &self.uncovered {
            writeln!(f, "FAILED   aggregate {name} is in no query")?;
        }
        writeln!(
            f,
            "{} queries: {} ran, {} refused",
            self.lines.len(),
            self.ran(),
            self.refused()
        )?;
        write!(f, "{} passed, {} failed, 0 skipped", self.passed(), self.failed())
    }
}

pub fn run(options: CutOptions) -> CutReport {
    let all = queries::all();
    let uncovered = queries::uncovered(&all);
    let chosen = all.into_iter().filter(|q| !options.short || q.short);
    let data = data::Data::new(options.seed);
    let lines = chosen.map(|query| {
        let verdict = judge(&query, &data, options.seed);
        Line { name: query.name, sql: query.sql.to_string(), verdict }
    });
    CutReport { lines: lines.collect(), uncovered }
}

fn judge(query: &Query, data: &data::Data, seed: u64) -> Verdict {
    let planned = CutPlan::new(query.sql, data::SOURCE, data.schema());
    match (&query.expect, planned) {
        (Expect::Refused(reason), Err(error)) if error.refusal == *reason => {
            Verdict::Refused { error }
        }
        (Expect::Refused(reason), Err(error)) => {
            Verdict::Failed { why: format!("refused as {}, not {reason}: {error}", error.refusal) }
        }
        (Expect::Refused(reason), Ok(_)) => {
            Verdict::Failed { why: format!("ran, must be refused as {reason}") }
        }
        (Expect::Runs(_), Err(error)) => Verdict::Failed { why: format!("refused: {error}") },
        (Expect::Runs(bound), Ok(plan)) => match compared(query.sql, &plan, *bound, data, seed) {
            Ok(note) => Verdict::Ran { note },
            Err(e) => Verdict::Failed { why: format!("{e:#}") },
        },
    }
}

/// All clusters against the whole, and against each other bit for bit.
fn compared(
    sql: &str,
    plan: &CutPlan,
    bound: Bound,
    data: &data::Data,
    seed: u64,
) -> anyhow::Result<String> {
    let whole = sql::run_whole(sql, data::SOURCE, data.batches())?;
    let mut widest = 0.0f64;
    for partitions in [1, 4, 12] {
        let log = data.partitioned(partitions, seed);
        let mut first: Option<arrow::record_batch::RecordBatch> = None;
        for instances in [1, 3] {
            for arrival in 0..2u64 {
                let cluster = cluster::Cluster { sql, instances, seed: seed ^ (arrival + 1) };
                let result = cluster.run(&log, data.schema())?;
                widest = widest.max(compare::within(&whole, &result, bound).map_err(|e| {
                    e.context(format!("{partitions} partitions, {instances} instances"))
                })?);
                match &first {
                    Some(first) => compare::identical(first, &result)?,
                    None => first = Some(result),
                }
            }
        }
    }
    let order = if plan.exact_merge() { "any order" } else { "fixed order" };
    Ok(format!("{}, {order}, {} rows", bound.note(widest), whole.num_rows()))
}
