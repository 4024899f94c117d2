//! The form of `schemas/*.toml`, and its translation into Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaFile {
    pub topic: String,
    /// For topics that carry several schemas.
    pub kind: Option<String>,
    pub version: u32,
    pub doc: String,
    pub partition_by: String,
    pub time: String,
    /// "by rule" where the columns are not fixed.
    pub columns: Option<String>,
    #[serde(default, rename = "field")]
    pub fields: Vec<FieldFile>,
    #[serde(default, rename = "header")]
    pub headers: Vec<HeaderFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldFile {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub nullable: bool,
    pub since: u32,
    pub unit: Option<String>,
    pub doc: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderFile {
    pub name: String,
    pub doc: String,
}

impl SchemaFile {
    pub fn arrow(&self) -> Result<Schema, String> {
        let fields: Result<Vec<Field>, String> = self.fields.iter().map(FieldFile::arrow).collect();
        Ok(Schema::new(fields?))
    }
}

impl FieldFile {
    fn arrow(&self) -> Result<Field, String> {
        let kind = data_type(&self.kind)
            .ok_or_else(|| format!("field {} has the unknown type {}", self.name, self.kind))?;
        Ok(Field::new(&self.name, kind, self.nullable))
    }
}

/// The type of every time column.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn data_type(name: &str) -> Option<DataType> {
    Some(match name {
        "utf8" => DataType::Utf8,
        "boolean" => DataType::Boolean,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "int64" => DataType::Int64,
        "float64" => DataType::Float64,
        "binary" => DataType::Binary,
        "address" => DataType::FixedSizeBinary(crate::addr::WIDTH),
        "mac" => DataType::FixedSizeBinary(6),
        "timestamp_ms" => timestamp(),
        "list<uint32>" => list(DataType::UInt32),
        "list<float64>" => list(DataType::Float64),
        "list<utf8>" => list(DataType::Utf8),
        "list<gate>" => list(DataType::Struct(gate())),
        "list<contributor>" => list(DataType::Struct(contributor())),
        "list<member>" => list(DataType::Struct(member())),
        _ => return None,
    })
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// One of the top contributors to an anomaly. `weight` is in the unit of the rule's value.
pub fn contributor() -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("weight", DataType::Float64, false),
        Field::new("share", DataType::Float64, false),
    ])
}

/// What was checked before a change was allowed.
pub fn gate() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Fields::from(vec![text("name"), text("verdict"), text("reason")])
}

/// One anomaly inside an incident.
pub fn member() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    Fields::from(vec![
        text("id"),
        text("rule"),
        text("key"),
        text("model"),
        Field::new("opened", timestamp(), false),
        Field::new("cleared", timestamp(), true),
        number("value"),
        number("expected"),
        number("score"),
        text("why"),
    ])
}
