//! Walks a rule's syntax tree before it is planned and refuses what DESIGN §5 says cannot be cut,
//! each with its place. What only the plan can tell (nested aggregates) is judged in `plan`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, ObjectName,
    Query, Select, SetExpr, Spanned, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::error::{PlanError, Refusal};
use crate::text::{Place, Text};

/// Deepest expression that is evaluated: expressions recurse on the task's own stack.
const EXPRESSION_DEPTH_MAX: usize = 200;

/// Aggregates that give what came first: with a cut, that is what arrived first.
const BY_ARRIVAL: [&str; 4] = ["first_value", "last_value", "nth_value", "any_value"];

/// A select that aggregates, for the place of a nesting that only the plan shows.
struct Aggregating {
    place: Place,
    level: usize,
}

/// What the walk learnt that planning errors need.
pub(crate) struct Walked {
    aggregating: Vec<Aggregating>,
    /// A `DISTINCT` over a select that also aggregates.
    distinct_over: Option<Place>,
    where_place: Option<Place>,
    select: Place,
}

impl Walked {
    /// Where the inner one of two aggregates stands.
    pub fn nested_place(&self) -> Place {
        let inner = self.aggregating.iter().max_by_key(|a| a.level).map(|a| a.place);
        self.distinct_over.or(inner).unwrap_or(self.select)
    }

    pub fn select_place(&self) -> Place {
        self.select
    }

    pub fn where_place(&self) -> Place {
        self.where_place.unwrap_or(self.select)
    }
}

/// Refuses with the first violation in the text.
pub(crate) fn query(
    text: &Text<'_>,
    statement: &Statement,
    source: &str,
    state: &SessionState,
) -> Result<Walked, PlanError> {
    let Statement::Query(_) = statement else {
        let message = "a rule is one SELECT; this statement is not a query";
        return Err(text.refuse(Refusal::NotAQuery, text.first_word(), message));
    };
    let mut walk = Walk::new(text, Some(source), state);
    let _ = statement.visit(&mut walk);
    walk.finish()
}

/// The same for the expression of a rule without a window: no queries, aggregates or windows.
pub(crate) fn expression(
    text: &Text<'_>,
    expr: &Expr,
    state: &SessionState,
) -> Result<(), PlanError> {
    let mut walk = Walk::new(text, None, state);
    let _ = expr.visit(&mut walk);
    walk.finish().map(|_| ())
}

struct Walk<'a> {
    text: &'a Text<'a>,
    /// None: an expression, not a query.
    source: Option<&'a str>,
    state: &'a SessionState,
    tables: BTreeSet<String>,
    found: Vec<(Place, Refusal, String)>,
    selects: Vec<Level>,
    walked: Walked,
    depth: usize,
    queries: usize,
    open_aggregates: usize,
}

/// A select being walked.
struct Level {
    place: Place,
    distinct: Option<Place>,
    grouped: bool,
}

impl<'a> Walk<'a> {
    fn new(text: &'a Text<'a>, source: Option<&'a str>, state: &'a SessionState) -> Self {
        Walk {
            text,
            source,
            state,
            tables: source.map(|s| s.to_ascii_lowercase()).into_iter().collect(),
            found: vec![],
            selects: vec![],
            walked: Walked {
                aggregating: vec![],
                distinct_over: None,
                where_place: None,
                select: text.first_word(),
            },
            depth: 0,
            queries: 0,
            open_aggregates: 0,
        }
    }

    fn finish(self) -> Result<Walked, PlanError> {
        match self.found.into_iter().min_by_key(|(place, ..)| *place) {
            Some((place, refusal, message)) => Err(self.text.refuse(refusal, place, message)),
            None => Ok(self.walked),
        }
    }

    fn refuse(&mut self, refusal: Refusal, place: Place, message: impl Into<String>) {
        self.found.push((place, refusal, message.into()));
    }

    fn keyword(&self, words: &[&str], near: Location) -> Place {
        self.text.keyword(words, Some(near))
    }

    fn order_by(&mut self, near: Location) {
        let place = self.keyword(&["ORDER"], near);
        self.refuse(
            Refusal::OrderBy,
            place,
            "ORDER BY cannot be cut in two phases: a window's rows come sorted by their key",
        );
    }

    fn clauses(&mut self, query: &Query) {
        if let Some(order) = &query.order_by {
            self.order_by(order.span().start);
        }
        if let Some(limit) = &query.limit_clause {
            let place = self.keyword(&["LIMIT", "OFFSET"], limit.span().start);
            self.limit(place);
        }
        if let Some(fetch) = &query.fetch {
            let place = self.keyword(&["FETCH"], fetch.span().start);
            self.limit(place);
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            let place = self.text.keyword(&["RECURSIVE"], None);
            self.refuse(Refusal::Shape, place, "a rule reads its source once: no recursion");
        }
        let more = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if more {
            let place = self.text.keyword(&["FOR", "SETTINGS", "FORMAT"], None);
            self.refuse(Refusal::Shape, place, "this clause has no meaning in a rule");
        }
    }

    fn limit(&mut self, place: Place) {
        let message = "LIMIT cannot be cut in two phases: no part knows which rows the others have";
        self.refuse(Refusal::Limit, place, message);
    }

    fn body(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            SetExpr::SetOperation { op, left, .. } => {
                let word = op.to_string();
                let place = self.text.keyword(&[word.as_str()], None);
                let message = format!("{word}: a rule reads one source through one aggregate");
                self.refuse(Refusal::Shape, place, message);
                self.body(left);
            }
            other => {
                let place = self.text.at(other.span().start);
                self.refuse(Refusal::Shape, place, "a rule reads rows of its source only");
            }
        }
    }

    fn from(&mut self, select: &Select) {
        let source = self.source.unwrap_or("").to_string();
        match select.from.as_slice() {
            [] => {
                let message = format!("nothing to read: a rule needs FROM {source}");
                let place = self.text.at(select.select_token.0.span.start);
                self.refuse(Refusal::Shape, place, message);
            }
            [one] if one.joins.is_empty() => {}
            [one] => {
                let near = one.joins[0].relation.span().start;
                let place = self.keyword(&["JOIN", "APPLY"], near);
                self.refuse(Refusal::Shape, place, "a join cannot be cut: a rule reads one source");
            }
            [_, second, ..] => {
                let place = self.text.at(second.span().start);
                self.refuse(Refusal::Shape, place, "a join cannot be cut: a rule reads one source");
            }
        }
    }

    fn select_clauses(&mut self, select: &Select) {
        if let Some(first) = select.sort_by.first() {
            let place = self.keyword(&["SORT"], first.span().start);
            self.refuse(Refusal::OrderBy, place, "SORT BY cannot be cut in two phases");
        }
        if select.top.is_some() {
            let place = self.text.keyword(&["TOP"], None);
            self.limit(place);
        }
        if let Some(Distinct::On(exprs)) = &select.distinct {
            let near = exprs.first().map(|e| e.span().start).unwrap_or_default_location();
            let place = self.keyword(&["DISTINCT"], near);
            let message = "DISTINCT ON keeps the row that arrived first and cannot be cut";
            self.refuse(Refusal::FirstLast, place, message);
        }
        if let Some(qualify) = &select.qualify {
            let place = self.keyword(&["QUALIFY"], qualify.span().start);
            self.refuse(
                Refusal::Window,
                place,
                "QUALIFY needs a window function, which no part of \
                a cut plan can compute",
            );
        }
        let odd = select.into.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty();
        if odd {
            let words = ["INTO", "LATERAL", "CONNECT", "CLUSTER", "DISTRIBUTE"];
            let place = self.text.keyword(&words, None);
            self.refuse(Refusal::Shape, place, "this clause has no meaning in a rule");
        }
    }

    fn function(&mut self, function: &Function) {
        let name = simple_name(&function.name);
        let place = self.text.at(function.name.span().start);
        let aggregate = self.state.aggregate_functions().get(&name);
        if function.over.is_some() {
            let message =
                format!("window function {name} cannot be cut: it needs all rows at once");
            return self.refuse(Refusal::Window, place, message);
        }
        if self.state.window_functions().contains_key(&name) && aggregate.is_none() {
            let message =
                format!("window function {name} cannot be cut: it needs all rows at once");
            return self.refuse(Refusal::Window, place, message);
        }
        if BY_ARRIVAL.contains(&name.as_str()) {
            let message = format!("{name} depends on which row arrives first and cannot be cut");
            return self.refuse(Refusal::FirstLast, place, message);
        }
        if let Some(aggregate) = aggregate {
            let ordered_set = aggregate.supports_within_group_clause();
            self.aggregate(function, &name, place, ordered_set);
        }
        if let Some(scalar) = self.state.scalar_functions().get(&name)
            && scalar.signature().volatility != Volatility::Immutable
        {
            let message = format!(
                "{name} is no function of the rows: the same log must give the same result"
            );
            self.refuse(Refusal::Volatile, place, message);
        }
    }

    fn aggregate(&mut self, function: &Function, name: &str, place: Place, ordered_set: bool) {
        if self.source.is_none() {
            let message = format!("{name} is an aggregate: a rule without a window sees one row");
            return self.refuse(Refusal::Shape, place, message);
        }
        if self.open_aggregates > 0 {
            let message = format!("{name} stands inside another aggregate: nesting cannot be cut");
            self.refuse(Refusal::Nested, place, message);
        }
        if let Some(first) = function.within_group.first()
            && !ordered_set
        {
            self.order_by(first.span().start);
        }
        if let FunctionArguments::List(list) = &function.args {
            for clause in &list.clauses {
                if let FunctionArgumentClause::OrderBy(exprs) = clause {
                    let near = exprs.first().map(|e| e.span().start).unwrap_or_default_location();
                    self.order_by(near);
                }
            }
        }
        if let Some(level) = self.selects.last_mut() {
            level.grouped = true;
        }
    }

    fn table(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, args: None, sample: None, .. } => {
                if !self.tables.contains(&simple_name(name)) {
                    let source = self.source.unwrap_or("");
                    let message = format!("unknown table {name}: the rule reads from {source}");
                    let place = self.text.at(name.span().start);
                    self.refuse(Refusal::Unknown, place, message);
                }
            }
            TableFactor::Derived { lateral: false, sample: None, .. } => {}
            other => {
                let place = self.text.at(other.span().start);
                let message = "a rule reads rows of its source only: no table functions, samples \
                    or joins";
                self.refuse(Refusal::Shape, place, message);
            }
        }
    }

    fn is_aggregate(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Function(f) => {
                f.over.is_none()
                    && self.state.aggregate_functions().contains_key(&simple_name(&f.name))
            }
            _ => false,
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.source.is_none() {
            let place = self.text.at(query.span().start);
            self.refuse(Refusal::Shape, place, "a rule without a window sees one row: no queries");
        }
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| normal(&cte.alias.name));
            self.tables.extend(names);
        }
        self.queries += 1;
        self.clauses(query);
        self.body(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let place = self.text.at(select.select_token.0.span.start);
        let grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(exprs, modifiers) => {
                !exprs.is_empty() || !modifiers.is_empty()
            }
        };
        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        let near = select.projection.first().map(|item| item.span().start);
        let distinct = distinct.then(|| self.text.keyword(&["DISTINCT"], near));
        if let Some(selection) = &select.selection {
            let place = self.keyword(&["WHERE"], selection.span().start);
            self.walked.where_place.get_or_insert(place);
        }
        self.selects.push(Level { place, distinct, grouped });
        self.from(select);
        self.select_clauses(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        let level = self.queries;
        if let Some(select) = self.selects.pop() {
            if select.grouped && select.distinct.is_some() {
                self.walked.distinct_over = select.distinct;
            }
            if select.grouped || select.distinct.is_some() {
                self.walked.aggregating.push(Aggregating { place: select.place, level });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.table(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            let message = format!("expression nests deeper than {EXPRESSION_DEPTH_MAX}");
            self.refuse(Refusal::TooLarge, self.text.at(expr.span().start), message);
            return ControlFlow::Break(());
        }
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                let place = self.text.at(expr.span().start);
                let message = "a subquery in an expression cannot be cut: a rule reads one source \
                    once";
                self.refuse(Refusal::Shape, place, message);
            }
            _ => {}
        }
        self.open_aggregates += usize::from(self.is_aggregate(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        self.open_aggregates -= usize::from(self.is_aggregate(expr));
        ControlFlow::Continue(())
    }
}

/// The name as the session knows it; a qualified one is nobody's.
fn simple_name(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [one] => one.as_ident().map(normal).unwrap_or_default(),
        _ => name.to_string(),
    }
}

fn normal(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

trait OrNowhere {
    fn unwrap_or_default_location(self) -> Location;
}

impl OrNowhere for Option<Location> {
    fn unwrap_or_default_location(self) -> Location {
        self.unwrap_or(Location { line: 0, column: 0 })
    }
}
