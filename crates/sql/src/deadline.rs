//! An end for a question's work: every operator of its plan looks at the clock between two batches.
//! A timer alone would only end the waiting, since an aggregate over a join of joins polls its
//! input in a loop that never yields.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures_util::StreamExt;

/// What an operator past its time says.
pub(crate) const PASSED: &str = "the time of the question has passed";

/// One operator with an end.
#[derive(Debug)]
struct DeadlineExec {
    input: Arc<dyn ExecutionPlan>,
    end: Instant,
}

/// The plan with every operator ending at `end`.
pub(crate) fn until(plan: Arc<dyn ExecutionPlan>, end: Instant) -> Result<Arc<dyn ExecutionPlan>> {
    let bounded = plan.transform_up(|input| {
        Ok(Transformed::yes(Arc::new(DeadlineExec { input, end }) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(bounded.data)
}

impl DisplayAs for DeadlineExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeadlineExec")
    }
}

impl ExecutionPlan for DeadlineExec {
    fn name(&self) -> &str {
        "DeadlineExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(DeadlineExec { input, end: self.end }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (input, end) = (self.input.execute(partition, context)?, self.end);
        let schema = input.schema();
        let bounded = input.map(move |batch| match Instant::now() < end {
            true => batch,
            false => Err(DataFusionError::Execution(PASSED.to_owned())),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, bounded)))
    }
}
