//! Entry points for fuzzing: what a foreign message can reach. They must return, whatever comes.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::LimitsConfig;
use crate::frame::{read, read_limits};
use crate::meta::Meta;
use crate::record::{Headers, Record};
use model::ipc;

/// A payload as Arrow, whole and every second column, and as a topic's rows.
pub fn arrow(data: &[u8]) {
    let limits = read_limits(&LimitsConfig::default());
    // An error is an answer.
    let Ok(batch) = ipc::decode(data, limits) else { return };
    assert!(batch.num_rows() as u64 <= limits.rows_max);
    let payload = Bytes::copy_from_slice(data);
    ipc::decode_columns(&payload, limits, &|name| name.len() % 2 == 0).ok();
    model::schema::flows().conform(&batch).ok();
}

/// The number of headers (1 byte), headers (each a name and a value with a length byte in front),
/// then the payload.
pub fn meta(data: &[u8]) {
    let Some((count, mut rest)) = data.split_first() else { return };
    let mut headers = Headers::new();
    for _ in 0..*count {
        let Some((name, value, after)) = header(rest) else { break };
        headers.push((Arc::from(String::from_utf8_lossy(name)), Bytes::copy_from_slice(value)));
        rest = after;
    }
    let record = Record {
        topic: Arc::from("fuzz"),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        headers,
        payload: Some(Bytes::copy_from_slice(rest)),
    };
    if let Ok(meta) = Meta::parse(&record) {
        let again = Record { headers: meta.headers(), ..record.clone() };
        assert_eq!(Meta::parse(&again), Ok(meta), "headers of ours come back as they went");
    }
    read(&record, &LimitsConfig::default()).ok();
}

fn header(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
    let (value_len, rest) = rest.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(*value_len))?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests;
