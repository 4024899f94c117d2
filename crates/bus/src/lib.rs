//! The log: topics, records, framing, task input and commit. Two engines stand behind one set of
//! traits, `kafka` (a cluster) and `embedded` (one process). The only crate that knows Kafka; it
//! leaves the task loop, snapshots and watermarks to `runtime`.

pub mod log;
pub mod record;
pub mod topics;

pub use log::{
    Admin, CommitError, Committed, Delivery, Event, Log, LogError, Producer, ReadEvent, Reader,
    TaskId, Tasks, Transaction,
};
pub use record::{Headers, Name, OutRecord, Record, Writer};
