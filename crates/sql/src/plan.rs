//! From a rule's text to the pieces that the two halves run: parse, check, plan, and take the
//! two-phase aggregate apart. Runs once a rule, at load.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions, displayable,
};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::check::{self, Walked};
use crate::drive::{block_on, message_of};
use crate::error::{PlanError, Refusal};
use crate::leaf::Leaf;
use crate::session::{self, Purpose};
use crate::steps::Step;
use crate::text::{Place, Text, place_in_message};

/// Longest SQL that is parsed. The shipped rules have a few hundred bytes.
pub(crate) const SQL_BYTES_MAX: usize = 16 << 10;
/// Parentheses and the like that the parser descends into.
const PARSER_DEPTH_MAX: usize = 50;

/// A plan taken apart. From the bottom: leaf, `below`, partial, (exchange), final, `above`.
pub(crate) struct Pieces {
    pub leaf: Leaf,
    /// Filters and projections between leaf and partial half, the topmost first.
    pub below: Vec<Arc<dyn ExecutionPlan>>,
    pub partial: Arc<dyn ExecutionPlan>,
    /// Merges state rows into state rows; over a leaf of its own.
    pub reduce: Arc<dyn ExecutionPlan>,
    /// Makes results of state rows; over the same leaf.
    pub last: Arc<dyn ExecutionPlan>,
    pub state_leaf: Leaf,
    /// What stands above the aggregate, the lowest first.
    pub above: Vec<Step>,
    pub group_columns: usize,
    pub output: SchemaRef,
    pub context: Arc<TaskContext>,
    /// The plan as text, which is what the fingerprint is taken of.
    pub normal: String,
}

pub(crate) fn plan(
    purpose: Purpose,
    sql: &str,
    source: &str,
    schema: SchemaRef,
) -> Result<Pieces, PlanError> {
    let text = Text::new(sql);
    let statement = parse(&text, sql)?;
    let table = session::source_table(schema);
    let state = session::state_over(purpose, source, table)
        .map_err(|e| text.refuse(Refusal::Unknown, Place::START, message_of(&e)))?;
    let walked = check::query(&text, &statement, source, &state)?;
    let logical = logical(&text, statement, &state)?;
    judge(&text, &logical, &walked)?;
    let physical = block_on(state.query_planner().create_physical_plan(&logical, &state));
    let physical = physical.map_err(|e| refusal_of(&text, &e))?;
    take_apart(&physical, &state).map_err(|e| match e {
        Apart::Shape(node) => {
            let message = format!("a plan with {node} cannot be cut in two phases");
            text.refuse(Refusal::Shape, walked.select_place(), message)
        }
        Apart::Engine(e) => refusal_of(&text, &e),
    })
}

pub(crate) fn too_large(text: &Text<'_>, sql: &str) -> Result<(), PlanError> {
    if sql.len() <= SQL_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{} bytes of SQL, at most {SQL_BYTES_MAX} are read", sql.len());
    Err(text.refuse(Refusal::TooLarge, Place::START, message))
}

pub(crate) fn parse(text: &Text<'_>, sql: &str) -> Result<Statement, PlanError> {
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(PARSER_DEPTH_MAX);
    let parsed = parser.try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| syntax_error(text, e))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(text.refuse(Refusal::Syntax, Place::START, "no SQL here")),
        (Some(_), false) => {
            let message = format!("{} statements, one is wanted", statements.len() + 1);
            Err(text.refuse(Refusal::Syntax, text.first_word(), message))
        }
    }
}

pub(crate) fn syntax_error(text: &Text<'_>, error: ParserError) -> PlanError {
    match error {
        ParserError::RecursionLimitExceeded => {
            let message = format!("SQL nests deeper than {PARSER_DEPTH_MAX}");
            text.refuse(Refusal::TooLarge, text.first_word(), message)
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            match place_in_message(&message) {
                Some((location, said)) => text.refuse(Refusal::Syntax, text.at(location), said),
                None => text.refuse(Refusal::Syntax, text.end(), message),
            }
        }
    }
}

fn logical(
    text: &Text<'_>,
    statement: Statement,
    state: &SessionState,
) -> Result<LogicalPlan, PlanError> {
    let statement = DfStatement::Statement(Box::new(statement));
    let plan = block_on(state.statement_to_plan(statement));
    let plan = plan.and_then(|plan| state.optimize(&plan));
    plan.map_err(|e| refusal_of(text, &e))
}

/// What the optimized plan shows: exactly one aggregate over rows of the source.
fn judge(text: &Text<'_>, plan: &LogicalPlan, walked: &Walked) -> Result<(), PlanError> {
    let (mut aggregates, mut sources, mut empty) = (0, 0, false);
    let _ = plan.apply(|node| {
        match node {
            LogicalPlan::Aggregate(_) => aggregates += 1,
            LogicalPlan::TableScan(_) => sources += 1,
            LogicalPlan::EmptyRelation(_) => empty = true,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if aggregates > 1 {
        let message = "aggregates over each other cannot be cut: only one would be distributed";
        return Err(text.refuse(Refusal::Nested, walked.nested_place(), message));
    }
    if empty && sources == 0 {
        let message = "the condition is always false: the rule would read nothing";
        return Err(text.refuse(Refusal::Shape, walked.where_place(), message));
    }
    if aggregates == 0 {
        let message = "no aggregate: a rule with a window needs one (count, sum, GROUP BY, …)";
        return Err(text.refuse(Refusal::NoAggregate, walked.select_place(), message));
    }
    Ok(())
}

/// A planner's error with its place: its own diagnostic, else the first name that it quotes.
pub(crate) fn refusal_of(text: &Text<'_>, error: &DataFusionError) -> PlanError {
    let mut message = message_of(error);
    if let Some(cut) = message.find("\n").or_else(|| message.find(", errors: ")) {
        message.truncate(cut);
    }
    let span = error.diagnostic().and_then(|d| d.span);
    match span {
        Some(span) => {
            let location = Location { line: span.start.line, column: span.start.column };
            text.refuse(Refusal::Unknown, text.at(location), message)
        }
        None => refusal_said(text, message),
    }
}

/// A message without a place: at the first name of the text that it quotes.
pub(crate) fn refusal_said(text: &Text<'_>, message: String) -> PlanError {
    let place = quoted(&message).and_then(|name| text.identifier(name));
    text.refuse(Refusal::Unknown, place.unwrap_or_else(|| text.first_word()), message)
}

fn quoted(message: &str) -> Option<&str> {
    let mut parts = message.split(['\'', '"', '`']);
    parts.nth(1).map(|name| name.split('(').next().unwrap_or(name))
}

enum Apart {
    /// A node that has no place in a cut plan.
    Shape(String),
    Engine(DataFusionError),
}

impl From<DataFusionError> for Apart {
    fn from(error: DataFusionError) -> Self {
        Apart::Engine(error)
    }
}

fn take_apart(root: &Arc<dyn ExecutionPlan>, state: &SessionState) -> Result<Pieces, Apart> {
    let mut above = vec![];
    let mut node = root;
    while let Some(step) = Step::of(node) {
        above.push(step);
        node = only_child(node)?;
    }
    above.reverse();
    let last = aggregate(node, AggregateMode::Final)?;
    let partial = aggregate(last.input(), AggregateMode::Partial)?;
    let mut below = vec![];
    let mut node = partial.input();
    while Step::of(node).is_some() {
        below.push(Arc::clone(node));
        node = only_child(node)?;
    }
    let Some(leaf) = node.downcast_ref::<Leaf>() else {
        return Err(Apart::Shape(node.name().to_string()));
    };
    let state_leaf = Leaf::new(last.input().schema(), vec![]);
    let empty = state_leaf.with_rows(vec![]);
    Ok(Pieces {
        leaf: leaf.clone(),
        below,
        partial: Arc::clone(last.input()),
        reduce: reduce(last, Arc::clone(&empty))?,
        last: recomputed(Arc::new(last.clone()), empty)?,
        state_leaf,
        above,
        group_columns: last.group_expr().expr().len(),
        output: root.schema(),
        context: state.task_ctx(),
        normal: displayable(root.as_ref()).indent(false).to_string(),
    })
}

fn only_child(node: &Arc<dyn ExecutionPlan>) -> Result<&Arc<dyn ExecutionPlan>, Apart> {
    match node.children().as_slice() {
        [one] => Ok(one),
        _ => Err(Apart::Shape(node.name().to_string())),
    }
}

fn aggregate(node: &Arc<dyn ExecutionPlan>, mode: AggregateMode) -> Result<&AggregateExec, Apart> {
    match node.downcast_ref::<AggregateExec>() {
        Some(found) if *found.mode() == mode && found.limit_options().is_none() => Ok(found),
        Some(found) => Err(Apart::Shape(format!("an aggregate in mode {:?}", found.mode()))),
        None => Err(Apart::Shape(node.name().to_string())),
    }
}

/// The final half as one that merges state rows into state rows.
fn reduce(
    last: &AggregateExec,
    child: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let aggregates = last.aggr_expr().to_vec();
    let no_filters = vec![None; aggregates.len()];
    let group = last.group_expr().clone();
    let mode = AggregateMode::PartialReduce;
    let schema = last.input_schema();
    let reduce = AggregateExec::try_new(mode, group, aggregates, no_filters, child, schema)?;
    Ok(Arc::new(reduce))
}

fn recomputed(
    node: Arc<dyn ExecutionPlan>,
    child: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(vec![child], options)
}

/// `node` over `child`, whose properties are those of the child that it was planned with. A fresh
/// instance: a run's metrics would otherwise grow with every run.
pub(crate) fn over(
    node: &Arc<dyn ExecutionPlan>,
    child: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(node).replace_children(vec![child], options)
}
