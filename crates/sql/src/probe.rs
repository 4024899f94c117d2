//! A dry run of a new plan over no rows and over one, so that what DataFusion plans but cannot run
//! is refused with the rule and not met in production (`bit_xor(DISTINCT x)` in groups: its state
//! is not what it says).

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::cut::CutPlan;
use crate::error::SqlError;

/// Only what the data cannot be blamed for is an error: panics, and states of the wrong type.
pub(crate) fn check(plan: &CutPlan) -> Result<(), String> {
    let none = plan.partial_projected(&[]).map_err(|e| e.to_string())?;
    let merged = plan.merge(&[none.clone(), none]).map_err(|e| e.to_string())?;
    plan.finish(&[merged]).map_err(|e| e.to_string())?;
    match one_row(plan) {
        Err(SqlError::Panic(message)) if !of_the_data(&message) => Err(message),
        Err(SqlError::Query(message)) if of_the_types(&message) => Err(message),
        Err(SqlError::State(message)) => Err(message),
        _ => Ok(()),
    }
}

fn one_row(plan: &CutPlan) -> Result<(), SqlError> {
    let schema = plan.source_schema();
    let columns = schema.fields().iter().map(|f| one(f.data_type())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let Ok(row) = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options) else {
        return Ok(());
    };
    let state = plan.partial_projected(&[row])?;
    let merged = plan.merge(&[state.clone(), state])?;
    plan.finish(&[merged]).map(|_| ())
}

/// A value of the type: 1 or its text where that converts, else null.
fn one(kind: &DataType) -> ArrayRef {
    let one: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
    match kind {
        DataType::FixedSizeBinary(16) => {
            let address =
                arrow::array::FixedSizeBinaryArray::try_from_iter([[1u8; 16]].into_iter());
            address.map_or_else(|_| new_null_array(kind, 1), |a| Arc::new(a) as ArrayRef)
        }
        _ => cast(&one, kind).unwrap_or_else(|_| new_null_array(kind, 1)),
    }
}

fn of_the_data(message: &str) -> bool {
    message.contains("overflow") || message.contains("divide by zero")
}

fn of_the_types(message: &str) -> bool {
    message.contains("column types must match") || message.contains("nternal")
}
