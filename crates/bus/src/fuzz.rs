//! Entry points for fuzzing: what a foreign message can reach. They must return, whatever comes.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::LimitsConfig;
use crate::frame::{read, read_limits};
use crate::meta::Meta;
use crate::record::{Headers, Record};
use model::ipc;

/// A payload as Arrow.
pub fn arrow(data: &[u8]) {
    // An error is an answer.
    ipc::decode(data, read_limits(&LimitsConfig::default())).ok();
}

/// Headers (each a name and a value with a length byte in front), then the payload.
pub fn meta(data: &[u8]) {
    let mut rest = data;
    let mut headers = Headers::new();
    while let Some((name, value, after)) = header(rest) {
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
    Meta::parse(&record).ok();
    read(&record, &LimitsConfig::default()).ok();
}

fn header(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
    let (value_len, rest) = rest.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(*value_len))?;
    Some((name, value, rest))
}
