//! The session that every rule is planned in: DataFusion's own functions and ours, one partition,
//! and an optimizer without what must not meet a cut. Built once a process.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::optimizer::Optimizer;
use datafusion::prelude::SessionConfig;

use crate::functions;
use crate::leaf::Source;

/// Rewrites `count(DISTINCT x)` into two nested aggregates; cut at the topmost it counts the same
/// value once a chunk (1,896 for a true 500, DESIGN §5).
const NOT_UNDER_A_CUT: &str = "single_distinct_aggregation_to_group_by";

/// Functions whose result can be larger than any row that they read, while a rule's memory must be
/// groups × panes: one call of `repeat` may ask for gigabytes, and so may one `replace` in another,
/// of constants already while it is planned.
const UNBOUNDED: [&str; 11] = [
    "repeat",
    "replace",
    "regexp_replace",
    "lpad",
    "rpad",
    "range",
    "generate_series",
    "gen_series",
    "array_repeat",
    "list_repeat",
    "array_resize",
];

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Two phases, to be cut.
    Cut,
    /// The same with the rule left in that must not meet a cut.
    Mutated,
    /// The whole data at once, with all that DataFusion optimizes.
    Whole,
}

pub(crate) fn state(purpose: Purpose) -> &'static SessionState {
    static CUT: OnceLock<SessionState> = OnceLock::new();
    static MUTATED: OnceLock<SessionState> = OnceLock::new();
    static WHOLE: OnceLock<SessionState> = OnceLock::new();
    let built = match purpose {
        Purpose::Cut => &CUT,
        Purpose::Mutated => &MUTATED,
        Purpose::Whole => &WHOLE,
    };
    built.get_or_init(|| build(purpose))
}

/// The session with `source` as its only table.
pub(crate) fn state_over(
    purpose: Purpose,
    source: &str,
    table: Arc<dyn TableProvider>,
) -> Result<SessionState, DataFusionError> {
    state_of(purpose, vec![(source.to_string(), table)])
}

/// The session with these tables and no other.
pub(crate) fn state_of(
    purpose: Purpose,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
) -> Result<SessionState, DataFusionError> {
    let base = state(purpose).clone();
    let names = &base.config_options().catalog;
    let schema = Arc::new(MemorySchemaProvider::new());
    for (name, table) in tables {
        schema.register_table(name, table)?;
    }
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema(&names.default_schema, schema)?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(names.default_catalog.clone(), catalog);
    let builder = SessionStateBuilder::new_from_existing(base);
    let builder = builder.with_catalog_list(Arc::new(catalogs));
    // A counter of its own for generated names, or a plan would depend on those planned before it.
    Ok(builder.with_execution_props(ExecutionProps::new()).build())
}

pub(crate) fn source_table(schema: SchemaRef) -> Arc<dyn TableProvider> {
    Arc::new(Source::new(schema))
}

fn build(purpose: Purpose) -> SessionState {
    let mut builder = SessionStateBuilder::new().with_default_features().with_config(config());
    if purpose == Purpose::Cut {
        builder = builder.with_optimizer_rules(rules());
    }
    if purpose != Purpose::Whole {
        builder = builder.with_physical_optimizer_rules(vec![]);
    }
    let mut state = builder.build();
    for name in UNBOUNDED {
        state.deregister_udf(name).expect("a session in memory takes functions");
    }
    for function in functions::scalars() {
        state.register_udf(function).expect("a session in memory takes functions");
    }
    for function in functions::aggregates() {
        state.register_udaf(function).expect("a session in memory takes functions");
    }
    state
}

fn rules() -> Vec<Arc<dyn datafusion::optimizer::OptimizerRule + Send + Sync>> {
    Optimizer::new().rules.into_iter().filter(|rule| rule.name() != NOT_UNDER_A_CUT).collect()
}

/// One partition: a task has one thread and Kafka is the exchange. Partial aggregation is never
/// skipped, since a state row a source row would defeat the cut. Spans give errors their places.
fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let options = config.options_mut();
    options.execution.skip_partial_aggregation_probe_ratio_threshold = 1.0;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    config
}
