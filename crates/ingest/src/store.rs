//! What exporters declare (templates, samplers) as elements of `templates.v1`, and back: a restart
//! must not wait half an hour for templates. The record key is exporter/domain/version/kind/id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use bus::config::LimitsConfig;
use bus::{Log, LogError, ReadEvent, Record};
use model::schema::{SchemaError, TopicSchema};

use crate::engine::declare::{Declaration, Kind};
use crate::engine::domain::{Change, Changed};
use crate::engine::sampling::SamplerKey;

pub const TOPIC: &str = "templates.v1";

pub fn schema() -> &'static TopicSchema {
    model::schema::templates()
}

/// The column `kind`, and the id of the element.
fn kind(what: &Changed) -> (&'static str, u64) {
    let of = |kind: Kind| if kind == Kind::Data { "data" } else { "options" };
    match what {
        Changed::Template(declaration) => (of(declaration.kind), u64::from(declaration.id)),
        Changed::Gone { kind, id } => (of(*kind), u64::from(*id)),
        Changed::Sampler { key: SamplerKey::Default, .. } => ("rate", 0),
        Changed::Sampler { key: SamplerKey::Sampler(id), .. } => ("sampler", *id),
        Changed::Sampler { key: SamplerKey::Interface(index), .. } => {
            ("interface", u64::from(*index))
        }
    }
}

pub fn key(change: &Change) -> String {
    let exporter = model::addr::to_ip(&change.exporter).map(|ip| ip.to_string());
    let (kind, id) = kind(&change.what);
    let exporter = exporter.unwrap_or_default();
    format!("{exporter}/{}/{}/{kind}/{id}", change.domain, change.version)
}

/// The row of a change; `None` for the end of an element, which is a tombstone.
pub fn row(change: &Change) -> Result<Option<RecordBatch>, SchemaError> {
    let (kind, id) = kind(&change.what);
    let (scope, fields, rate) = match &change.what {
        Changed::Gone { .. } => return Ok(None),
        Changed::Template(declaration) => {
            let packed = Declaration::pack(&declaration.fields);
            (Some(declaration.scope_fields), Some(packed), None)
        }
        Changed::Sampler { rate, .. } => (None, None, Some(*rate)),
    };
    let exporter = Buffer::from_slice_ref(change.exporter);
    let received = TimestampMillisecondArray::from(vec![change.received]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 9] = [
        ("exporter", Arc::new(FixedSizeBinaryArray::new(16, exporter, None))),
        ("observation_domain", Arc::new(UInt32Array::from(vec![change.domain]))),
        ("export_version", Arc::new(UInt8Array::from(vec![change.version]))),
        ("kind", Arc::new(StringArray::from(vec![kind]))),
        ("id", Arc::new(UInt64Array::from(vec![id]))),
        ("received", Arc::new(received)),
        ("scope_fields", Arc::new(UInt16Array::from(vec![scope]))),
        ("fields", Arc::new(BinaryArray::from_opt_vec(vec![fields.as_deref()]))),
        ("sampling_rate", Arc::new(UInt32Array::from(vec![rate]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    let batch = batch.map_err(|e| SchemaError::Batch {
        schema: "templates".to_owned(),
        reason: e.to_string(),
    })?;
    schema().conform(&batch).map(Some)
}

/// The change that a row keeps; `None` for one that is not understood.
pub fn change(batch: &RecordBatch) -> Option<Change> {
    let batch = schema().conform(batch).ok().filter(|batch| batch.num_rows() == 1)?;
    let column = |name| batch.column_by_name(name);
    let kind = column("kind")?.as_string::<i32>().value(0).to_owned();
    let id = column("id")?.as_primitive::<UInt64Type>().value(0);
    let rates = column("sampling_rate")?.as_primitive::<UInt32Type>();
    let rate = rates.is_valid(0).then(|| rates.value(0));
    let sampler = |key| Some(Changed::Sampler { key, rate: rate? });
    let what = match kind.as_str() {
        "rate" => sampler(SamplerKey::Default)?,
        "sampler" => sampler(SamplerKey::Sampler(id))?,
        "interface" => sampler(SamplerKey::Interface(u32::try_from(id).ok()?))?,
        _ => Changed::Template(template(&batch, &kind, id)?),
    };
    Some(Change {
        exporter: column("exporter")?.as_fixed_size_binary().value(0).try_into().ok()?,
        version: column("export_version")?.as_primitive::<UInt8Type>().value(0),
        domain: column("observation_domain")?.as_primitive::<UInt32Type>().value(0),
        received: column("received")?.as_primitive::<TimestampMillisecondType>().value(0),
        what,
    })
}

fn template(batch: &RecordBatch, kind: &str, id: u64) -> Option<Declaration> {
    let kind = match kind {
        "data" => Kind::Data,
        "options" => Kind::Options,
        _ => return None,
    };
    let scopes = batch.column_by_name("scope_fields")?.as_primitive::<UInt16Type>();
    let scope_fields = if scopes.is_valid(0) { scopes.value(0) } else { 0 };
    let fields = batch.column_by_name("fields")?.as_binary::<i32>();
    let fields = Declaration::unpack(fields.value(0))?;
    Some(Declaration { id: u16::try_from(id).ok()?, kind, scope_fields, fields })
}

/// All elements that the topic holds, read within `limit`. An unreadable one is left out: its
/// exporter declares it again.
pub fn read(
    log: &dyn Log,
    topic: &str,
    limits: &LimitsConfig,
    limit: Duration,
) -> Result<Vec<Change>, LogError> {
    let partitions = log.admin().describe(topic)?.map_or(0, |info| info.partitions);
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    for partition in 0..partitions {
        let (start, end) = reader.range(topic, partition)?;
        if start < end {
            from.push((topic.to_owned(), partition, start));
        }
    }
    let mut open = from.len();
    if open == 0 {
        return Ok(Vec::new());
    }
    reader.assign(&from)?;
    let deadline = Instant::now() + limit;
    let mut elements: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
    while open > 0 && Instant::now() < deadline {
        match reader.poll(Duration::from_millis(100))? {
            ReadEvent::Record(record) => apply(&mut elements, &record, limits),
            ReadEvent::End { .. } => open -= 1,
            ReadEvent::Idle => {}
        }
    }
    if open > 0 {
        tracing::warn!(topic, "templates were not all read back in time");
    }
    Ok(elements.into_values().collect())
}

fn apply(elements: &mut BTreeMap<Vec<u8>, Change>, record: &Record, limits: &LimitsConfig) {
    let key = record.key.as_ref().map(|key| key.to_vec()).unwrap_or_default();
    elements.remove(&key);
    if record.payload.is_none() {
        return;
    }
    let batch = bus::frame::read(record, limits).ok();
    if let Some(change) = batch.and_then(|(_, batch)| change(&batch)) {
        elements.insert(key, change);
    }
}
