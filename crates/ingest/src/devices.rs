//! Which device an address is: the inventory as ingest knows it. All instances read all of it, so
//! that a message of any device is called by its name wherever it arrives. Rows of receivers ask
//! here; nothing waits for an answer, and an address that nobody knows stays an address.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use metrics::{counter, gauge};
use model::rows::Device;

use crate::metrics as names;

/// A shared map from addresses to devices. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Devices(Arc<RwLock<Known>>);

#[derive(Debug)]
struct Known {
    devices_max: usize,
    /// By record key.
    devices: BTreeMap<String, Device>,
    /// By address: the record keys of those that have it, and the name of the first.
    names: HashMap<IpAddr, (Vec<String>, Arc<str>)>,
    /// Rises with every change.
    version: u64,
}

// === impl Devices ===

impl Devices {
    /// At most `devices_max` of them; more are counted and not known.
    pub fn new(devices_max: usize) -> Devices {
        let (devices, names) = (BTreeMap::new(), HashMap::new());
        Devices(Arc::new(RwLock::new(Known { devices_max, devices, names, version: 0 })))
    }

    /// The name of the device that an address belongs to. Where two have it: of the one that had
    /// it first.
    pub fn name_of(&self, addr: IpAddr) -> Option<Arc<str>> {
        self.read().names.get(&addr.to_canonical()).map(|(_, name)| Arc::clone(name))
    }

    /// A row of the inventory: a new device, or one that changed.
    pub fn put(&self, device: Device) {
        let mut known = self.write();
        let key = device.record_key();
        if known.devices.get(&key) == Some(&device) {
            return;
        }
        if !known.devices.contains_key(&key) && known.devices.len() >= known.devices_max {
            counter!(names::DEVICES_REFUSED).increment(1);
            return;
        }
        known.take_out(&key);
        known.take_in(key, device);
    }

    /// A device left the inventory.
    pub fn remove(&self, key: &str) {
        self.write().take_out(key);
    }

    /// All devices, in the order of their record keys.
    pub fn all(&self) -> Vec<Device> {
        self.read().devices.values().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.read().devices.is_empty()
    }

    /// Another one after each change.
    pub fn version(&self) -> u64 {
        self.read().version
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    fn take_in(&mut self, key: String, device: Device) {
        let name: Arc<str> = Arc::from(device.device.as_str());
        for address in addresses(&device) {
            let (keys, _) =
                self.names.entry(address).or_insert_with(|| (Vec::new(), Arc::clone(&name)));
            keys.push(key.clone());
        }
        self.devices.insert(key, device);
        self.version += 1;
        gauge!(names::DEVICES).set(self.devices.len() as f64);
    }

    fn take_out(&mut self, key: &str) {
        let Some(device) = self.devices.remove(key) else {
            return;
        };
        for address in addresses(&device) {
            let Some((keys, name)) = self.names.get_mut(&address) else {
                continue;
            };
            keys.retain(|other| other != key);
            match keys.first().and_then(|first| self.devices.get(first)) {
                Some(first) => *name = Arc::from(first.device.as_str()),
                None => {
                    self.names.remove(&address);
                }
            }
        }
        self.version += 1;
        gauge!(names::DEVICES).set(self.devices.len() as f64);
    }
}

/// The addresses that a device's messages come from. What is no address names nobody.
fn addresses(device: &Device) -> Vec<IpAddr> {
    let texts = [Some(device.address.as_str()), device.exporter.as_deref()];
    let mut found: Vec<IpAddr> = texts
        .into_iter()
        .flatten()
        .filter_map(|text| text.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .collect();
    found.dedup();
    found
}
