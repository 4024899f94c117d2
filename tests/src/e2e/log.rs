//! What stands on the topics, read as any reader would: committed messages only.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use bus::{BusConfig, Log, ReadEvent, Record};
use model::rows::{Action, Incident, Interface, Metric, RowError};

const POLL: Duration = Duration::from_millis(200);

pub struct Topics {
    config: BusConfig,
    log: Arc<dyn Log>,
}

impl Topics {
    pub fn open(config: &BusConfig) -> Result<Topics> {
        Ok(Topics { config: config.clone(), log: bus::open(config)? })
    }

    #[cfg(test)]
    pub fn on(config: &BusConfig, log: Arc<dyn Log>) -> Topics {
        Topics { config: config.clone(), log }
    }

    /// Every change of every incident so far, in the order of each partition.
    pub fn incidents(&self) -> Result<Vec<Incident>> {
        self.rows("incidents.v1", Incident::from_batch)
    }

    /// Every step of every execution so far.
    pub fn actions(&self) -> Result<Vec<Action>> {
        self.rows("actions.v1", Action::from_batch)
    }

    /// Every interface as it was last told.
    pub fn interfaces(&self) -> Result<Vec<Interface>> {
        let mut latest = BTreeMap::new();
        for row in self.rows("interfaces.v1", Interface::from_batch)? {
            latest.insert(row.record_key(), row);
        }
        Ok(latest.into_values().collect())
    }

    /// Every sample so far.
    pub fn metrics(&self) -> Result<Vec<Metric>> {
        self.rows("metrics.v1", Metric::from_batch)
    }

    fn rows<T>(
        &self,
        topic: &str,
        of: impl Fn(&RecordBatch) -> Result<Vec<T>, RowError>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.read(topic, |record| {
            if rows(record) > 0 {
                let payload = record.payload.as_ref().context("no payload")?;
                let batch = model::ipc::decode(payload, model::ipc::Limits::default())?;
                all.extend(of(&batch)?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Flow records that stand on the log, by exporter.
    pub fn flows(&self) -> Result<BTreeMap<Ipv4Addr, u64>> {
        let mut counts = BTreeMap::new();
        self.read("flows.v1", |record| count(record, &mut counts))?;
        Ok(counts)
    }

    /// What ingest's ledger says was lost on the way, by exporter: by v9's own counting datagrams,
    /// by IPFIX's data records.
    pub fn lost(&self) -> Result<BTreeMap<Ipv4Addr, u64>> {
        let mut lost = BTreeMap::new();
        self.read("metrics.v1", |record| {
            if rows(record) == 0 {
                return Ok(());
            }
            let payload = record.payload.as_ref().context("no payload")?;
            let batch = model::ipc::decode(payload, model::ipc::Limits::default())?;
            let of_exporters = |row: &Metric| row.metric == "exporter_lost" && row.entity.is_none();
            for row in Metric::from_batch(&batch)?.into_iter().filter(of_exporters) {
                if let Ok(address) = row.device.parse() {
                    *lost.entry(address).or_insert(0) += row.value as u64;
                }
            }
            Ok(())
        })?;
        Ok(lost)
    }

    /// From the first offset to what is committed now.
    fn read(&self, topic: &str, mut each: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        let name = self.config.topic(topic);
        let mut reader = self.log.reader()?;
        let from = bus::from_start(&*self.log, &mut *reader, &name)?;
        reader.assign(&from)?;
        let mut left = from.len();
        while left > 0 {
            match reader.poll(POLL)? {
                ReadEvent::Record(record) => each(&record)?,
                ReadEvent::End { .. } => left -= 1,
                ReadEvent::Idle => {}
            }
        }
        Ok(())
    }
}

/// Adds the flows of one message to those of their exporters.
pub fn count(record: &Record, counts: &mut BTreeMap<Ipv4Addr, u64>) -> Result<()> {
    if rows(record) == 0 {
        return Ok(());
    }
    let payload = record.payload.as_ref().context("no payload")?;
    let limits = model::ipc::Limits::default();
    let batch = model::ipc::decode_columns(payload, limits, &|name| name == "exporter")?;
    let column = batch.column_by_name("exporter").context("no column exporter")?;
    let addresses = column.as_fixed_size_binary();
    for row in 0..addresses.len() {
        let octets: [u8; 16] = addresses.value(row).try_into()?;
        if let IpAddr::V4(address) = IpAddr::from(octets).to_canonical() {
            *counts.entry(address).or_insert(0) += 1;
        }
    }
    Ok(())
}

fn rows(record: &Record) -> u64 {
    record.header("rows").and_then(|text| text.parse().ok()).unwrap_or(0)
}
