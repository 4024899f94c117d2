//! The schemas of all topics, read once from `schemas/*.toml`, which are compiled in. Matching a
//! batch to a schema is by column name: an absent nullable column is null (DESIGN §2).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use sha2::{Digest, Sha256};

use crate::schema_file::SchemaFile;

const FILES: [&str; 18] = [
    include_str!("../../../schemas/flows.toml"),
    include_str!("../../../schemas/metrics.toml"),
    include_str!("../../../schemas/events.toml"),
    include_str!("../../../schemas/partials.toml"),
    include_str!("../../../schemas/signals.toml"),
    include_str!("../../../schemas/evidence.anomaly.toml"),
    include_str!("../../../schemas/evidence.topology.toml"),
    include_str!("../../../schemas/evidence.change.toml"),
    include_str!("../../../schemas/evidence.feedback.toml"),
    include_str!("../../../schemas/incidents.toml"),
    include_str!("../../../schemas/actions.toml"),
    include_str!("../../../schemas/approvals.toml"),
    include_str!("../../../schemas/topology.toml"),
    include_str!("../../../schemas/inventory.toml"),
    include_str!("../../../schemas/interfaces.toml"),
    include_str!("../../../schemas/templates.toml"),
    include_str!("../../../schemas/snapshots.toml"),
    include_str!("../../../schemas/config.toml"),
];

/// The schema of a topic, or of one kind of message on it.
#[derive(Debug)]
pub struct TopicSchema {
    /// `flows`, or `evidence.anomaly` where a topic carries several.
    pub name: String,
    pub version: u32,
    pub doc: String,
    /// Name of the column to partition by, `spread`, or words where no column decides.
    pub partition_by: String,
    /// Name of the column that holds a row's time.
    pub time: String,
    pub arrow: SchemaRef,
    /// First 16 hex digits of the SHA-256 of the canonical schema.
    pub fingerprint: String,
    pub fields: Vec<FieldDoc>,
    /// Headers of this topic's own, by name, with what they say.
    pub headers: BTreeMap<String, String>,
    /// Where the columns are not fixed: what decides them ("by rule").
    pub columns: Option<String>,
}

/// What a reader must know of one column.
#[derive(Debug)]
pub struct FieldDoc {
    pub name: String,
    pub kind: String,
    pub nullable: bool,
    pub since: u32,
    pub unit: Option<String>,
    pub doc: String,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SchemaError {
    #[error("column {column} of {schema} is missing and may not be null")]
    Missing { schema: String, column: String },
    #[error("column {column} of {schema} is {found}, expected {expected}")]
    Type { schema: String, column: String, found: String, expected: String },
    #[error("column {column} of {schema} has nulls and may not")]
    Null { schema: String, column: String },
    #[error("failed to build a batch of {schema}: {reason}")]
    Batch { schema: String, reason: String },
}

static ALL: LazyLock<BTreeMap<String, TopicSchema>> = LazyLock::new(|| {
    let schemas = FILES.iter().map(|text| {
        let file: SchemaFile = toml::from_str(text).expect("schemas/*.toml are checked by a test");
        TopicSchema::new(file).expect("schemas/*.toml are checked by a test")
    });
    schemas.map(|schema| (schema.name.clone(), schema)).collect()
});

/// All schemas by name.
pub fn all() -> &'static BTreeMap<String, TopicSchema> {
    &ALL
}

/// The schema of a name, `flows` or `evidence.anomaly`.
pub fn get(name: &str) -> Option<&'static TopicSchema> {
    ALL.get(name)
}

macro_rules! named {
    ($($(#[$doc:meta])* $function:ident = $name:literal;)*) => {$(
        $(#[$doc])*
        pub fn $function() -> &'static TopicSchema {
            ALL.get($name).expect("the schema is compiled in")
        }
    )*};
}

named! {
    /// `flows.v1`.
    flows = "flows";
    /// `metrics.v1`.
    metrics = "metrics";
    /// `events.v1`.
    events = "events";
    /// `signals.v1`.
    signals = "signals";
    /// Anomalies on `evidence.v1`.
    anomalies = "evidence.anomaly";
    /// Elements of the network on `evidence.v1`.
    topology_evidence = "evidence.topology";
    /// Our own changes on `evidence.v1`.
    changes = "evidence.change";
    /// A person's word on an incident, on `evidence.v1`.
    feedback = "evidence.feedback";
    /// `incidents.v1`.
    incidents = "incidents";
    /// `actions.v1`.
    actions = "actions";
    /// `approvals.v1`.
    approvals = "approvals";
    /// `topology.v1`.
    topology = "topology";
    /// `inventory.v1`.
    inventory = "inventory";
    /// `interfaces.v1`.
    interfaces = "interfaces";
    /// `templates.v1`.
    templates = "templates";
    /// `snapshots.<stage>.v1`.
    snapshots = "snapshots";
    /// `config.v1`.
    config = "config";
}

/// Leaves out the nullable columns in which every row is null: a message need not carry them.
pub fn prune(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let rows = batch.num_rows();
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|&i| !schema.field(i).is_nullable() || batch.column(i).null_count() < rows)
        .collect();
    if kept.len() == batch.num_columns() {
        return batch.clone();
    }
    batch.project(&kept).expect("the indices are the batch's own")
}

// === impl TopicSchema ===

impl TopicSchema {
    fn new(file: SchemaFile) -> Result<TopicSchema, String> {
        let arrow = Arc::new(file.arrow()?);
        let name = match &file.kind {
            Some(kind) => format!("{}.{kind}", file.topic),
            None => file.topic.clone(),
        };
        let fingerprint = fingerprint(&arrow);
        let fields = file.fields.into_iter().map(|f| FieldDoc {
            name: f.name,
            kind: f.kind,
            nullable: f.nullable,
            since: f.since,
            unit: f.unit,
            doc: f.doc,
        });
        Ok(TopicSchema {
            name,
            version: file.version,
            doc: file.doc,
            partition_by: file.partition_by,
            time: file.time,
            arrow,
            fingerprint,
            fields: fields.collect(),
            headers: file.headers.into_iter().map(|h| (h.name, h.doc)).collect(),
            columns: file.columns,
        })
    }

    /// The `schema` header: name and version.
    pub fn header(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// The batch with exactly this schema's columns: those it has, nulls for those it lacks.
    /// Columns that this version does not know are left out.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, SchemaError> {
        let columns: Vec<usize> = (0..self.arrow.fields().len()).collect();
        self.conform_columns(batch, &columns)
    }

    /// As `conform`, of the given columns of this schema only.
    pub fn conform_columns(
        &self,
        batch: &RecordBatch,
        columns: &[usize],
    ) -> Result<RecordBatch, SchemaError> {
        let schema = Arc::new(self.arrow.project(columns).map_err(|e| self.bad(&e))?);
        let arrays: Result<Vec<ArrayRef>, SchemaError> =
            schema.fields().iter().map(|field| self.column(batch, field)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema, arrays?, &options).map_err(|e| self.bad(&e))
    }

    fn column(
        &self,
        batch: &RecordBatch,
        field: &arrow::datatypes::Field,
    ) -> Result<ArrayRef, SchemaError> {
        let schema = || self.name.clone();
        let column = || field.name().clone();
        let Some(array) = batch.column_by_name(field.name()) else {
            if !field.is_nullable() && batch.num_rows() > 0 {
                return Err(SchemaError::Missing { schema: schema(), column: column() });
            }
            return Ok(new_null_array(field.data_type(), batch.num_rows()));
        };
        if array.data_type() != field.data_type() {
            return Err(SchemaError::Type {
                schema: schema(),
                column: column(),
                found: array.data_type().to_string(),
                expected: field.data_type().to_string(),
            });
        }
        if !field.is_nullable() && array.null_count() > 0 {
            return Err(SchemaError::Null { schema: schema(), column: column() });
        }
        Ok(array.clone())
    }

    pub(crate) fn bad(&self, error: &arrow::error::ArrowError) -> SchemaError {
        SchemaError::Batch { schema: self.name.clone(), reason: error.to_string() }
    }
}

/// First 16 hex digits of the SHA-256 of a schema's canonical text: name, type and nullability of
/// each column, one a line.
pub fn fingerprint(schema: &Schema) -> String {
    let mut text = String::new();
    for field in schema.fields() {
        let null = if field.is_nullable() { "?" } else { "" };
        text.push_str(&format!("{}:{}{null}\n", field.name(), field.data_type()));
    }
    hex16(text.as_bytes())
}

/// First 16 hex digits of the SHA-256 of some bytes: the form of every fingerprint and content id.
pub fn hex16(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
