//! How far the order in which states are merged can change a result (DESIGN §5), judged for each
//! aggregate of a plan. What is not known here counts as the most sensitive.

use datafusion::arrow::datatypes::DataType;
use datafusion::physical_plan::udaf::AggregateFunctionExpr;

/// From harmless to sensitive; a plan is as sensitive as its worst aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MergeOrder {
    /// Any order, any grouping of the merges: the same result.
    Free,
    /// The order counts, but not how the merges are grouped: ((a + b) + c) in one call or two.
    Sequence,
    /// Each merge leaves its mark (Welford's variance, t-digest): one state at a time.
    Stepwise,
}

pub(crate) fn of_plan(aggregates: &[std::sync::Arc<AggregateFunctionExpr>]) -> MergeOrder {
    aggregates.iter().map(|a| of_aggregate(a)).max().unwrap_or(MergeOrder::Free)
}

fn of_aggregate(aggregate: &AggregateFunctionExpr) -> MergeOrder {
    let result = aggregate.field().data_type().clone();
    let distinct = aggregate.is_distinct();
    match aggregate.fun().name() {
        "count" | "bit_and" | "bit_or" | "bit_xor" | "bool_and" | "bool_or" | "approx_distinct"
        | "percentile_cont" | "regr_count" | "grouping" => MergeOrder::Free,
        // Float16 goes to DataFusion's own, which compare partially.
        "min" | "max" | "median" if result != DataType::Float16 => MergeOrder::Free,
        "sum" | "avg" if !result.is_floating() => MergeOrder::Free,
        // A set of floats is summed in the order of a hash table, which its history shapes.
        "sum" | "avg" if distinct => MergeOrder::Stepwise,
        "sum" | "avg" => MergeOrder::Sequence,
        "array_agg" | "string_agg" if !distinct => MergeOrder::Sequence,
        _ => MergeOrder::Stepwise,
    }
}
