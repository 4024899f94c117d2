//! `min` and `max` of floats whose result does not depend on arrival. DataFusion's grouped ones
//! compare with `partial_cmp` and take the newer value wherever a NaN meets one, so that
//! (1, NaN, 2) and (NaN, 1, 2) differ. Here the order is total: −∞ < … < −0 < +0 < … < +∞ < NaN,
//! every NaN the same one. All other types go to DataFusion's own.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let extreme = |end, inner: Arc<AggregateUDF>| {
        let signature = inner.signature().clone();
        Arc::new(AggregateUDF::from(Extreme { end, inner, signature }))
    };
    vec![extreme(End::Min, min_udaf()), extreme(End::Max, max_udaf())]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Min,
    Max,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    end: End,
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    as_inner!();

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match args.return_field.data_type() {
            DataType::Float64 => Box::new(One::<Float64Type>(self.end, None)),
            DataType::Float32 => Box::new(One::<Float32Type>(self.end, None)),
            _ => return self.inner.accumulator(args),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match args.return_field.data_type() {
            DataType::Float64 | DataType::Float32 => true,
            _ => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match args.return_field.data_type() {
            DataType::Float64 => Box::new(Many::<Float64Type>::new(self.end)),
            DataType::Float32 => Box::new(Many::<Float32Type>::new(self.end)),
            _ => return self.inner.create_groups_accumulator(args),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A float with the total order above.
pub(super) trait Total: Copy {
    /// One NaN for all.
    fn canonical(self) -> Self;
    fn order(self, other: Self) -> Ordering;
    /// The value halfway.
    fn between(self, other: Self) -> Self;
}

macro_rules! total {
    ($float:ty) => {
        impl Total for $float {
            fn canonical(self) -> Self {
                if self.is_nan() { <$float>::NAN } else { self }
            }

            fn order(self, other: Self) -> Ordering {
                self.total_cmp(&other)
            }

            fn between(self, other: Self) -> Self {
                (self / 2.0 + other / 2.0).canonical()
            }
        }
    };
}
total!(f32);
total!(f64);

impl End {
    fn better<N: Total>(self, new: N, old: N) -> bool {
        match self {
            End::Min => new.order(old).is_lt(),
            End::Max => new.order(old).is_gt(),
        }
    }
}

/// Without groups.
struct One<T: ArrowPrimitiveType>(End, Option<T::Native>);

impl<T: ArrowPrimitiveType> std::fmt::Debug for One<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}", self.0, T::DATA_TYPE)
    }
}

impl<T: ArrowPrimitiveType> Accumulator for One<T>
where
    T::Native: Total,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let value = value.canonical();
            if self.1.is_none_or(|old| self.0.better(value, old)) {
                self.1 = Some(value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::new_primitive::<T>(self.1, &T::DATA_TYPE)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// All groups of a plan.
struct Many<T: ArrowPrimitiveType> {
    end: End,
    values: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> Many<T>
where
    T::Native: Total,
{
    fn new(end: End) -> Self {
        Many { end, values: vec![] }
    }

    fn put(&mut self, group: usize, value: T::Native) {
        let value = value.canonical();
        let held = &mut self.values[group];
        if held.is_none_or(|old| self.end.better(value, old)) {
            *held = Some(value);
        }
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Many<T>
where
    T::Native: Total,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let column = values[0].as_primitive::<T>();
        if column.len() != groups.len() {
            return internal_err!("{} values for {} rows", column.len(), groups.len());
        }
        self.values.resize(total, None);
        let passes = |row| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        for (row, &group) in groups.iter().enumerate() {
            if column.is_valid(row) && passes(row) {
                self.put(group, column.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let values = emit.take_needed(&mut self.values);
        Ok(Arc::new(PrimitiveArray::<T>::from_iter(values)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let column = values[0].as_primitive::<T>();
        let passes = |row| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let kept = (0..column.len())
            .map(|row| (column.is_valid(row) && passes(row)).then(|| column.value(row)));
        Ok(vec![Arc::new(kept.collect::<PrimitiveArray<T>>())])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}
