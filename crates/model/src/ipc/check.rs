//! Reads the headers of an IPC stream without touching its bodies, and adds up what they declare: a
//! compressed body may claim any length (a zstd bomb), and a row count any number.

use arrow::ipc::{MessageHeader, root_as_message};

use super::{IpcError, Limits};

/// Marks the 8-byte form of a message's length (Arrow format 0.15 and later).
const CONTINUATION: u32 = 0xffff_ffff;

/// Refuses a stream whose declared rows, columns or uncompressed bytes exceed the limits.
pub fn declared(payload: &[u8], limits: Limits) -> Result<(), IpcError> {
    let mut rest = payload;
    let mut bytes = 0u64;
    while let Some((message, body_onward)) = next_message(rest)? {
        let message = root_as_message(message).map_err(|e| IpcError::Decode(e.to_string()))?;
        let body_len = usize::try_from(message.bodyLength())
            .map_err(|_| IpcError::Decode("negative body length".to_owned()))?;
        let Some(body) = body_onward.get(..body_len) else {
            return Err(IpcError::Decode("a body ends past the message".to_owned()));
        };
        bytes = bytes.saturating_add(check_header(&message, body, limits)?);
        limit("uncompressed size", bytes, limits.bytes_max)?;
        rest = &body_onward[body_len..];
    }
    Ok(())
}

/// Splits off the next message's flatbuffer; `None` at the end of the stream.
pub fn next_message(rest: &[u8]) -> Result<Option<(&[u8], &[u8])>, IpcError> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?))
    };
    let (start, length) = match word(0) {
        None => return Ok(None),
        Some(CONTINUATION) => (8, word(4)),
        Some(length) => (4, Some(length)),
    };
    let Some(length) = length else {
        return Err(IpcError::Decode("cut inside a message length".to_owned()));
    };
    if length == 0 {
        return Ok(None);
    }
    let end = start + length as usize;
    match rest.get(start..end) {
        Some(message) => Ok(Some((message, &rest[end..]))),
        None => Err(IpcError::Decode("a message ends past the payload".to_owned())),
    }
}

/// Bytes that one message declares for its buffers.
fn check_header(
    message: &arrow::ipc::Message<'_>,
    body: &[u8],
    limits: Limits,
) -> Result<u64, IpcError> {
    match message.header_type() {
        MessageHeader::Schema => {
            let fields = message.header_as_schema().and_then(|s| s.fields());
            let mut columns = 0;
            for field in fields.iter().flatten() {
                columns += count(&field, limits.columns_max.saturating_sub(columns));
                limit("number of columns", columns as u64, limits.columns_max as u64)?;
            }
            Ok(0)
        }
        MessageHeader::RecordBatch => match message.header_as_record_batch() {
            Some(batch) => batch_bytes(&batch, body, limits),
            None => Ok(0),
        },
        MessageHeader::DictionaryBatch => {
            match message.header_as_dictionary_batch().and_then(|d| d.data()) {
                Some(batch) => batch_bytes(&batch, body, limits),
                None => Ok(0),
            }
        }
        _ => Ok(0),
    }
}

/// A field and the fields within it; ends where more than `most` are found. A schema may use one
/// field's bytes in many places, so that a few hundred bytes hold a tree of a million.
fn count(field: &arrow::ipc::Field<'_>, most: usize) -> usize {
    let mut found = 1;
    for child in field.children().iter().flatten() {
        if found > most {
            break;
        }
        found += count(&child, most - found);
    }
    found
}

fn batch_bytes(
    batch: &arrow::ipc::RecordBatch<'_>,
    body: &[u8],
    limits: Limits,
) -> Result<u64, IpcError> {
    let rows = u64::try_from(batch.length())
        .map_err(|_| IpcError::Decode("negative row count".to_owned()))?;
    limit("number of rows", rows, limits.rows_max)?;
    let compressed = batch.compression().is_some();
    let mut total = 0u64;
    for buffer in batch.buffers().iter().flatten() {
        let declared = if compressed { uncompressed_length(body, buffer) } else { 0 };
        total = total.saturating_add(declared.max(u64::try_from(buffer.length()).unwrap_or(0)));
    }
    Ok(total)
}

/// A compressed buffer starts with its uncompressed length (8 bytes, little endian; -1: stored).
fn uncompressed_length(body: &[u8], buffer: &arrow::ipc::Buffer) -> u64 {
    if buffer.length() < 8 {
        return 0;
    }
    let prefix = usize::try_from(buffer.offset())
        .ok()
        .and_then(|start| body.get(start..start.checked_add(8)?))
        .and_then(|bytes| bytes.try_into().ok());
    match prefix.map(i64::from_le_bytes) {
        Some(length) if length > 0 => length.unsigned_abs(),
        _ => 0,
    }
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), IpcError> {
    if found > limit {
        return Err(IpcError::Limit { what, found, limit });
    }
    Ok(())
}
