//! Some columns of a payload, without copying its body: arrow's own reader of streams copies all of
//! it first, which for flows is 150 bytes a row of which a rule needs a third.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::RecordBatchDecoder;
use arrow::ipc::{Endianness, Message, root_as_message};
use bytes::Bytes;

use super::check::next_message;
use super::{IpcError, read_one};

/// The named columns, those that are there. What is not a schema followed by one batch (a stream
/// with dictionaries) is left to arrow's reader.
pub fn read(payload: &Bytes, wanted: &dyn Fn(&str) -> bool) -> Result<RecordBatch, IpcError> {
    let wrong = |e: &dyn std::fmt::Display| IpcError::Decode(e.to_string());
    let Some((first, rest)) = next_message(payload)? else {
        return Err(IpcError::Batches(0));
    };
    let first = message(first)?;
    let Some(schema) = first.header_as_schema() else {
        return Err(IpcError::Decode("the stream does not begin with its schema".to_owned()));
    };
    let is_little = schema.endianness() == Endianness::Little;
    let schema = std::sync::Arc::new(fb_to_schema(schema));
    let fields = schema.fields().iter().enumerate();
    let columns: Vec<usize> =
        fields.filter(|(_, field)| wanted(field.name())).map(|(at, _)| at).collect();
    let whole = || read_one(payload, Some(columns.clone()));
    let Some((second, body)) = next_message(rest)? else {
        return whole();
    };
    let second = message(second)?;
    let length = usize::try_from(second.bodyLength()).map_err(|e| wrong(&e))?;
    let Some(batch) = second.header_as_record_batch().filter(|_| is_little) else {
        return whole();
    };
    let (Some(after), true) = (body.get(length..), cfg!(target_endian = "little")) else {
        return whole();
    };
    if next_message(after)?.is_some() {
        return Err(IpcError::Batches(2));
    }
    let body = Buffer::from(payload.slice_ref(&body[..length]));
    let (none, version) = (std::collections::HashMap::new(), second.version());
    RecordBatchDecoder::try_new(&body, batch, schema, &none, &version)
        .and_then(|decoder| decoder.with_projection(Some(&columns)).read_record_batch())
        .map_err(|e| wrong(&e))
}

fn message(flatbuffer: &[u8]) -> Result<Message<'_>, IpcError> {
    root_as_message(flatbuffer).map_err(|e| IpcError::Decode(e.to_string()))
}
