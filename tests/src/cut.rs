//! The cut check: every query over the whole data with plain DataFusion, and cut in two over 1, 4
//! and 12 source partitions, 1 and 3 instances, in shuffled arrival, its states as Arrow IPC. The
//! results must be equal, exactly or within the stated bound; what cannot be cut must be refused
//! with its place. Kafka is not needed for it: the exchange is simulated by `cluster`. Two
//! mutations, switched on by the check itself, must make it fail.

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

/// A defect that the check must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// The optimizer rule that nests two aggregates is left in the planner.
    NestedDistinct,
    /// The first state of each source partition is merged twice.
    StateTwice,
}

/// What became of a mutation: the query by which it was seen, and how.
pub struct Mutated {
    pub name: &'static str,
    pub seen: Option<String>,
}

pub struct CutReport {
    pub lines: Vec<Line>,
    pub mutations: Vec<Mutated>,
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
        let unseen = self.mutations.iter().filter(|mutation| mutation.seen.is_none());
        failed.count() + unseen.count() + usize::from(!self.uncovered.is_empty())
    }

    pub fn passed(&self) -> usize {
        let seen = self.mutations.iter().filter(|mutation| mutation.seen.is_some());
        self.ran() + self.refused() + seen.count()
    }
}

// === impl Mutation ===

impl Mutation {
    const ALL: [Mutation; 2] = [Mutation::NestedDistinct, Mutation::StateTwice];

    fn name(self) -> &'static str {
        match self {
            Mutation::NestedDistinct => "single_distinct_aggregation_to_group_by left in",
            Mutation::StateTwice => "a state merged twice",
        }
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
        for Mutated { name, seen } in &self.mutations {
            match seen {
                Some(seen) => writeln!(f, "seen     mutation: {name}\n         {seen}")?,
                None => writeln!(f, "FAILED   mutation: {name}: nothing noticed it")?,
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
    let data = data::Data::new(options.seed);
    let mutated = |mutation: Mutation| {
        let seen = all.iter().find_map(|query| noticed(query, &data, options.seed, mutation));
        Mutated { name: mutation.name(), seen }
    };
    let mutations = Mutation::ALL.map(mutated).into();
    let chosen = all.iter().filter(|q| !options.short || q.short);
    let lines = chosen.map(|query| {
        let verdict = judge(query, &data, options.seed, None);
        Line { name: query.name, sql: query.sql.to_string(), verdict }
    });
    CutReport { lines: lines.collect(), mutations, uncovered }
}

/// How a query that must run fails under a mutation.
fn noticed(query: &Query, data: &data::Data, seed: u64, mutation: Mutation) -> Option<String> {
    if !matches!(query.expect, Expect::Runs(_)) {
        return None;
    }
    match judge(query, data, seed, Some(mutation)) {
        Verdict::Failed { why } => Some(format!("{}: {why}", query.name)),
        Verdict::Ran { .. } | Verdict::Refused { .. } => None,
    }
}

fn plan(
    sql: &str,
    schema: arrow::datatypes::SchemaRef,
    mutation: Option<Mutation>,
) -> Result<CutPlan, PlanError> {
    match mutation {
        Some(Mutation::NestedDistinct) => CutPlan::mutated(sql, data::SOURCE, schema),
        Some(Mutation::StateTwice) | None => CutPlan::new(sql, data::SOURCE, schema),
    }
}

fn judge(query: &Query, data: &data::Data, seed: u64, mutation: Option<Mutation>) -> Verdict {
    let planned = plan(query.sql, data.schema(), mutation);
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
        (Expect::Runs(bound), Ok(plan)) => {
            let run = Compared { sql: query.sql, bound: *bound, data, seed, mutation };
            match run.whole_and_clusters(&plan) {
                Ok(note) => Verdict::Ran { note },
                Err(e) => Verdict::Failed { why: format!("{e:#}") },
            }
        }
    }
}

/// A query that is run whole and in clusters.
struct Compared<'a> {
    sql: &'a str,
    bound: Bound,
    data: &'a data::Data,
    seed: u64,
    mutation: Option<Mutation>,
}

impl Compared<'_> {
    /// All clusters against the whole, and against each other bit for bit.
    fn whole_and_clusters(&self, plan: &CutPlan) -> anyhow::Result<String> {
        let Compared { sql, bound, data, seed, mutation } = *self;
        let whole = sql::run_whole(sql, data::SOURCE, data.batches())?;
        let mut widest = 0.0f64;
        for partitions in [1, 4, 12] {
            let log = data.partitioned(partitions, seed);
            let mut first: Option<arrow::record_batch::RecordBatch> = None;
            for instances in [1, 3] {
                for arrival in 0..2u64 {
                    let seed = seed ^ (arrival + 1);
                    let cluster = cluster::Cluster { sql, instances, seed, mutation };
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
}
