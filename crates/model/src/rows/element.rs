//! Elements of the network: as the inventory says them (`evidence.topology`), and as they now are
//! (`topology`). Both have the same columns.

use arrow::array::RecordBatch;

use super::read::RowError;
use super::table::{table, words};
use crate::schema;

words! {
    ElementKind in "kind" {
        Node = "node",
        Link = "link",
        /// Elements that share a risk: a conduit, a power feed.
        Group = "group",
        Service = "service",
    }
}

table! {
    /// One node, link, risk group or service.
    Element of topology_evidence {
        domain: String = "domain",
        time_ms: i64 = "time",
        /// `node/NAME`, `link/DEVICE INTERFACE--DEVICE INTERFACE`, `group/NAME`, `service/NAME`.
        id: String = "id",
        kind: ElementKind = "kind",
        name: String = "name",
        role: Option<String> = "role",
        site: Option<String> = "site",
        address: Option<String> = "address",
        exporter: Option<String> = "exporter",
        class: Option<String> = "class",
        a_device: Option<String> = "a_device",
        a_interface: Option<String> = "a_interface",
        b_device: Option<String> = "b_device",
        b_interface: Option<String> = "b_interface",
        speed_bps: Option<u64> = "speed_bps",
        management: Option<bool> = "management",
        members: Vec<String> = "members",
        removed: bool = "removed",
    }
}

// === impl Element ===

impl Element {
    /// As it stands on `topology`.
    pub fn to_topology(rows: &[Element]) -> Result<RecordBatch, RowError> {
        let batch = Element::to_batch(rows)?;
        Ok(schema::topology().conform(&batch)?)
    }

    /// From `topology`.
    pub fn from_topology(batch: &RecordBatch) -> Result<Vec<Element>, RowError> {
        Element::from_batch(batch)
    }

    /// The key of its record on `topology`.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.domain, self.id)
    }

    /// The id of a link between two ends, the lesser first, whichever way they are given.
    pub fn link_id(a: (&str, &str), b: (&str, &str)) -> String {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        format!("link/{} {}--{} {}", a.0, a.1, b.0, b.1)
    }
}
