//! What a run of the simulated network can be told.

use serde::{Deserialize, Serialize};

use super::faults::Placed;
use super::layout::{Device, Role};
use crate::encode::Protocol;
use crate::scenario::Curve;

/// Which devices export flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exporters {
    #[default]
    Edges,
    /// Conversations that pass both are told twice, as in life.
    EdgesAndAccess,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// The same seed, parameters and requests make the same bytes.
    pub seed: u64,
    /// Milliseconds since 1970 at which the run begins.
    pub start_ms: i64,
    pub curve: Curve,
    /// Flow records a second over both edges, averaged over a working day.
    pub flows_per_s: f64,
    pub exporters: Exporters,
    pub template_refresh_s: u64,
    pub flush_ms: u64,
    pub faults: Vec<Placed>,
    /// Devices accept a repair and do not do it.
    pub deaf: bool,
    pub syn_per_s: f64,
    /// Forged sources of a flood.
    pub sources: u32,
    /// Messages of no meaning, a device and hour.
    pub chatter_per_h: f64,
    /// Written into the inventory.
    pub snmp_port: u16,
}

// === impl Params ===

impl Default for Params {
    fn default() -> Params {
        Params {
            seed: 1,
            start_ms: 0,
            curve: Curve::Daily,
            flows_per_s: 400.0,
            exporters: Exporters::Edges,
            template_refresh_s: 60,
            flush_ms: 500,
            faults: Vec::new(),
            deaf: false,
            syn_per_s: 2_000.0,
            sources: 37_623,
            chatter_per_h: 4.0,
            snmp_port: 1161,
        }
    }
}

// === impl Exporters ===

impl Exporters {
    /// What a device exports with, where it is to export.
    pub fn take(self, device: &Device) -> Option<Protocol> {
        match (self, device.role) {
            (Exporters::Edges, Role::Switch) => None,
            _ => device.exports,
        }
    }
}
