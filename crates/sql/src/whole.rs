//! A query over all the data at once, with all that DataFusion optimizes: the oracle that a cut
//! plan is compared with, and ad-hoc queries over what is in memory.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::collect;

use crate::drive::{guarded, on_deep_stack};
use crate::error::SqlError;
use crate::session::{self, Purpose};

/// Runs `sql` over `batches`, which are the whole of table `source` and share one schema.
pub fn run_whole(
    sql: &str,
    source: &str,
    batches: &[RecordBatch],
) -> Result<RecordBatch, SqlError> {
    let Some(first) = batches.first() else {
        return Err(SqlError::Source("no batch to take the schema of".into()));
    };
    let table = MemTable::try_new(first.schema(), vec![batches.to_vec()]);
    let run = || guarded(|| execute(sql, source, table?));
    on_deep_stack(run).unwrap_or_else(|panic| Err(SqlError::Panic(panic)))
}

fn execute(sql: &str, source: &str, table: MemTable) -> Result<RecordBatch> {
    let state = session::state_over(Purpose::Whole, source, Arc::new(table))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| DataFusionError::External(Box::new(e)))?;
    runtime.block_on(async {
        let context = SessionContext::new_with_state(state);
        let plan = context.sql(sql).await?.create_physical_plan().await?;
        let schema = plan.schema();
        let batches = collect(plan, context.task_ctx()).await?;
        Ok(concat_batches(&schema, &batches)?)
    })
}
