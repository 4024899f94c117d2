//! The inventory and the interfaces as all instances know them: both compacted topics, all of their
//! partitions, read at the start and then as they come. Receiving never waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::config::LimitsConfig;
use bus::{BusConfig, Log, LogError, ReadEvent, Reader, Record, from_start};
use metrics::counter;
use model::rows::{Device, Interface};

use crate::devices::Devices;
use crate::interfaces::Interfaces;
use crate::metrics as names;

pub const INVENTORY: &str = "inventory.v1";
pub const INTERFACES: &str = "interfaces.v1";

/// Records taken in at one look, so that a long topic does not keep datagrams waiting.
const RECORDS_A_LOOK: usize = 256;

/// What reads both topics into the tables.
pub struct Watch {
    reader: Box<dyn Reader>,
    inventory: String,
    /// Topic and partition of all that is read.
    parts: Vec<(String, u32, i64)>,
    limits: LimitsConfig,
    domain: String,
    devices: Devices,
    interfaces: Interfaces,
}

// === impl Watch ===

impl Watch {
    /// Begins at the start of both topics. Only devices of `domain` are of interest.
    pub fn open(
        log: &dyn Log,
        bus: &BusConfig,
        domain: &str,
        devices: &Devices,
        interfaces: &Interfaces,
    ) -> Result<Watch, LogError> {
        let mut reader = log.reader()?;
        let mut parts = Vec::new();
        for topic in [INVENTORY, INTERFACES] {
            parts.extend(from_start(log, reader.as_mut(), &bus.topic(topic))?);
        }
        reader.assign(&parts)?;
        Ok(Watch {
            reader,
            inventory: bus.topic(INVENTORY),
            parts,
            limits: bus.limits.clone(),
            domain: domain.to_owned(),
            devices: devices.clone(),
            interfaces: interfaces.clone(),
        })
    }

    /// Reads all that is there now, within `limit`. What comes later is taken in as it comes.
    pub fn catch_up(&mut self, limit: Duration) -> Result<(), LogError> {
        let deadline = Instant::now() + limit;
        let mut ended: BTreeSet<(Arc<str>, u32)> = BTreeSet::new();
        while ended.len() < self.parts.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("the inventory was not all read in time");
                return Ok(());
            }
            match self.reader.poll(left.min(Duration::from_millis(100)))? {
                ReadEvent::Record(record) => self.take(&record),
                ReadEvent::End { topic, partition, .. } => {
                    ended.insert((topic, partition));
                }
                ReadEvent::Idle => {}
            }
        }
        Ok(())
    }

    /// Takes in what has come, without waiting. A log that cannot be read leaves the tables as they
    /// are: names may be old then, and nothing else.
    pub fn look(&mut self) {
        for _ in 0..RECORDS_A_LOOK {
            match self.reader.poll(Duration::ZERO) {
                Ok(ReadEvent::Record(record)) => self.take(&record),
                Ok(ReadEvent::End { .. }) => {}
                Ok(ReadEvent::Idle) => return,
                Err(error) => {
                    tracing::warn!(%error, "the inventory cannot be read");
                    counter!(names::WATCH_FAILURES).increment(1);
                    return;
                }
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let is_device = *record.topic == *self.inventory;
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        if record.payload.is_none() {
            match is_device {
                true => self.devices.remove(&key),
                false => self.interfaces.remove(&key, record.timestamp_ms),
            }
            return;
        }
        let taken = match is_device {
            true => device(record, &self.limits, &self.domain).map(|found| {
                found.into_iter().for_each(|device| self.devices.put(device));
            }),
            false => self.interface(record),
        };
        if let Err(reason) = taken {
            tracing::warn!(topic = %record.topic, offset = record.offset, %reason, "unreadable");
            counter!(names::WATCH_FAILURES).increment(1);
        }
    }

    fn interface(&self, record: &Record) -> Result<(), String> {
        let (_, batch) = bus::frame::read(record, &self.limits).map_err(|e| e.to_string())?;
        for row in Interface::from_batch(&batch).map_err(|e| e.to_string())? {
            if row.domain == self.domain {
                self.interfaces.put(row);
            }
        }
        Ok(())
    }
}

/// The devices of one message of the inventory that are of our domain.
pub fn device(record: &Record, limits: &LimitsConfig, domain: &str) -> Result<Vec<Device>, String> {
    let (_, batch) = bus::frame::read(record, limits).map_err(|e| e.to_string())?;
    let rows = Device::from_batch(&batch).map_err(|e| e.to_string())?;
    Ok(rows.into_iter().filter(|device| device.domain == domain).collect())
}
