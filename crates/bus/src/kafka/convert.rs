//! Records and tasks to the client library's forms and back.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Offset;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::util::IntoOpaque;

use crate::log::TaskId;
use crate::record::{Headers, OutRecord, Record};

/// A record as it was polled. Its bytes are copied: the client's buffers are soon used again.
pub fn record(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    Record {
        topic,
        partition: u32::try_from(message.partition()).unwrap_or(0),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers).unwrap_or_default(),
        payload: message.payload().map(Bytes::copy_from_slice),
    }
}

fn headers(found: &rdkafka::message::BorrowedHeaders) -> Headers {
    let one = |header: Header<'_, &[u8]>| {
        let value = header.value.map(Bytes::copy_from_slice).unwrap_or_default();
        (Arc::from(header.key), value)
    };
    found.iter().map(one).collect()
}

/// A record for the producer. Zero would mean "now" to the library, so the first millisecond of
/// 1970 is written as the second.
pub fn outgoing<D: IntoOpaque>(record: &OutRecord, opaque: D) -> BaseRecord<'_, [u8], [u8], D> {
    let partition = i32::try_from(record.partition).unwrap_or(i32::MAX);
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: Some(&value[..]) });
    }
    let mut out = BaseRecord::with_opaque_to(&record.topic, opaque)
        .partition(partition)
        .timestamp(record.timestamp_ms.max(1))
        .headers(headers);
    if let Some(key) = &record.key {
        out = out.key(&key[..]);
    }
    if let Some(payload) = &record.payload {
        out = out.payload(&payload[..]);
    }
    out
}

/// The tasks of a list of partitions.
pub fn tasks(list: &TopicPartitionList) -> Vec<TaskId> {
    let task = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let partition = u32::try_from(element.partition()).ok()?;
        Some(TaskId { topic: Arc::from(element.topic()), partition })
    };
    let mut tasks: Vec<TaskId> = list.elements().iter().filter_map(task).collect();
    tasks.sort();
    tasks
}

/// A list of one partition.
pub fn one(topic: &str, partition: u32, offset: Offset) -> Result<TopicPartitionList, String> {
    let mut list = TopicPartitionList::new();
    let partition = i32::try_from(partition).map_err(|e| e.to_string())?;
    list.add_partition_offset(topic, partition, offset).map_err(|e| e.to_string())?;
    Ok(list)
}
