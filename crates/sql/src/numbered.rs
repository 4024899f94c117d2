//! The halves of a plan over numbers instead of its group keys (`numbers` says why): the same
//! aggregates, grouped by one column of numbers, and the keys put back at the end. Groups come in
//! the order of their first row, as without.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};

use crate::leaf::Leaf;
use crate::numbers::{self, Numbers};
use crate::plan::over;

/// A plan whose group keys can be numbered.
pub(crate) struct Numbered {
    /// The group expressions over the rows under the partial half.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    kinds: Vec<DataType>,
    pub partial: Half,
    pub reduce: Half,
    pub last: Half,
}

/// One aggregate, grouped by a number column of its input.
pub(crate) struct Half {
    node: Arc<dyn ExecutionPlan>,
    leaf: Leaf,
}

// === impl Numbered ===

impl Numbered {
    /// `None` where numbers would be wrong, or no gain.
    pub fn of(partial: &AggregateExec, last: &AggregateExec) -> Result<Option<Numbered>> {
        let by = partial.group_expr();
        let keys = by.input_exprs();
        let rows = partial.input().schema();
        let kinds = keys.iter().map(|key| key.data_type(&rows)).collect::<Result<Vec<_>>>()?;
        if by.has_grouping_set() || !numbers::are_worth_it(&kinds) {
            return Ok(None);
        }
        let states = last.input().schema();
        let number = numbers::field();
        let numbered_rows = with_fields(rows.fields().iter().chain([&number]));
        let states = with_fields([&number].into_iter().chain(&states.fields()[keys.len()..]));
        let at_end = numbered_rows.fields().len() - 1;
        let filters = partial.filter_expr().to_vec();
        let none = vec![None; last.aggr_expr().len()];
        let reduce = AggregateMode::PartialReduce;
        Ok(Some(Numbered {
            partial: Half::new(partial, AggregateMode::Partial, filters, numbered_rows, at_end)?,
            reduce: Half::new(last, reduce, none.clone(), Arc::clone(&states), 0)?,
            last: Half::new(last, AggregateMode::Final, none, states, 0)?,
            keys,
            kinds,
        }))
    }

    /// Rows under the partial half with their numbers.
    pub fn rows(&self, rows: Vec<RecordBatch>) -> Result<(Vec<RecordBatch>, Numbers)> {
        let mut numbers = Numbers::new(&self.kinds, all_rows(&rows));
        let mut numbered = Vec::with_capacity(rows.len());
        for batch in rows {
            let key =
                |key: &Arc<dyn PhysicalExpr>| key.evaluate(&batch)?.into_array(batch.num_rows());
            let keys = self.keys.iter().map(key).collect::<Result<Vec<_>>>()?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(numbers.of(&keys)?));
            numbered.push(built(self.partial.leaf.rows_schema(), columns, batch.num_rows())?);
        }
        Ok((numbered, numbers))
    }

    /// State rows with numbers in place of their keys.
    pub fn states(&self, states: Vec<RecordBatch>) -> Result<(Vec<RecordBatch>, Numbers)> {
        let mut numbers = Numbers::new(&self.kinds, all_rows(&states));
        let mut numbered = Vec::with_capacity(states.len());
        for state in states {
            let (keys, rest) = state.columns().split_at(self.keys.len());
            let number: ArrayRef = Arc::new(numbers.of(keys)?);
            let columns = std::iter::once(number).chain(rest.iter().cloned()).collect();
            numbered.push(built(self.reduce.leaf.rows_schema(), columns, state.num_rows())?);
        }
        Ok((numbered, numbers))
    }
}

// === impl Half ===

impl Half {
    fn new(
        like: &AggregateExec,
        mode: AggregateMode,
        filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
        rows: SchemaRef,
        number_at: usize,
    ) -> Result<Half> {
        let name = numbers::field().name().clone();
        let number: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, number_at));
        let by = PhysicalGroupBy::new_single(vec![(number, name)]);
        let leaf = Leaf::new(Arc::clone(&rows), vec![]);
        let input_schema = match mode {
            AggregateMode::Partial => rows,
            _ => like.input_schema(),
        };
        let aggregates = like.aggr_expr().to_vec();
        let child = leaf.with_rows(vec![]);
        let node = AggregateExec::try_new(mode, by, aggregates, filters, child, input_schema)?;
        Ok(Half { node: Arc::new(node), leaf })
    }

    /// The aggregate over `rows`.
    pub fn over(&self, rows: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        over(&self.node, self.leaf.with_rows(rows))
    }
}

fn with_fields<'a>(fields: impl Iterator<Item = &'a Arc<Field>>) -> SchemaRef {
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

fn all_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn built(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(DataFusionError::from)
}
