//! Functions that rules have beside DataFusion's own: addresses, top contributors, and extremes and
//! medians of floats that do not depend on arrival.

/// What an aggregate of ours leaves to DataFusion's own of its name, its field `inner`.
macro_rules! as_inner {
    () => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
            self.inner.coerce_types(types)
        }

        fn return_type(&self, types: &[DataType]) -> Result<DataType> {
            self.inner.return_type(types)
        }

        fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
            self.inner.state_fields(args)
        }
    };
}

mod address;
mod extremes;
mod median;
mod summary;
mod top_k;

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::scalar::ScalarValue;

pub(crate) use address::render as render_address;

pub(crate) fn scalars() -> Vec<Arc<ScalarUDF>> {
    address::functions()
}

pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all = extremes::functions();
    all.push(median::function());
    all.push(Arc::new(AggregateUDF::from(top_k::TopK::new())));
    all
}

/// A list of one row that holds all of `items`, as a state or a result.
fn one_list(items: ArrayRef) -> ScalarValue {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    ScalarValue::List(Arc::new(ListArray::new(field, offsets, items, None)))
}

#[cfg(test)]
mod tests;
