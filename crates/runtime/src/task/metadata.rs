//! What a commit keeps beside a task's offset: the source topic's id, where the snapshots are, what
//! was skipped, and the whole state where it is small. Readable JSON of at most 4,096 bytes.

use serde::{Deserialize, Serialize};

use super::state::SavedTask;

/// `offset.metadata.max.bytes` of a Kafka broker, by default.
pub const METADATA_BYTES_MAX: usize = 4_096;
const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    v: u32,
    /// The log's id of the input topic.
    pub topic: String,
    /// The last snapshot, then the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snaps: Vec<Pointer>,
    /// Offsets on which the engine panicked, rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<Small>,
}

/// A small state, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Small {
    pub task: SavedTask,
    pub note: String,
}

/// Where a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Partition and offset on the snapshot topic.
    pub p: u32,
    pub o: i64,
    /// The input offset from which on the state has not seen.
    pub at: i64,
}

// === impl Metadata ===

impl Metadata {
    pub fn new(topic_id: &str) -> Metadata {
        Metadata { v: VERSION, topic: topic_id.to_owned(), ..Metadata::default() }
    }

    /// The text, and how many of the oldest skipped offsets it had no room for.
    pub fn encode(mut self) -> (String, u64) {
        let mut refused = 0;
        loop {
            let text = serde_json::to_string(&self).expect("numbers and strings are JSON");
            if text.len() <= METADATA_BYTES_MAX || self.skip.is_empty() {
                return (text, refused);
            }
            let over = text.len() - METADATA_BYTES_MAX;
            // An offset takes at most 20 digits and a comma.
            let gone = over.div_ceil(21).clamp(1, self.skip.len());
            self.skip.drain(..gone);
            refused += gone as u64;
        }
    }

    pub fn parse(text: &str) -> Result<Metadata, String> {
        let metadata: Metadata = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match metadata.v {
            VERSION => Ok(metadata),
            other => Err(format!("version {other}, expected {VERSION}")),
        }
    }
}
