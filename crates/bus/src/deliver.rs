//! A few records to the log, now: for commands and for what is written once in a process's life.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::log::{Log, LogError};
use crate::record::OutRecord;

const POLL: Duration = Duration::from_millis(100);

/// Sends records and waits for all their delivery reports. What was delivered before an error is
/// on the log.
pub fn deliver(
    log: &dyn Log,
    stage: &str,
    instance: &str,
    records: &[OutRecord],
    patience: Duration,
) -> Result<(), LogError> {
    let late = || LogError::Timeout { call: "the delivery report", limit: patience };
    let mut producer = log.producer(stage, instance)?;
    let deadline = Instant::now() + patience;
    let (mut waiting, mut sent) = (BTreeSet::new(), 0);
    while sent < records.len() || !waiting.is_empty() {
        while sent < records.len()
            && let Some(ticket) = producer.send(&records[sent])?
        {
            waiting.insert(ticket);
            sent += 1;
        }
        for delivery in producer.poll(POLL) {
            waiting.remove(&delivery.ticket);
            delivery.result.map_err(|reason| LogError::call("the delivery", reason))?;
        }
        if Instant::now() > deadline {
            return Err(late());
        }
    }
    Ok(())
}
