//! What the engine keeps at most, and for how long. Every limit has a reason in `problem` or a
//! counter that says when it was met.

use garde::Validate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Exporters known at once.
    #[garde(range(min = 1))]
    pub exporters_max: usize,
    /// Observation domains of one exporter.
    #[garde(range(min = 1))]
    pub domains_max: usize,
    /// Observation domains of all exporters together; each takes a few KB.
    #[garde(range(min = 1))]
    pub domains_total_max: usize,
    /// Templates of one observation domain; the one longest unused makes room.
    #[garde(range(min = 1))]
    pub templates_max: usize,
    /// Templates of all exporters together.
    #[garde(range(min = 1))]
    pub templates_total_max: usize,
    /// Fields of one template.
    #[garde(range(min = 1))]
    pub template_fields_max: usize,
    /// Samplers of one observation domain.
    #[garde(range(min = 1))]
    pub samplers_max: usize,
    /// Data sets of one exporter that wait for their templates.
    #[garde(skip)]
    pub waiting_sets_max: usize,
    /// ... and their bytes.
    #[garde(skip)]
    pub waiting_bytes_max: usize,
    /// Bytes that wait for templates in all.
    #[garde(skip)]
    pub waiting_total_bytes_max: usize,
    /// How long data waits for a template, ms. Cisco repeats templates every 30 minutes by default.
    #[garde(range(min = 1))]
    pub waiting_ms_max: i64,
    /// Rows of one batch of flows.
    #[garde(range(min = 1, max = 100_000))]
    pub batch_rows_max: usize,
    /// Bytes of elements without a column in one batch of flows.
    #[garde(range(min = 1))]
    pub batch_extra_bytes_max: usize,
    /// Interval of the ledger's rows in `metrics`, ms of receive time.
    #[garde(range(min = 1000))]
    pub ledger_interval_ms: i64,
    /// An exporter not heard for so long, ms, is forgotten.
    #[garde(range(min = 1000))]
    pub exporter_idle_ms: i64,
    /// Undecodable datagrams kept for the dead letters until they are taken.
    #[garde(skip)]
    pub rejects_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            exporters_max: 16_384,
            domains_max: 1_024,
            domains_total_max: 131_072,
            templates_max: 1_024,
            templates_total_max: 262_144,
            template_fields_max: 1_024,
            samplers_max: 4_096,
            waiting_sets_max: 4_096,
            waiting_bytes_max: 4 << 20,
            waiting_total_bytes_max: 64 << 20,
            waiting_ms_max: 1_860_000,
            batch_rows_max: 1_500,
            batch_extra_bytes_max: 256 << 10,
            ledger_interval_ms: 10_000,
            exporter_idle_ms: 86_400_000,
            rejects_max: 256,
        }
    }
}
