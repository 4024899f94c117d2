//! The state as blocks: each execution and each incident one, so that what did not change costs a
//! snapshot nothing. JSON, because a plan holds values of any kind.

use bytes::Bytes;
use model::rows::Incident;
use model::schema::hex16;
use runtime::task::{Block, RestoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Act, Execution};

/// Format of these blocks; another one is not read, and the task falls back to its input.
const EXECUTION: &str = "execution/1/";
const INCIDENT: &str = "incident/1/";

// === impl Act ===

impl Act {
    pub fn blocks(&self) -> Vec<Block> {
        let executions = self.executions.values().map(|e| block(EXECUTION, &e.id, e));
        let incidents = self.incidents.values().map(|i| block(INCIDENT, &i.id, i));
        executions.chain(incidents).collect()
    }

    pub fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        for block in blocks {
            if block.name.starts_with(EXECUTION) {
                let execution: Execution = read(block)?;
                self.now_ms = self.now_ms.max(execution.updated_ms);
                self.executions.insert(execution.id.clone(), execution);
            } else if block.name.starts_with(INCIDENT) {
                let incident: Incident = read(block)?;
                self.incident(incident);
            } else {
                return Err(RestoreError(format!("unexpected block {}", block.name)));
            }
        }
        Ok(())
    }
}

/// Ids come from content and may be of any length in a hostile row: the name is of one length.
fn block<T: Serialize>(kind: &str, id: &str, value: &T) -> Block {
    let data = serde_json::to_vec(value).expect("plain data always has a form in JSON");
    Block { name: format!("{kind}{}", hex16(id.as_bytes())), data: Bytes::from(data) }
}

fn read<T: DeserializeOwned>(block: &Block) -> Result<T, RestoreError> {
    serde_json::from_slice(&block.data)
        .map_err(|error| RestoreError(format!("block {}: {error}", block.name)))
}
