//! The log: topics, records, framing, task input and commit. Two engines stand behind one set of
//! traits, `kafka` (a cluster) and `embedded` (one process). The only crate that knows Kafka; it
//! leaves the task loop, snapshots and watermarks to `runtime`.

pub mod acls;
pub mod config;
pub mod crash;
pub mod deliver;
pub mod embedded;
pub mod frame;
pub mod fuzz;
pub mod kafka;
pub mod latest;
pub mod layer;
pub mod log;
pub mod meta;
pub mod metrics;
pub mod partition;
pub mod record;
pub mod topics;

pub use config::BusConfig;
pub use crash::Crashing;
pub use deliver::deliver;
pub use embedded::EmbeddedLog;
pub use frame::{Framed, Outgoing, Time, Where, frame, heartbeat};
pub use kafka::KafkaLog;
pub use latest::latest;
pub use layer::{Layer, Layered};
pub use log::{
    Admin, CommitError, Committed, Delivery, Event, Log, LogError, Paused, Producer, ReadEvent,
    Reader, TaskId, Tasks, Transaction, from_start,
};
pub use meta::Meta;
pub use record::{Headers, Name, OutRecord, Record, Writer};

/// Opens the log that the configuration names.
pub fn open(config: &BusConfig) -> Result<std::sync::Arc<dyn Log>, LogError> {
    Ok(match config.engine {
        config::Engine::Embedded => std::sync::Arc::new(EmbeddedLog::open(config)?),
        config::Engine::Kafka => std::sync::Arc::new(KafkaLog::open(config)?),
    })
}

/// Bytes of a record with key and headers on either log: above the 900 KB that a message of ours
/// may have, below the 1,048,588 that a broker takes by default.
pub const RECORD_BYTES_MAX: usize = 1_000_000;
