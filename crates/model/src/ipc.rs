//! A payload: one complete Arrow IPC stream of one batch (DESIGN §2). Reading is hardened: what a
//! message declares is checked against limits before anything of that size is allocated.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;

mod check;
mod columns;

/// What a reader accepts of one payload.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub rows_max: u64,
    /// Declared bytes of all buffers after decompression.
    pub bytes_max: u64,
    pub columns_max: usize,
}

impl Default for Limits {
    /// A message of ours has at most 5,000 rows and 900 KB; others may be larger, but not a bomb.
    fn default() -> Limits {
        Limits { rows_max: 1_000_000, bytes_max: 64 << 20, columns_max: 2_000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    #[error("failed to encode a batch: {0}")]
    Encode(#[source] arrow::error::ArrowError),
    #[error("not an arrow stream: {0}")]
    Decode(String),
    #[error("{what} {found} is over the limit of {limit}")]
    Limit { what: &'static str, found: u64, limit: u64 },
    #[error("expected one batch, found {0}")]
    Batches(usize),
}

/// A batch as a complete IPC stream, its body not compressed (the producer compresses).
pub fn encode(batch: &RecordBatch) -> Result<Bytes, IpcError> {
    let size = batch.get_array_memory_size() + 1024;
    let options = IpcWriteOptions::default();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::with_capacity(size), &batch.schema(), options)
            .map_err(IpcError::Encode)?;
    writer.write(batch).map_err(IpcError::Encode)?;
    Ok(Bytes::from(writer.into_inner().map_err(IpcError::Encode)?))
}

/// The one batch of a payload.
pub fn decode(payload: &[u8], limits: Limits) -> Result<RecordBatch, IpcError> {
    check::declared(payload, limits)?;
    // Arrow validates what it reads, but an arithmetic panic inside it must not stop a stage.
    catch_unwind(AssertUnwindSafe(|| read_one(payload, None)))
        .unwrap_or_else(|_| Err(IpcError::Decode("the reader panicked".to_owned())))
}

/// As `decode`, but of the named columns only, those that are there, in the stream's order. They
/// share the payload's memory.
pub fn decode_columns(
    payload: &Bytes,
    limits: Limits,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<RecordBatch, IpcError> {
    check::declared(payload, limits)?;
    catch_unwind(AssertUnwindSafe(|| columns::read(payload, wanted)))
        .unwrap_or_else(|_| Err(IpcError::Decode("the reader panicked".to_owned())))
}

fn read_one(payload: &[u8], columns: Option<Vec<usize>>) -> Result<RecordBatch, IpcError> {
    let decode = |e: arrow::error::ArrowError| IpcError::Decode(e.to_string());
    let mut reader = StreamReader::try_new(Cursor::new(payload), columns).map_err(decode)?;
    let Some(first) = reader.next() else {
        return Err(IpcError::Batches(0));
    };
    let batch = first.map_err(decode)?;
    match reader.next() {
        None => Ok(batch),
        Some(_) => Err(IpcError::Batches(2)),
    }
}
