//! What librdkafka can and rust-rdkafka does not offer: topic ids, access rights, and the topic of
//! an end of partition or an error. With its own `acls` the only files with `unsafe`.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka_sys as sys;

use crate::log::LogError;
use crate::record::{Headers, Record};

mod acls;

pub use acls::{create_acl, describe_acls};

/// Id and number of partitions of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub id: String,
    pub partitions: u32,
}

/// What a poll of a reader gives.
pub enum Polled {
    Record(Record),
    End { topic: Arc<str>, partition: u32, next: i64 },
    Failed { code: sys::RDKafkaErrorCode, place: Option<(String, u32, i64)>, reason: String },
}

/// Frees a native object when it goes out of scope.
struct Owned<T> {
    ptr: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

// === impl Owned ===

impl<T> Owned<T> {
    /// `None` for a null pointer.
    fn new(ptr: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Owned<T>> {
        // Not `then_some`: it would make the value, and drop it, for a null pointer too.
        (!ptr.is_null()).then(|| Owned { ptr, free })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `ptr` is not null (checked in `new`), came from the library's constructor that
        // `free` belongs to, and is owned by this value alone.
        unsafe { (self.free)(self.ptr) }
    }
}

/// Describes one topic; `None` where there is none. `rk` must be a live client's handle.
pub fn describe_topic(
    rk: *mut sys::rd_kafka_t,
    topic: &str,
    timeout: Duration,
) -> Result<Option<Described>, LogError> {
    let failed = |reason: &str| LogError::call("describe", format!("{topic}: {reason}"));
    let name = CString::new(topic).map_err(|_| failed("a name with a zero byte"))?;
    let event = describe_event(rk, &name, timeout)
        .ok_or(LogError::Timeout { call: "describe", limit: timeout })?;
    // SAFETY: the event is not null and lives to the end of this function; the result and the
    // descriptions are owned by it; `count` outlives the call.
    unsafe {
        let error = sys::rd_kafka_event_error(event.ptr);
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(&text(sys::rd_kafka_event_error_string(event.ptr))));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr);
        if result.is_null() {
            return Err(failed("no result"));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Ok(None);
        }
        described(*topics).map_err(|reason| failed(&reason))
    }
}

/// Asks and waits; `None` after the timeout.
fn describe_event(
    rk: *mut sys::rd_kafka_t,
    name: &CStr,
    timeout: Duration,
) -> Option<Owned<sys::rd_kafka_event_t>> {
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    let api = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the library copies the names, and the request the collection; `rk` is a live client's
    // handle (the caller's promise).
    unsafe {
        let topics = Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )?;
        ask(rk, api, timeout, |options, queue| {
            sys::rd_kafka_DescribeTopics(rk, topics.ptr, options, queue);
        })
    }
}

/// Makes one request of administration and waits for its answer; `None` after the timeout.
///
/// # Safety
/// `rk` must be a live client's handle.
unsafe fn ask(
    rk: *mut sys::rd_kafka_t,
    api: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    request: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Option<Owned<sys::rd_kafka_event_t>> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut reason = [0 as c_char; 256];
    // SAFETY: `rk` is alive (the caller's promise); every object made here is freed by its `Owned`,
    // and the request keeps its own reference to the queue until it has answered.
    unsafe {
        let options = Owned::new(
            sys::rd_kafka_AdminOptions_new(rk, api),
            sys::rd_kafka_AdminOptions_destroy,
        )?;
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr,
            timeout_ms,
            reason.as_mut_ptr(),
            reason.len(),
        );
        let queue = Owned::new(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy)?;
        request(options.ptr, queue.ptr);
        let wait_ms = timeout_ms.saturating_add(500);
        Owned::new(sys::rd_kafka_queue_poll(queue.ptr, wait_ms), sys::rd_kafka_event_destroy)
    }
}

/// # Safety
/// `topic` must point at a description whose event is alive.
unsafe fn described(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<Option<Described>, String> {
    // SAFETY: the description is alive (the caller's promise) and owns the error, the id and the
    // partitions; an error may be null, which means none.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code = sys::rd_kafka_error_code(error);
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART {
            return Ok(None);
        }
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(sys::rd_kafka_error_string(error)));
        }
        let mut count = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let high = sys::rd_kafka_Uuid_most_significant_bits(id);
        let low = sys::rd_kafka_Uuid_least_significant_bits(id);
        let partitions = u32::try_from(count).map_err(|e| e.to_string())?;
        Ok(Some(Described { id: uuid_text(high, low), partitions }))
    }
}

/// As Kafka's own tools print a topic id: base64 with the alphabet for URLs, without padding.
pub fn uuid_text(high: i64, low: i64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 digits of 6 and one of 2, which is filled up with zeros.
    let bits = (u128::from(high as u64) << 64) | u128::from(low as u64);
    let digit = |at: u32| match at {
        21 => (bits << 4) & 63,
        _ => (bits >> (122 - 6 * at)) & 63,
    };
    (0..22).map(|at| char::from(ALPHABET[digit(at) as usize])).collect()
}

/// The id that the group's coordinator gave a consumer; empty while it is no member. `rk` must be a
/// live consumer's handle.
pub fn member_id(rk: *mut sys::rd_kafka_t) -> String {
    // SAFETY: `rk` is a live consumer's handle (the caller's promise); the text is null or owned
    // here until it is freed, and copied before.
    unsafe {
        let id = sys::rd_kafka_memberid(rk);
        let copied = text(id);
        if !id.is_null() {
            sys::rd_kafka_mem_free(rk, id.cast());
        }
        copied
    }
}

/// Polls a consumer that has partitions assigned by hand. `rk` must be a live client's handle.
pub fn poll(rk: *mut sys::rd_kafka_t, timeout: Duration) -> Option<Polled> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `rk` is a live consumer's handle (the caller's promise); the message is owned here
    // until `Owned` frees it, and everything taken from it is copied before.
    unsafe {
        let polled = sys::rd_kafka_consumer_poll(rk, timeout_ms);
        let message = Owned::new(polled, sys::rd_kafka_message_destroy)?;
        let topic = match (*message.ptr).rkt {
            rkt if rkt.is_null() => None,
            rkt => Some(text(sys::rd_kafka_topic_name(rkt))),
        };
        let (partition, offset) = ((*message.ptr).partition, (*message.ptr).offset);
        let partition = u32::try_from(partition).unwrap_or(0);
        match ((*message.ptr).err, topic) {
            (sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, Some(topic)) => {
                let topic = Arc::from(topic);
                Some(Polled::Record(record(message.ptr, topic, partition)))
            }
            (sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF, Some(topic)) => {
                Some(Polled::End { topic: Arc::from(topic), partition, next: offset })
            }
            (error, topic) => {
                let place = topic.map(|topic| (topic, partition, offset));
                let reason = text(sys::rd_kafka_message_errstr(message.ptr));
                Some(Polled::Failed { code: error.into(), place, reason })
            }
        }
    }
}

/// # Safety
/// `message` must point at a live message without an error.
unsafe fn record(
    message: *const sys::rd_kafka_message_t,
    topic: Arc<str>,
    partition: u32,
) -> Record {
    // SAFETY: the message is alive (the caller's promise); payload and key are null or as long as
    // the lengths beside them say.
    unsafe {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let timestamp_ms = sys::rd_kafka_message_timestamp(message, &mut kind);
        Record {
            topic,
            partition,
            offset: (*message).offset,
            timestamp_ms,
            key: copied((*message).key, (*message).key_len),
            headers: headers(message),
            payload: copied((*message).payload, (*message).len),
        }
    }
}

/// # Safety
/// `message` must point at a live message.
unsafe fn headers(message: *const sys::rd_kafka_message_t) -> Headers {
    let mut headers = Headers::new();
    // SAFETY: the message owns its headers and outlives this function; the out pointers are valid
    // for the calls, and are read only where the call says that it has set them.
    unsafe {
        let mut list = std::ptr::null_mut();
        let none = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        if sys::rd_kafka_message_headers(message, &mut list) != none {
            return headers;
        }
        let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
        let mut at = 0;
        while sys::rd_kafka_header_get_all(list, at, &mut name, &mut value, &mut len) == none {
            headers.push((Arc::from(text(name)), copied(value, len).unwrap_or_default()));
            at += 1;
        }
    }
    headers
}

/// # Safety
/// `start` must be null or point at `len` readable bytes.
unsafe fn copied(start: *const c_void, len: usize) -> Option<Bytes> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and `len` bytes long (the caller's promise).
    Some(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) }))
}

/// # Safety
/// `text` must be null or a zero-terminated string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and terminated (the caller's promise).
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
