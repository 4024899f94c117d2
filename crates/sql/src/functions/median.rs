//! `median` of floats with a total order. DataFusion's takes the larger of the two middle values
//! with `partial_cmp`, so that its result depends on where a NaN stands. Here NaN is the largest.
//! All other types go to DataFusion's own.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::error::Result;
use datafusion::functions_aggregate::median::median_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature,
};
use datafusion::scalar::ScalarValue;

use super::extremes::Total;
use super::one_list;

pub(super) fn function() -> Arc<AggregateUDF> {
    let inner = median_udaf();
    let signature = inner.signature().clone();
    Arc::new(AggregateUDF::from(Median { inner, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Median {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for Median {
    as_inner!();

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let distinct = args.is_distinct;
        Ok(match args.return_field.data_type() {
            DataType::Float64 => Box::new(Middle::<Float64Type> { distinct, values: vec![] }),
            DataType::Float32 => Box::new(Middle::<Float32Type> { distinct, values: vec![] }),
            _ => return self.inner.accumulator(args),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.return_field.data_type().is_floating()
            && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// All values of one group; with `distinct` each once.
struct Middle<T: ArrowPrimitiveType> {
    distinct: bool,
    values: Vec<T::Native>,
}

impl<T: ArrowPrimitiveType> std::fmt::Debug for Middle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median of {} values", self.values.len())
    }
}

impl<T: ArrowPrimitiveType> Middle<T>
where
    T::Native: Total,
{
    fn sort(&mut self) {
        self.values.sort_unstable_by(|a, b| a.order(*b));
        if self.distinct {
            self.values.dedup_by(|a, b| a.order(*b).is_eq());
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Middle<T>
where
    T::Native: Total,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = values[0].as_primitive::<T>();
        self.values.extend(column.iter().flatten().map(|value| value.canonical()));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if self.distinct {
            self.sort();
        }
        let values = PrimitiveArray::<T>::from_iter_values(self.values.iter().copied());
        Ok(vec![one_list(Arc::new(values))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sort();
        let high = self.values.get(self.values.len() / 2).copied();
        let median = match (high, self.values.len() % 2) {
            (Some(high), 0) => Some(self.values[self.values.len() / 2 - 1].between(high)),
            (high, _) => high,
        };
        ScalarValue::new_primitive::<T>(median, &T::DATA_TYPE)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<T::Native>()
    }
}
