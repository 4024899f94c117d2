//! The ordinary producer of the embedded log: sends without waiting, with a bounded queue, and
//! reports each record once it is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec;
use super::writer::{Core, Reports, Request};
use crate::RECORD_BYTES_MAX;
use crate::log::{Delivery, LogError, Producer};
use crate::metrics as names;
use crate::record::OutRecord;

pub struct EmbeddedProducer {
    core: Arc<Core>,
    reports: Arc<Reports>,
    next_ticket: u64,
    in_flight: usize,
    bytes: usize,
}

// === impl EmbeddedProducer ===

impl EmbeddedProducer {
    pub fn new(core: &Arc<Core>) -> EmbeddedProducer {
        let reports = Arc::new(Reports::default());
        EmbeddedProducer { core: Arc::clone(core), reports, next_ticket: 0, in_flight: 0, bytes: 0 }
    }
}

impl Producer for EmbeddedProducer {
    fn send(&mut self, record: &OutRecord) -> Result<Option<u64>, LogError> {
        let bytes = codec::len(record);
        if bytes > RECORD_BYTES_MAX {
            let limit = RECORD_BYTES_MAX;
            let reason = format!("a record of {bytes} bytes is over the limit of {limit}");
            return Err(LogError::Call { call: "send", reason });
        }
        let limit = self.core.shared.settings.queue_bytes_max;
        let queue_full = self.in_flight > 0 && self.bytes + bytes > limit;
        if queue_full || self.core.shared.state().full {
            metrics::counter!(names::QUEUE_FULL).increment(1);
            return Ok(None);
        }
        let ticket = self.next_ticket;
        let reports = Arc::clone(&self.reports);
        self.core.submit(Request::Produce { record: record.clone(), ticket, reports })?;
        self.next_ticket += 1;
        self.in_flight += 1;
        self.bytes += bytes;
        Ok(Some(ticket))
    }

    fn poll(&mut self, timeout: Duration) -> Vec<Delivery> {
        if self.in_flight == 0 {
            // Who was not let in because the log is full comes back here: not in a busy circle.
            self.core.shared.wait_for_room(Instant::now() + timeout);
            return Vec::new();
        }
        let deliveries = self.reports.take(Instant::now() + timeout);
        self.in_flight = self.in_flight.saturating_sub(deliveries.len());
        let bytes: usize = deliveries.iter().map(|delivery| codec::len(&delivery.record)).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        deliveries
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}
