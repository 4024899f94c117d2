//! One rule's SQL, planned once and cut between the two phases of its aggregate. The partial half
//! runs where the rows are, the final half where the states meet; Kafka is the exchange.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::DATAFUSION_VERSION;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::common::collect;
use sha2::{Digest, Sha256};

use crate::drive::{block_on, guarded, on_deep_stack};
use crate::error::{PlanError, Refusal, SqlError};
use crate::numbered::{Half, Numbered};
use crate::numbers::Numbers;
use crate::order::{self, MergeOrder};
use crate::plan::{self, Pieces};
use crate::probe;
use crate::session::Purpose;
use crate::state::{Pair, fitted, sorted};
use crate::text::{Place, Text};

/// Raised when the rows of a state mean something else than before, under the same plan.
const STATE_FORMAT: u32 = 1;

/// An output column that is a group key as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputKey {
    pub name: String,
    /// Its column in the output.
    pub output: usize,
    /// Its column among the group columns of a state row.
    pub group: usize,
}

pub struct CutPlan {
    pieces: Pieces,
    /// The aggregates over numbers of groups, where the keys can be numbered.
    numbered: Option<Numbered>,
    fingerprint: String,
    state_schema: SchemaRef,
    keys: Vec<OutputKey>,
    order: MergeOrder,
}

impl std::fmt::Debug for CutPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CutPlan {} of\n{}", self.fingerprint, self.pieces.normal)
    }
}

impl CutPlan {
    /// Plans `sql`, whose one table is `source` with the columns of `schema`. Refuses what cannot
    /// be cut (DESIGN §5), with its place.
    pub fn new(sql: &str, source: &str, schema: SchemaRef) -> Result<CutPlan, PlanError> {
        CutPlan::planned(Purpose::Cut, sql, source, schema)
    }

    /// As `new`, with the optimizer rule left in that must not meet a cut: the mutation by which
    /// `cargo xtask cut` shows that it can fail.
    pub fn mutated(sql: &str, source: &str, schema: SchemaRef) -> Result<CutPlan, PlanError> {
        CutPlan::planned(Purpose::Mutated, sql, source, schema)
    }

    fn planned(
        purpose: Purpose,
        sql: &str,
        source: &str,
        schema: SchemaRef,
    ) -> Result<CutPlan, PlanError> {
        let text = Text::new(if sql.len() > plan::SQL_BYTES_MAX { "" } else { sql });
        plan::too_large(&text, sql)?;
        let planned = on_deep_stack(|| {
            let plan = CutPlan::of(plan::plan(purpose, sql, source, schema)?);
            probe::check(&plan).map_err(|e| plan::refusal_said(&text, e))?;
            Ok(plan)
        });
        planned.unwrap_or_else(|panic| {
            let message = format!("the planner panicked: {panic}");
            Err(text.refuse(Refusal::Unknown, Place::START, message))
        })
    }

    fn of(pieces: Pieces) -> CutPlan {
        let aggregate = pieces.partial.downcast_ref::<AggregateExec>();
        let aggregates = aggregate.map(|a| a.aggr_expr()).unwrap_or_default();
        let order = order::of_plan(aggregates);
        let state_schema = pieces.partial.schema();
        CutPlan {
            numbered: numbered(&pieces),
            fingerprint: fingerprint(&pieces.normal, &state_schema),
            keys: output_keys(&pieces),
            state_schema,
            order,
            pieces,
        }
    }

    /// 16 hexadecimal digits that name plan, state columns and their format.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The columns of the source that the plan reads, ascending.
    pub fn input_columns(&self) -> &[usize] {
        self.pieces.leaf.columns()
    }

    /// The schema of `input_columns`, as `partial_projected` takes it.
    pub fn source_schema(&self) -> SchemaRef {
        Arc::clone(self.pieces.leaf.rows_schema())
    }

    /// Group columns first, then the aggregates' states.
    pub fn state_schema(&self) -> SchemaRef {
        Arc::clone(&self.state_schema)
    }

    /// How many leading columns of a state row are its group; 0 without GROUP BY.
    pub fn group_columns(&self) -> usize {
        self.pieces.group_columns
    }

    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.pieces.output)
    }

    /// The output columns that are group keys as they came.
    pub fn output_keys(&self) -> &[OutputKey] {
        &self.keys
    }

    /// Whether the order of merging cannot change the result. Otherwise states must be kept per
    /// source partition and merged in order of its number.
    pub fn exact_merge(&self) -> bool {
        self.order == MergeOrder::Free
    }

    /// The partial half over the rows of one chunk and pane, each batch with the source's schema.
    /// One state row a group, groups in the order of their first row. Without GROUP BY there is
    /// one row, also for no rows at all.
    pub fn partial(&self, chunk: &[RecordBatch]) -> Result<RecordBatch, SqlError> {
        let columns = self.input_columns();
        let project = |batch: &RecordBatch| {
            let missing = || SqlError::Source(format!("{} columns", batch.num_columns()));
            let picked = columns.iter().map(|&c| batch.columns().get(c).cloned());
            let picked = picked.collect::<Option<Vec<_>>>().ok_or_else(missing)?;
            self.source_rows(picked, batch.num_rows())
        };
        let rows = chunk.iter().map(project).collect::<Result<Vec<_>, _>>()?;
        self.partial_of(rows)
    }

    /// The same over batches that have only `input_columns`, in that order.
    pub fn partial_projected(&self, chunk: &[RecordBatch]) -> Result<RecordBatch, SqlError> {
        let fit =
            |batch: &RecordBatch| self.source_rows(batch.columns().to_vec(), batch.num_rows());
        let rows = chunk.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
        self.partial_of(rows)
    }

    fn source_rows(
        &self,
        columns: Vec<arrow::array::ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch, SqlError> {
        fitted(self.pieces.leaf.rows_schema(), columns, rows).map_err(SqlError::Source)
    }

    fn partial_of(&self, rows: Vec<RecordBatch>) -> Result<RecordBatch, SqlError> {
        guarded(|| {
            let mut node = self.pieces.leaf.with_rows(rows);
            for above in self.pieces.below.iter().rev() {
                node = plan::over(above, node)?;
            }
            let Some(numbered) = &self.numbered else {
                return self.run(plan::over(&self.pieces.partial, node)?, &self.state_schema);
            };
            let (rows, numbers) = numbered.rows(self.batches(node)?)?;
            self.run_numbered(&numbered.partial, rows, &numbers, &self.state_schema)
        })
    }

    /// Merges states into one, in the order given. Each element holds a group at most once: one
    /// chunk's state, or an earlier merge. `merge([merge([a, b]), c])` is `merge([a, b, c])`, bit
    /// for bit.
    pub fn merge(&self, states: &[RecordBatch]) -> Result<RecordBatch, SqlError> {
        let mut states = self.state_rows(states)?;
        if states.len() == 1 {
            return Ok(states.remove(0));
        }
        if self.order != MergeOrder::Stepwise || states.is_empty() {
            return self.reduce(states);
        }
        let mut rest = states.into_iter();
        let first = rest.next().unwrap_or_else(|| RecordBatch::new_empty(self.state_schema()));
        rest.try_fold(first, |merged, next| self.step(merged, next))
    }

    /// Merges two states of a plan where each merge leaves its mark: a group that only one of them
    /// has passes untouched, or the result would depend on what other groups came with it.
    fn step(&self, a: RecordBatch, b: RecordBatch) -> Result<RecordBatch, SqlError> {
        let groups = self.pieces.group_columns;
        let pair = guarded(|| Pair::of(a, b, groups))?;
        if pair.is_disjoint() {
            return guarded(|| pair.joined(None));
        }
        let (a, b) = guarded(|| pair.shared())?;
        let merged = self.reduce(vec![a, b])?;
        guarded(|| pair.joined(Some(merged)))
    }

    /// The final half and what stands above it. Rows are sorted by group key, so that they do not
    /// depend on the order of groups in the states.
    pub fn finish(&self, states: &[RecordBatch]) -> Result<RecordBatch, SqlError> {
        let states = match self.order {
            MergeOrder::Stepwise if states.len() > 1 => vec![self.merge(states)?],
            _ => self.state_rows(states)?,
        };
        guarded(|| {
            let last = self.final_half(states)?;
            let mut batch = sorted(last, self.pieces.group_columns)?;
            for step in &self.pieces.above {
                batch = step.run(batch)?;
            }
            Ok(batch)
        })
    }

    fn final_half(&self, states: Vec<RecordBatch>) -> DfResult<RecordBatch> {
        let schema = self.pieces.last.schema();
        let Some(numbered) = &self.numbered else {
            let leaf = self.pieces.state_leaf.with_rows(states);
            return self.run(plan::over(&self.pieces.last, leaf)?, &schema);
        };
        let (states, numbers) = numbered.states(states)?;
        self.run_numbered(&numbered.last, states, &numbers, &schema)
    }

    fn reduce(&self, states: Vec<RecordBatch>) -> Result<RecordBatch, SqlError> {
        guarded(|| {
            let Some(numbered) = &self.numbered else {
                let leaf = self.pieces.state_leaf.with_rows(states);
                return self.run(plan::over(&self.pieces.reduce, leaf)?, &self.state_schema);
            };
            let (states, numbers) = numbered.states(states)?;
            self.run_numbered(&numbered.reduce, states, &numbers, &self.state_schema)
        })
    }

    fn state_rows(&self, states: &[RecordBatch]) -> Result<Vec<RecordBatch>, SqlError> {
        let fit = |s: &RecordBatch| fitted(&self.state_schema, s.columns().to_vec(), s.num_rows());
        states.iter().map(fit).collect::<Result<_, _>>().map_err(SqlError::State)
    }

    /// Runs an aggregate over numbers, and puts the keys back.
    fn run_numbered(
        &self,
        half: &Half,
        rows: Vec<RecordBatch>,
        numbers: &Numbers,
        schema: &SchemaRef,
    ) -> DfResult<RecordBatch> {
        let batch = self.all(half.over(rows)?)?;
        let columns = numbers.in_place_of_first(&batch)?;
        fitted(schema, columns, batch.num_rows()).map_err(DataFusionError::Internal)
    }

    fn run(&self, node: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> DfResult<RecordBatch> {
        let batch = self.all(node)?;
        fitted(schema, batch.columns().to_vec(), batch.num_rows())
            .map_err(DataFusionError::Internal)
    }

    fn all(&self, node: Arc<dyn ExecutionPlan>) -> DfResult<RecordBatch> {
        let schema = node.schema();
        let mut batches = self.batches(node)?;
        match batches.len() {
            1 => Ok(batches.remove(0)),
            _ => Ok(concat_batches(&schema, &batches)?),
        }
    }

    fn batches(&self, node: Arc<dyn ExecutionPlan>) -> DfResult<Vec<RecordBatch>> {
        block_on(collect(node.execute(0, Arc::clone(&self.pieces.context))?))
    }

    /// The plan as DataFusion prints it, for `gannet check --dump`.
    pub fn explain(&self) -> &str {
        &self.pieces.normal
    }
}

/// Without numbers the aggregates run over the keys as they are.
fn numbered(pieces: &Pieces) -> Option<Numbered> {
    let partial = pieces.partial.downcast_ref::<AggregateExec>()?;
    let last = pieces.last.downcast_ref::<AggregateExec>()?;
    Numbered::of(partial, last).ok().flatten()
}

fn output_keys(pieces: &Pieces) -> Vec<OutputKey> {
    let last = pieces.last.schema();
    let groups = pieces.group_columns;
    let start = (0..last.fields().len()).map(|c| (c < groups).then_some(c)).collect::<Vec<_>>();
    let traced = pieces.above.iter().fold(start, |keys, step| step.trace(&keys));
    let named = traced.iter().enumerate().filter_map(|(output, group)| {
        let name = pieces.output.field(output).name().clone();
        group.map(|group| OutputKey { name, output, group })
    });
    named.collect()
}

fn fingerprint(normal: &str, state: &SchemaRef) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("state {STATE_FORMAT}, datafusion {DATAFUSION_VERSION}\n{normal}"));
    for field in state.fields() {
        hash.update(format!("{}:{}:{}\n", field.name(), field.data_type(), field.is_nullable()));
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
