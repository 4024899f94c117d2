//! Names of ingest's metrics, and how they are counted: once a tick, from sums that the engine and
//! the publisher keep.

use metrics::{counter, gauge};

use crate::engine::Engine;
use crate::engine::problem::Problems;

/// Datagrams received and handed to the decoder.
pub const DATAGRAMS: &str = "gannet_ingest_datagrams_total";
/// Datagrams that came twice; nothing of them is stored again.
pub const DUPLICATES: &str = "gannet_ingest_datagrams_duplicate_total";
/// Datagrams dropped, by `reason` (`kernel`, `queue`).
pub const DROPPED: &str = "gannet_ingest_datagrams_dropped_total";
/// Flow records decoded.
pub const DECODED: &str = "gannet_ingest_records_decoded_total";
/// Options records decoded.
pub const OPTIONS: &str = "gannet_ingest_options_decoded_total";
/// Rows that the log has acknowledged, by `topic`.
pub const STORED: &str = "gannet_ingest_records_stored_total";
/// Rows that were lost here, by `reason` (`spool`, `spool_full`, `too_large`, `drain`).
pub const LOST: &str = "gannet_ingest_records_lost_total";
/// What was not decoded, by `reason`.
pub const PROBLEMS: &str = "gannet_ingest_decode_problems_total";
/// Undecodable datagrams beyond the rate of dead letters, or beyond what is kept of them.
pub const DEAD_LETTERS_REFUSED: &str = "gannet_ingest_dead_letters_refused_total";
/// Messages that the log refused after all retries and that were sent again.
pub const RESENT: &str = "gannet_ingest_messages_resent_total";
/// Data sets that wait for their template.
pub const WAITING: &str = "gannet_ingest_waiting_sets";
pub const WAITING_BYTES: &str = "gannet_ingest_waiting_bytes";
/// Templates kept.
pub const TEMPLATES: &str = "gannet_ingest_templates";
/// Exporters known.
pub const EXPORTERS: &str = "gannet_ingest_exporters";
/// Exporters forgotten because they were silent for too long.
pub const FORGOTTEN: &str = "gannet_ingest_exporters_forgotten_total";
/// Bytes that wait in the spool.
pub const SPOOL_BYTES: &str = "gannet_ingest_spool_bytes";
/// Bytes sent and not acknowledged.
pub const IN_FLIGHT_BYTES: &str = "gannet_ingest_in_flight_bytes";
/// Receive buffer that the kernel gave, of one socket.
pub const RECEIVE_BUFFER_BYTES: &str = "gannet_ingest_receive_buffer_bytes";
/// Devices of the inventory that are known here.
pub const DEVICES: &str = "gannet_ingest_devices";
/// Devices beyond the limit.
pub const DEVICES_REFUSED: &str = "gannet_ingest_devices_refused_total";
/// Interfaces that are known here.
pub const INTERFACES: &str = "gannet_ingest_interfaces";
/// Interfaces beyond the limit.
pub const INTERFACES_REFUSED: &str = "gannet_ingest_interfaces_refused_total";
/// Messages of the inventory and of interfaces that could not be read.
pub const WATCH_FAILURES: &str = "gannet_ingest_watch_failures_total";

/// What of the engine's sums has been counted.
#[derive(Debug, Default)]
pub struct Counted {
    counts: crate::engine::Counts,
    problems: Problems,
}

// === impl Counted ===

impl Counted {
    /// Counts what the engine did since the last call.
    pub fn engine(&mut self, engine: &Engine) {
        let (now, before) = (engine.counts(), self.counts);
        counter!(DATAGRAMS).increment(now.datagrams - before.datagrams);
        counter!(DUPLICATES).increment(now.duplicates - before.duplicates);
        counter!(DECODED).increment(now.records - before.records);
        counter!(OPTIONS).increment(now.options_records - before.options_records);
        counter!(DEAD_LETTERS_REFUSED).increment(now.rejects_dropped - before.rejects_dropped);
        counter!(FORGOTTEN).increment(now.exporters_forgotten - before.exporters_forgotten);
        self.counts = now;
        for (reason, count) in engine.problems().iter() {
            let step = count - self.problems.get(reason);
            counter!(PROBLEMS, "reason" => reason.name()).increment(step);
        }
        self.problems = engine.problems().clone();
        let usage = engine.usage();
        gauge!(WAITING).set(usage.waiting_sets as f64);
        gauge!(WAITING_BYTES).set(usage.waiting_bytes as f64);
        gauge!(TEMPLATES).set(usage.templates as f64);
        gauge!(EXPORTERS).set(engine.exporters() as f64);
    }
}
