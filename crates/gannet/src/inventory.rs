//! `gannet inventory`: what there is to watch, from a file. Devices go to `inventory`, where the
//! pollers find them; nodes, links, groups and services go to `evidence`, where correlate does.
//! What an earlier file had and this one lacks is taken out. Correlate and ingest open no file.

mod elements;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Log, Meta, Name, OutRecord, Outgoing, Time, Where, Writer, frame};
use bytes::Bytes;
use clap::Subcommand;
use model::rows::{Device, Element};
use model::schema::{self, TopicSchema};
use runtime::task::{Clock, SystemClock};

use crate::cli::ConfigArgs;
use crate::config::{self, Config};

pub use file::{Inventory, load, load_text};

/// For reading what is there, and for all deliveries.
const PATIENCE: Duration = Duration::from_secs(30);
const STAGE: &str = "inventory";

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// Check the file alone
    Check { file: PathBuf },
    /// Put the file's devices and elements on the log, and take out what it no longer has
    Apply {
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// What an application changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub devices: usize,
    pub elements: usize,
    pub devices_removed: usize,
    pub elements_removed: usize,
}

pub fn run(command: &InventoryCommand, out: &mut dyn Write) -> Result<()> {
    match command {
        InventoryCommand::Check { file } => {
            let inventory = load(file)?;
            let (devices, links) = (inventory.devices.len(), inventory.links.len());
            writeln!(out, "{} is valid: {devices} devices, {links} links", file.display())?;
        }
        InventoryCommand::Apply { file, config } => {
            let applied = apply_file(file, &config::load(&config.config)?.value)?;
            let Applied { devices, elements, devices_removed, elements_removed } = applied;
            writeln!(
                out,
                "{devices} devices and {elements} elements applied, {devices_removed} and \
                 {elements_removed} taken out"
            )?;
        }
    }
    Ok(())
}

fn apply_file(file: &Path, config: &Config) -> Result<Applied> {
    let inventory = load(file)?;
    let log = bus::open(&config.bus).context("cannot open the log")?;
    apply(&*log, config, &inventory, SystemClock::default().wall_ms())
}

/// Puts an inventory on the log.
pub fn apply(
    log: &dyn Log,
    config: &Config,
    inventory: &Inventory,
    now_ms: i64,
) -> Result<Applied> {
    let mut outbox = Outbox { log, config, now_ms, sequence: 0, records: Vec::new() };
    let devices = elements::devices(inventory, now_ms);
    let there = latest(log, &config.bus.topic("inventory.v1"), &inventory.domain)?;
    let gone = there.keys().filter(|key| !devices.iter().any(|d| d.record_key() == **key));
    let gone: Vec<String> = gone.cloned().collect();
    devices.iter().try_for_each(|device| outbox.device(device))?;
    gone.iter().try_for_each(|key| outbox.tombstone(key))?;

    let elements = elements::elements(inventory, now_ms);
    let there = latest(log, &config.bus.topic("topology.v1"), &inventory.domain)?;
    let removed = elements::removed(&there_elements(there, config), &elements, now_ms);
    let all: Vec<Element> = removed.iter().chain(&elements).cloned().collect();
    outbox.elements(&all)?;
    bus::deliver(log, STAGE, &config.instance(), &outbox.records, PATIENCE)?;
    Ok(Applied {
        devices: devices.len(),
        elements: elements.len(),
        devices_removed: gone.len(),
        elements_removed: removed.len(),
    })
}

/// The records of one domain on a compacted topic, by their keys.
fn latest(log: &dyn Log, topic: &str, domain: &str) -> Result<BTreeMap<String, bus::Record>> {
    let all = bus::latest(log, topic, PATIENCE)?;
    let prefix = format!("{domain}/");
    let named = all.into_iter().filter_map(|(key, record)| {
        let key = String::from_utf8(key.to_vec()).ok()?;
        key.starts_with(&prefix).then_some((key, record))
    });
    Ok(named.collect())
}

/// What cannot be read is somebody else's, and stays.
fn there_elements(records: BTreeMap<String, bus::Record>, config: &Config) -> Vec<Element> {
    let rows = records.into_values().filter_map(|record| {
        let (_, batch) = bus::frame::read(&record, &config.bus.limits).ok()?;
        Element::from_topology(&batch).ok()
    });
    rows.flatten().collect()
}

/// Records on their way, under the names of one application.
struct Outbox<'a> {
    log: &'a dyn Log,
    config: &'a Config,
    now_ms: i64,
    sequence: i64,
    records: Vec<OutRecord>,
}

// === impl Outbox ===

impl Outbox<'_> {
    fn device(&mut self, device: &Device) -> Result<()> {
        let batch = Device::to_batch(std::slice::from_ref(device))?;
        let key = Bytes::from(device.record_key());
        self.put("inventory.v1", schema::inventory(), "device", batch, Some(key))
    }

    fn elements(&mut self, elements: &[Element]) -> Result<()> {
        let batch = Element::to_batch(elements)?;
        self.put("evidence.v1", schema::topology_evidence(), "domain", batch, None)
    }

    /// `domain/device` is out of the inventory. Its partition is that of its device.
    fn tombstone(&mut self, key: &str) -> Result<()> {
        let topic = self.config.bus.topic("inventory.v1");
        let device = key.split_once('/').map_or(key, |(_, device)| device);
        let partitions = self.partitions(&topic)?;
        self.records.push(OutRecord {
            partition: bus::partition::partition(device.as_bytes(), partitions),
            topic: Arc::from(topic),
            timestamp_ms: self.now_ms,
            key: Some(Bytes::from(key.to_owned())),
            headers: Vec::new(),
            payload: None,
        });
        Ok(())
    }

    fn put(
        &mut self,
        topic: &str,
        schema: &TopicSchema,
        column: &str,
        batch: arrow::array::RecordBatch,
        key: Option<Bytes>,
    ) -> Result<()> {
        let topic = self.config.bus.topic(topic);
        let partitions = self.partitions(&topic)?;
        let outgoing = Outgoing {
            topic: Arc::from(topic),
            to: Where::ByColumn(column.to_owned()),
            batch,
            key,
            time: Time::At(self.now_ms),
            meta: self.meta(schema),
        };
        let framed = frame(outgoing, partitions, &self.config.bus.limits)?;
        self.sequence += framed.records.len() as i64;
        self.records.extend(framed.records);
        Ok(())
    }

    fn meta(&self, schema: &TopicSchema) -> Meta {
        let instance = self.config.instance();
        let epoch = u64::try_from(self.now_ms).unwrap_or(0);
        let producer = format!("{STAGE} {instance} {}", runtime::telemetry::VERSION);
        let writer = Writer::Instance { stage: STAGE.to_owned(), instance, epoch };
        Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer,
            rows: 0,
            min_ts_ms: self.now_ms,
            max_ts_ms: self.now_ms,
            wm_ms: None,
            name: Name { writer, offset: self.sequence, index: 0 },
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        }
    }

    fn partitions(&self, topic: &str) -> Result<u32> {
        let info = self.log.admin().describe(topic)?;
        Ok(info.with_context(|| format!("there is no topic {topic}"))?.partitions)
    }
}
