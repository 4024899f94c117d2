//! A rule without a window: one boolean expression, asked of each row of the source as it comes.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::check;
use crate::drive::{guarded, on_deep_stack};
use crate::error::{PlanError, Refusal, SqlError};
use crate::plan::{SQL_BYTES_MAX, refusal_of, syntax_error, too_large};
use crate::session::{self, Purpose};
use crate::state::fitted;
use crate::text::{Place, Text};

#[derive(Debug)]
pub struct RowFilter {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl RowFilter {
    /// `expr` is SQL over the columns of `schema`, without aggregates, windows and queries.
    pub fn new(expr: &str, schema: SchemaRef) -> Result<RowFilter, PlanError> {
        let text = Text::new(if expr.len() > SQL_BYTES_MAX { "" } else { expr });
        too_large(&text, expr)?;
        on_deep_stack(|| plan(&text, expr, schema)).unwrap_or_else(|panic| {
            let message = format!("the planner panicked: {panic}");
            Err(text.refuse(Refusal::Unknown, Place::START, message))
        })
    }

    /// The columns of the source that the expression reads, ascending.
    pub fn input_columns(&self) -> &[usize] {
        &self.columns
    }

    /// For each row of `batch`, which has the source's schema, whether it matches. Null is no.
    pub fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray, SqlError> {
        let rows = batch.num_rows();
        let batch =
            fitted(&self.schema, batch.columns().to_vec(), rows).map_err(SqlError::Source)?;
        let mask = guarded(|| self.predicate.evaluate(&batch)?.into_array(rows))?;
        match mask.as_boolean_opt() {
            Some(mask) if mask.null_count() > 0 => Ok(prep_null_mask_filter(mask)),
            Some(mask) => Ok(mask.clone()),
            None => Err(SqlError::Query(format!("the condition gave {}", mask.data_type()))),
        }
    }
}

fn plan(text: &Text<'_>, sql: &str, schema: SchemaRef) -> Result<RowFilter, PlanError> {
    let state = session::state(Purpose::Cut);
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(50);
    let parsed = parser.try_with_sql(sql).and_then(|mut parser| {
        let expr = parser.parse_expr()?;
        Ok((expr, parser.next_token()))
    });
    let (expr, end) = parsed.map_err(|e| syntax_error(text, e))?;
    if end.token != Token::EOF {
        let message = format!("nothing may follow the condition, found {}", end.token);
        return Err(text.refuse(Refusal::Syntax, text.span(end.span), message));
    }
    check::expression(text, &expr, state)?;
    let refused = |e: DataFusionError| refusal_of(text, &e);
    let known = DFSchema::try_from(schema.as_ref().clone()).map_err(refused)?;
    let logical = state.create_logical_expr(sql, &known).map_err(refused)?;
    let predicate = state.create_physical_expr(logical, &known).map_err(refused)?;
    let kind = predicate.data_type(&schema).map_err(refused)?;
    if kind != DataType::Boolean {
        let message = format!("the condition is {kind}, not true or false");
        return Err(text.refuse(Refusal::Unknown, text.first_word(), message));
    }
    let mut columns: Vec<usize> = collect_columns(&predicate).iter().map(|c| c.index()).collect();
    columns.sort_unstable();
    Ok(RowFilter { predicate, schema, columns })
}
