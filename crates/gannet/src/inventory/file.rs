//! The inventory file: its form, and what must hold between its parts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use garde::Validate;
use runtime::config::{ConfigError, ConfigSource, Diagnostic, Loaded, load as load_source};
use serde::{Deserialize, Serialize};

/// A network as its operators know it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Inventory {
    /// The network whose parts can share a root cause.
    #[garde(skip)]
    pub domain: String,
    /// Device that Gannet itself manages the network from.
    #[garde(skip)]
    pub management: Option<String>,
    #[garde(dive)]
    pub devices: Vec<DeviceEntry>,
    #[garde(skip)]
    pub links: Vec<LinkEntry>,
    #[garde(skip)]
    pub networks: Vec<NetworkEntry>,
    #[garde(skip)]
    pub groups: Vec<MembersEntry>,
    #[garde(skip)]
    pub services: Vec<MembersEntry>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    #[garde(length(min = 1, max = 200))]
    pub name: String,
    /// Polled here; its syslog and, unless `exporter` says otherwise, its flows come from here.
    #[garde(skip)]
    pub address: IpAddr,
    #[serde(default)]
    #[garde(skip)]
    pub exporter: Option<IpAddr>,
    #[garde(length(min = 1, max = 50))]
    pub role: String,
    /// By which actions are bound to drivers.
    #[serde(default)]
    #[garde(skip)]
    pub class: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    pub site: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    pub snmp: Option<SnmpEntry>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SnmpEntry {
    #[serde(default = "snmp_port")]
    pub port: u16,
    /// Name of a credential in `ingest.snmp.credentials`.
    pub credential: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    /// `DEVICE INTERFACE`
    pub a: String,
    pub b: String,
    #[serde(default)]
    pub speed_bps: Option<u64>,
}

/// Addresses behind an interface.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    pub name: String,
    pub prefix: String,
    /// `DEVICE INTERFACE`
    pub at: String,
}

/// A group that shares a risk, or a service: ids of its elements.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MembersEntry {
    pub name: String,
    pub members: Vec<String>,
}

fn snmp_port() -> u16 {
    161
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Inventory, ConfigError> {
    checked(load_source(ConfigSource::file(path))?)
}

/// The same of a text.
pub fn load_text(name: &str, text: &str) -> Result<Inventory, ConfigError> {
    checked(load_source(ConfigSource::text(name, text))?)
}

fn checked(mut loaded: Loaded<Inventory>) -> Result<Inventory, ConfigError> {
    if loaded.value.domain.is_empty() {
        loaded.value.domain = model::DEFAULT_DOMAIN.to_owned();
    }
    let diagnostics = problems(&loaded);
    if diagnostics.is_empty() { Ok(loaded.value) } else { Err(ConfigError { diagnostics }) }
}

/// All that does not fit together, each at its place.
fn problems(loaded: &Loaded<Inventory>) -> Vec<Diagnostic> {
    let inventory = &loaded.value;
    let mut found = Vec::new();
    let mut say = |path: String, message: String| {
        found.push(Diagnostic::new(message).at(loaded.place_of(&path)));
    };
    if inventory.domain.contains('/') {
        say("domain".to_owned(), "a domain has no `/` in its name".to_owned());
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (at, device) in inventory.devices.iter().enumerate() {
        if !names.insert(&device.name) {
            say(format!("devices[{at}].name"), format!("device {} is there twice", device.name));
        }
        if device.name.contains([' ', '/']) {
            let message = format!("device {:?}: a name has no space and no `/`", device.name);
            say(format!("devices[{at}].name"), message);
        }
    }
    let mut need = |path: String, device: &str| {
        if !names.contains(device) {
            say(path, format!("there is no device {device}"));
        }
    };
    for (at, link) in inventory.links.iter().enumerate() {
        need(format!("links[{at}].a"), end(&link.a).0);
        need(format!("links[{at}].b"), end(&link.b).0);
    }
    for (at, network) in inventory.networks.iter().enumerate() {
        need(format!("networks[{at}].at"), end(&network.at).0);
    }
    if let Some(management) = &inventory.management {
        need("management".to_owned(), management);
    }
    let ids = super::elements::ids(inventory);
    for (kind, all) in [("groups", &inventory.groups), ("services", &inventory.services)] {
        for (at, entry) in all.iter().enumerate() {
            for (nth, member) in entry.members.iter().enumerate() {
                if !ids.contains(member) {
                    let path = format!("{kind}[{at}].members[{nth}]");
                    say(path, format!("there is no element {member}"));
                }
            }
        }
    }
    found
}

/// The device and the interface of `DEVICE INTERFACE`.
pub(super) fn end(text: &str) -> (&str, &str) {
    text.split_once(' ').map_or((text, ""), |(device, interface)| (device, interface.trim()))
}
