//! Snapshots of a task's state on a topic: changed blocks first, the manifest last (DESIGN §4
//! "Restart is a small replay"). Which state that is, and when, is left to the loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::Int64Type;
use bus::TaskId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::state::SavedTask;

mod load;
mod write;

pub use load::{LoadError, Loaded, load};
pub use write::{Snapshots, Taken, WriteError};

/// The name of a manifest's row.
const MANIFEST: &str = "manifest";
const VERSION: u32 = 1;

/// Where the pieces of a task's last snapshot are, so that the next one writes only what changed.
pub type Catalog = BTreeMap<String, Part>;

/// A piece of a block on the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `<block>#<number>`.
    name: String,
    /// Of its bytes (`model::schema::hex16`).
    hash: String,
    bytes: u64,
    /// Its offset, in the manifest's partition.
    offset: i64,
    /// When it was written, ms since 1970 on the writer's clock: what retention goes by.
    written_ms: i64,
}

/// All of one snapshot, in the order in which the engine gave its blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    v: u32,
    stage: String,
    config: String,
    /// The log's id of the input topic.
    topic: String,
    at: i64,
    task: SavedTask,
    parts: Vec<Part>,
}

/// One row of `schemas/snapshots.toml`.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    task: String,
    snapshot: String,
    at: i64,
    block: String,
    taken_ms: i64,
    data: Bytes,
}

/// `<topic>/<partition>`.
fn task_text(task: &TaskId) -> String {
    format!("{}/{}", task.topic, task.partition)
}

// === impl Row ===

impl Row {
    fn batch(&self) -> Result<RecordBatch, String> {
        let schema = Arc::clone(&model::schema::snapshots().arrow);
        let taken: ArrayRef = Arc::new(Int64Array::from(vec![self.taken_ms]));
        let columns: Result<Vec<ArrayRef>, String> = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "task" => Ok(text(&self.task)),
                "snapshot" => Ok(text(&self.snapshot)),
                "offset" => Ok(Arc::new(Int64Array::from(vec![self.at])) as ArrayRef),
                "block" => Ok(text(&self.block)),
                "taken" => cast(&taken, field.data_type()).map_err(|e| e.to_string()),
                "data" => Ok(Arc::new(BinaryArray::from(vec![self.data.as_ref()])) as ArrayRef),
                other => Err(format!("column {other} of snapshots is not known")),
            })
            .collect();
        RecordBatch::try_new(schema, columns?).map_err(|e| e.to_string())
    }

    fn read(batch: &RecordBatch) -> Option<Row> {
        let schema = model::schema::snapshots();
        let batch = schema.conform(batch).ok().filter(|batch| batch.num_rows() == 1)?;
        let column = |name: &str| batch.column_by_name(name);
        let string = |name: &str| Some(column(name)?.as_string_opt::<i32>()?.value(0).to_owned());
        let number = |name: &str| {
            let ints = cast(column(name)?, &arrow::datatypes::DataType::Int64).ok()?;
            Some(ints.as_primitive_opt::<Int64Type>()?.value(0))
        };
        let data = column("data")?.as_binary_opt::<i32>()?;
        Some(Row {
            task: string("task")?,
            snapshot: string("snapshot")?,
            at: number("offset")?,
            block: string("block")?,
            taken_ms: number("taken")?,
            data: Bytes::copy_from_slice(data.value(0)),
        })
    }
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}
