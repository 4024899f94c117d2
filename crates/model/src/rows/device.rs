//! Devices to watch (`inventory`) and their interfaces as found (`interfaces`).

use super::table::table;

table! {
    /// One device to watch.
    Device of inventory {
        domain: String = "domain",
        device: String = "device",
        address: String = "address",
        /// Where its flows come from, where that is another address.
        exporter: Option<String> = "exporter",
        role: String = "role",
        class: Option<String> = "class",
        site: Option<String> = "site",
        /// Without one it is not polled.
        snmp_port: Option<u16> = "snmp_port",
        snmp_credential: Option<String> = "snmp_credential",
        updated_ms: i64 = "updated",
    }
}

table! {
    /// One interface as its device tells it.
    Interface of interfaces {
        domain: String = "domain",
        device: String = "device",
        name: String = "name",
        if_index: u32 = "if_index",
        alias: Option<String> = "alias",
        descr: Option<String> = "descr",
        speed_bps: Option<u64> = "speed_bps",
        admin_up: Option<bool> = "admin_up",
        oper_up: Option<bool> = "oper_up",
        address: Option<String> = "address",
        from_ms: i64 = "from",
        received_ms: i64 = "received",
    }
}

// === impl Device ===

impl Device {
    /// The key of its record.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.domain, self.device)
    }
}

// === impl Interface ===

impl Interface {
    /// The key of its record.
    pub fn record_key(&self) -> String {
        format!("{}/{}/{}", self.domain, self.device, self.name)
    }
}
