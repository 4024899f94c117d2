//! What stands above the aggregate (projection, HAVING), taken out of the plan and evaluated on one
//! batch of results. The rows keep their order.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Project { exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    Filter { predicate: Arc<dyn PhysicalExpr>, columns: Option<Vec<usize>> },
}

impl Step {
    /// The step that a node is, unless it is neither filter nor projection.
    pub fn of(node: &Arc<dyn ExecutionPlan>) -> Option<Step> {
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let exprs = projection.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
            return Some(Step::Project { exprs, schema: node.schema() });
        }
        let filter = node.downcast_ref::<FilterExec>()?;
        if filter.fetch().is_some() {
            return None;
        }
        let columns = filter.projection().as_ref().map(|columns| columns.to_vec());
        Some(Step::Filter { predicate: Arc::clone(filter.predicate()), columns })
    }

    pub fn run(&self, batch: RecordBatch) -> Result<RecordBatch> {
        match self {
            Step::Project { exprs, schema } => {
                let rows = batch.num_rows();
                let evaluate = |e: &Arc<dyn PhysicalExpr>| e.evaluate(&batch)?.into_array(rows);
                let columns = exprs.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let schema = Arc::clone(schema);
                Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
            }
            Step::Filter { predicate, columns } => {
                let mask = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                let Some(mask) = mask.as_boolean_opt() else {
                    return Err(DataFusionError::Execution("HAVING is not boolean".into()));
                };
                let kept = filter_record_batch(&batch, mask)?;
                match columns {
                    Some(columns) => Ok(kept.project(columns)?),
                    None => Ok(kept),
                }
            }
        }
    }

    /// Where each output column comes from unchanged, given where the input columns do.
    pub fn trace(&self, keys: &[Option<usize>]) -> Vec<Option<usize>> {
        match self {
            Step::Project { exprs, .. } => {
                let source = |e: &Arc<dyn PhysicalExpr>| {
                    let column = e.downcast_ref::<Column>()?;
                    keys.get(column.index()).copied().flatten()
                };
                exprs.iter().map(source).collect()
            }
            Step::Filter { columns: Some(columns), .. } => {
                columns.iter().map(|&c| keys.get(c).copied().flatten()).collect()
            }
            Step::Filter { .. } => keys.to_vec(),
        }
    }
}
