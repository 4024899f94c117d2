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
/// Devices that the group has given to this instance to poll.
pub const SNMP_DEVICES: &str = "gannet_ingest_snmp_devices";
/// Polls begun.
pub const SNMP_POLLS: &str = "gannet_ingest_snmp_polls_total";
/// Polls not made because the one before was late, or too many devices were asked at once.
pub const SNMP_MISSED: &str = "gannet_ingest_snmp_polls_missed_total";
/// Polls that were cut because their time was over; what they had counts.
pub const SNMP_CUT: &str = "gannet_ingest_snmp_polls_cut_total";
/// Polls whose rows the publisher had no room for.
pub const SNMP_POLLS_DROPPED: &str = "gannet_ingest_snmp_polls_dropped_total";
/// Polls in which the device started anew.
pub const SNMP_RESTARTS: &str = "gannet_ingest_snmp_restarts_within_poll_total";
/// Requests to devices, without their repetitions.
pub const SNMP_REQUESTS: &str = "gannet_ingest_snmp_requests_total";
/// Requests that were not answered, repetitions included.
pub const SNMP_TIMEOUTS: &str = "gannet_ingest_snmp_timeouts_total";
/// Answers that were not as they should be, by `reason`.
pub const SNMP_FAULTS: &str = "gannet_ingest_snmp_faults_total";
/// Devices that are asked row by row from then on, until names are read again.
pub const SNMP_FALLBACKS: &str = "gannet_ingest_snmp_fallbacks_total";
/// Devices that failed so often that they are only asked whether they live.
pub const SNMP_BREAKERS: &str = "gannet_ingest_snmp_breakers_opened_total";
/// Devices of the inventory without an address or a credential that is known here.
pub const SNMP_UNPOLLED: &str = "gannet_ingest_snmp_devices_unusable_total";
/// Answers that could not be read at all.
pub const SNMP_UNUSABLE: &str = "gannet_ingest_snmp_answers_unusable_total";
/// How often the pollers' group was lost and joined again.
pub const SNMP_PLAN_FAILURES: &str = "gannet_ingest_snmp_plan_failures_total";

/// What of a poller's sums has been counted.
#[derive(Debug, Default)]
pub struct PollsCounted(crate::snmp::poller::Counts);

/// Messages of syslog, by `kind` of event.
pub const SYSLOG_MESSAGES: &str = "gannet_ingest_syslog_messages_total";
/// Those longer than the limit, of which the rest was cut.
pub const SYSLOG_CUT: &str = "gannet_ingest_syslog_messages_cut_total";
/// Those without a header that is known: neither priority nor time nor mark.
pub const SYSLOG_BARE: &str = "gannet_ingest_syslog_messages_bare_total";
/// Those whose connection ended before they did; what had come of them is stored.
pub const SYSLOG_UNFINISHED: &str = "gannet_ingest_syslog_messages_unfinished_total";
/// Senders connected over TCP.
pub const SYSLOG_CONNECTIONS: &str = "gannet_ingest_syslog_connections";
/// Connections that ended, by `reason` (`ended`, `idle`, `refused`, `length`, `error`, `shutdown`).
pub const SYSLOG_CLOSED: &str = "gannet_ingest_syslog_connections_closed_total";

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

// === impl PollsCounted ===

impl PollsCounted {
    /// Counts what the poller did since the last call.
    pub fn step(&mut self, now: &crate::snmp::poller::Counts) {
        let before = &self.0;
        counter!(SNMP_POLLS).increment(now.polls - before.polls);
        counter!(SNMP_MISSED).increment(now.missed - before.missed);
        counter!(SNMP_CUT).increment(now.deadlines - before.deadlines);
        counter!(SNMP_RESTARTS).increment(now.restarts_within - before.restarts_within);
        counter!(SNMP_REQUESTS).increment(now.requests - before.requests);
        counter!(SNMP_TIMEOUTS).increment(now.timeouts - before.timeouts);
        counter!(SNMP_FALLBACKS).increment(now.fallbacks - before.fallbacks);
        counter!(SNMP_BREAKERS).increment(now.breakers - before.breakers);
        counter!(SNMP_UNPOLLED).increment(now.unusable - before.unusable);
        for (fault, count) in &now.faults {
            let step = count - before.faults.get(fault).copied().unwrap_or(0);
            counter!(SNMP_FAULTS, "reason" => fault.name()).increment(step);
        }
        if *now != *before {
            self.0 = now.clone();
        }
    }
}
