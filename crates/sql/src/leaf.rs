//! The bottom of every plan: the source as a table to plan over, and the leaf that holds the rows
//! of one run. A leaf with other rows keeps its properties, so the nodes above need no planning.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};

/// The one table of a rule. It has no rows and no statistics: nothing may be answered from it.
#[derive(Debug)]
pub(crate) struct Source {
    schema: SchemaRef,
}

impl Source {
    pub fn new(schema: SchemaRef) -> Self {
        Source { schema }
    }

    fn leaf(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&columns)?);
        Ok(Arc::new(Leaf::new(schema, columns)))
    }
}

type Scan<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for Source {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // What `#[async_trait]` writes for the trait's `async fn scan`.
    fn scan<'a, 'b, 'c, 'd, 'r>(
        &'a self,
        _state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        _filters: &'d [Expr],
        _limit: Option<usize>,
    ) -> Scan<'r>
    where
        'a: 'r,
        'b: 'r,
        'c: 'r,
        'd: 'r,
        Self: 'r,
    {
        let leaf = self.leaf(projection);
        Box::pin(async move { leaf })
    }
}

/// Rows in memory under a plan.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    schema: SchemaRef,
    /// Which columns of the source these are.
    columns: Vec<usize>,
    rows: Vec<RecordBatch>,
    properties: Arc<PlanProperties>,
}

impl Leaf {
    pub fn new(schema: SchemaRef, columns: Vec<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = properties.with_scheduling_type(SchedulingType::Cooperative);
        Leaf { schema, columns, rows: vec![], properties: Arc::new(properties) }
    }

    /// The same leaf over `rows`, which have its schema.
    pub fn with_rows(&self, rows: Vec<RecordBatch>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Leaf { rows, ..self.clone() })
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub fn rows_schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl DisplayAs for Leaf {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf: ")?;
        for field in self.schema.fields() {
            write!(f, "{}:{} ", field.name(), field.data_type())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for Leaf {
    fn name(&self) -> &str {
        "Leaf"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, part: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if part != 0 {
            return Err(DataFusionError::Internal(format!("leaf has one partition, not {part}")));
        }
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(MemoryStream::try_new(self.rows.clone(), schema, None)?))
    }
}
