//! A question over what a store holds: one SELECT, limited in rows, time and memory. It reads the
//! tables that it is handed and nothing else: no file, no address, no session that outlives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures_util::StreamExt;

use crate::deadline;
use crate::drive::{message_of, on_deep_stack};
use crate::error::{PlanError, Refusal};
use crate::plan;
use crate::session::{self, Purpose};
use crate::text::Text;

/// What one question may take.
#[derive(Clone, Copy, Debug)]
pub struct AskLimits {
    /// Rows of the answer; what is beyond them is left out, and the answer says so.
    pub rows_max: usize,
    pub time: Duration,
    /// What sorting, joining and grouping may hold.
    pub memory_bytes_max: usize,
}

/// A table by its name, as the question finds it.
pub struct Asked {
    pub name: String,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// There were more rows than the limit.
    pub is_cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Refused(#[from] PlanError),
    #[error("it took longer than {0:?}: ask for less, or of fewer rows")]
    Time(Duration),
    #[error("it needs more than {0} bytes of memory: group or sort fewer rows")]
    Memory(usize),
    #[error("{0}")]
    Query(String),
    /// The query engine panicked; caught at this crate's boundary.
    #[error("query engine panicked: {0}")]
    Panic(String),
}

/// Whether a text may mean a table: only such need be made.
fn is_named(sql: &str, table: &str) -> bool {
    sql.to_ascii_lowercase().contains(&table.to_ascii_lowercase())
}

/// Answers `sql` over the tables that `tables` makes of the names among `known` that it may mean.
/// Blocks for at most about the limit's time.
pub fn ask(
    sql: &str,
    known: &[&str],
    tables: impl FnOnce(&[&str]) -> Vec<Asked> + Send,
    limits: AskLimits,
) -> Result<Answer, AskError> {
    let text = Text::new(sql);
    plan::too_large(&text, sql)?;
    let answered = on_deep_stack(move || {
        let statement = plan::parse(&text, sql)?;
        if !matches!(statement, Statement::Query(_)) {
            let message = "only a SELECT is answered: nothing here can be changed";
            return Err(text.refuse(Refusal::NotAQuery, text.first_word(), message).into());
        }
        let named: Vec<&str> = known.iter().copied().filter(|name| is_named(sql, name)).collect();
        run(&text, statement, tables(&named), limits)
    });
    answered.unwrap_or_else(|panic| Err(AskError::Panic(panic)))
}

fn run(
    text: &Text<'_>,
    statement: Statement,
    tables: Vec<Asked>,
    limits: AskLimits,
) -> Result<Answer, AskError> {
    let failed = |error: DataFusionError| failure(text, &error, limits);
    let context = context(tables, limits).map_err(failed)?;
    // The timer needs a runtime, and operators may spawn.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|e| AskError::Query(e.to_string()))?;
    let end = Instant::now() + limits.time;
    runtime.block_on(async {
        let answer = tokio::time::timeout(limits.time, answer(&context, statement, limits, end));
        match answer.await {
            Err(_) => Err(AskError::Time(limits.time)),
            Ok(answer) => answer.map_err(failed),
        }
    })
}

fn context(tables: Vec<Asked>, limits: AskLimits) -> Result<SessionContext> {
    let table = |asked: Asked| -> Result<(String, Arc<dyn TableProvider>)> {
        let table = MemTable::try_new(asked.schema, vec![asked.batches])?;
        Ok((asked.name, Arc::new(table)))
    };
    let tables = tables.into_iter().map(table).collect::<Result<Vec<_>>>()?;
    let state = session::state_of(Purpose::Whole, tables)?;
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(limits.memory_bytes_max, 1.0)
        .with_disk_manager_builder(no_disk)
        .build_arc()?;
    let builder = SessionStateBuilder::new_from_existing(state).with_runtime_env(runtime);
    Ok(SessionContext::new_with_state(builder.build()))
}

async fn answer(
    context: &SessionContext,
    statement: Statement,
    limits: AskLimits,
    end: Instant,
) -> Result<Answer> {
    let state = context.state();
    let logical = state.statement_to_plan(DfStatement::Statement(Box::new(statement))).await?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
    read_only.with_allow_statements(false).verify_plan(&logical)?;
    let plan: Arc<dyn ExecutionPlan> = state.create_physical_plan(&logical).await?;
    let schema = plan.schema();
    let plan = deadline::until(plan, end)?;
    let mut stream = execute_stream(plan, context.task_ctx())?;
    let (mut batches, mut left, mut is_cut) = (Vec::new(), limits.rows_max, false);
    while let Some(batch) = stream.next().await {
        // What is always ready would starve the timer.
        tokio::task::yield_now().await;
        let batch = batch?;
        if batch.num_rows() > left {
            batches.push(batch.slice(0, left));
            is_cut = true;
            break;
        }
        left -= batch.num_rows();
        batches.push(batch);
    }
    Ok(Answer { schema, batches, is_cut })
}

/// What the engine says, in our words where a limit was met.
fn failure(text: &Text<'_>, error: &DataFusionError, limits: AskLimits) -> AskError {
    match error.find_root() {
        DataFusionError::Execution(why) if why == deadline::PASSED => AskError::Time(limits.time),
        DataFusionError::ResourcesExhausted(_) => AskError::Memory(limits.memory_bytes_max),
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
            AskError::Refused(plan::refusal_of(text, error))
        }
        _ => AskError::Query(message_of(error)),
    }
}
