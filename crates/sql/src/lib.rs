//! DataFusion cut in two: a rule's SQL is checked and planned once, its partial half runs over
//! chunks of rows, its final half over the states that they leave. The only crate that knows
//! DataFusion. It leaves windows, panes, accumulators and their limits to `detect`, and it neither
//! reads a clock nor does I/O.

mod ask;
mod check;
mod cut;
mod deadline;
mod drive;
mod error;
mod filter;
mod functions;
mod leaf;
mod numbered;
mod numbers;
mod order;
mod plan;
mod probe;
mod session;
mod state;
mod steps;
mod text;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

pub use ask::{Answer, AskError, AskLimits, Asked, ask};
pub use cut::{CutPlan, OutputKey};
pub use error::{PlanError, Refusal, SqlError};
pub use filter::RowFilter;
pub use state::{row_bytes, state_bytes};
pub use whole::run_whole;

/// The aggregates that a rule may name, one name each (aliases left out), sorted.
pub fn aggregate_names() -> Vec<String> {
    let known = session::state(session::Purpose::Cut).aggregate_functions();
    let names: BTreeSet<String> = known.values().map(|f| f.name().to_string()).collect();
    names.into_iter().collect()
}

/// Plans any text as a rule's SQL and as a rule's condition, over one column of each common type.
/// Must return for every input: the plan check's fuzz target. (libFuzzer aborts on a panic that is
/// caught, too; the target must set a quiet panic hook.)
pub fn check_sql(sql: &str) {
    let field = |name: &str, kind| Field::new(name, kind, true);
    let schema = Arc::new(Schema::new(vec![
        field("a", DataType::Int64),
        field("b", DataType::Float64),
        field("c", DataType::Utf8),
        field("d", DataType::Boolean),
        field("src", DataType::FixedSizeBinary(16)),
    ]));
    let _ = CutPlan::new(sql, "flows", Arc::clone(&schema) as _);
    let _ = RowFilter::new(sql, schema);
}

#[cfg(test)]
mod tests;
