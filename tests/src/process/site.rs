//! Where the product's processes run on a real Kafka: a folder with a configuration, and topics
//! under a prefix of its own, which go with it.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bus::config::KafkaConfig;
use bus::{BusConfig, Log, ReadEvent, Record, topics};
use tempfile::TempDir;

use super::{Gannet, gannet};

/// The broker's address, from whoever started one.
pub const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";
/// The configuration's name in the folder.
pub const CONFIG: &str = "gannet.yaml";
/// A command that must end by itself does so within this.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

pub struct Site {
    pub bus: BusConfig,
    pub log: Arc<dyn Log>,
    /// Where ingest listens.
    pub flows: SocketAddr,
    /// Further keys of the section `ingest`, in flow style.
    pub ingest: String,
    dir: TempDir,
}

// === impl Site ===

impl Site {
    /// On the broker of the test run; where there is none, the test is listed as skipped.
    pub fn of_test(name: &str, partitions: u32) -> Result<Option<Site>> {
        match std::env::var(BOOTSTRAP) {
            Ok(bootstrap) => Site::new(&bootstrap, name, partitions).map(Some),
            Err(_) => {
                println!("skipped: {BOOTSTRAP} not set; to mend: cargo xtask test");
                Ok(None)
            }
        }
    }

    /// `partitions` of every topic; 0 leaves them as shipped.
    pub fn new(bootstrap: &str, name: &str, partitions: u32) -> Result<Site> {
        let bootstrap = bootstrap.to_owned();
        Site::with(KafkaConfig { bootstrap, ..KafkaConfig::default() }, name, partitions)
    }

    /// On a cluster that is reached in a way of its own.
    pub fn with(kafka: KafkaConfig, name: &str, partitions: u32) -> Result<Site> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        // In a container process ids come again, and a broker may outlive its runs.
        let prefix = format!("{name}-{}-{now}.", std::process::id());
        let engine = bus::config::Engine::Kafka;
        let mut bus = BusConfig { engine, prefix, kafka, ..BusConfig::default() };
        (bus.topics.partitions, bus.topics.partitions_other) = (partitions, partitions);
        let log = bus::open(&bus)?;
        let flows = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let site = Site { bus, log, flows, ingest: String::new(), dir: tempfile::tempdir()? };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules.yaml");
        std::fs::copy(&shipped, site.dir().join("rules.yaml"))
            .with_context(|| format!("no rules at {}", shipped.display()))?;
        site.configure(CONFIG, &site.bus, "")?;
        Ok(site)
    }

    /// Writes a configuration of this site, with more lines at its end.
    pub fn configure(&self, file: &str, bus: &BusConfig, more: &str) -> Result<()> {
        let BusConfig { prefix, kafka, topics, .. } = bus;
        let text = format!(
            "bus:\n  engine: kafka\n  prefix: {prefix:?}\n  kafka:\n    bootstrap: {:?}\n    \
             timeouts: {{ session_ms: {} }}\n    common: {:?}\n{}  \
             topics: {{ partitions: {}, partitions_other: {} }}\n\
             ingest: {{ listen: ['udp://{}'], {} }}\n\
             detect: {{ rules: !include rules.yaml }}\n{more}",
            kafka.bootstrap,
            kafka.timeouts.session_ms,
            kafka.common,
            acls(kafka),
            topics.partitions,
            topics.partitions_other,
            self.flows,
            self.ingest
        );
        Ok(std::fs::write(self.dir().join(file), text)?)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A command of the binary on a configuration of this site, to its end.
    pub fn run(&self, command: &[&str], config: &str) -> Result<Output> {
        gannet(self.dir(), &[command, &["--config", config]].concat())
    }

    pub fn apply_topics(&self) -> Result<()> {
        let output = self.run(&["topics", "apply"], CONFIG)?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "gannet topics apply failed: {text}");
        Ok(())
    }

    /// Puts an inventory, as its file has it, on the log.
    pub fn apply_inventory(&self, text: &str) -> Result<()> {
        let file = "inventory.yaml";
        std::fs::write(self.dir().join(file), text)?;
        let output = self.run(&["inventory", "apply", file], CONFIG)?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "gannet inventory apply failed: {text}");
        Ok(())
    }

    pub fn start(&self, stage: &str, instance: &str, config: &str) -> Result<Gannet> {
        Gannet::start(self.dir(), &[stage, "--config", config, "--instance", instance])
    }

    /// The exit code of a stage that must end by itself, and what it said.
    pub fn refused(&self, stage: &str, instance: &str, config: &str) -> Result<(i32, String)> {
        let mut process = self.start(stage, instance, config)?;
        let code = process.end(ENDS_WITHIN)?;
        Ok((code, process.output()))
    }

    /// Every committed record of a topic by its name without the prefix.
    pub fn records(&self, topic: &str) -> Result<Vec<Record>> {
        records(&*self.log, &self.bus.topic(topic))
    }
}

/// Every committed record of a topic by its full name.
pub fn records(log: &dyn Log, topic: &str) -> Result<Vec<Record>> {
    let mut reader = log.reader()?;
    let from = bus::from_start(log, &mut *reader, topic)?;
    reader.assign(&from)?;
    let (mut records, mut open) = (Vec::new(), from.len());
    while open > 0 {
        match reader.poll(POLL)? {
            ReadEvent::Record(record) => records.push(record),
            ReadEvent::End { .. } => open -= 1,
            ReadEvent::Idle => {}
        }
    }
    Ok(records)
}

/// The section of who may write approvals, where there is one.
fn acls(kafka: &KafkaConfig) -> String {
    kafka.acls.as_ref().map_or_else(String::new, |acls| {
        format!("    acls: {{ console: {:?}, act: {:?} }}\n", acls.console, acls.act)
    })
}

impl Drop for Site {
    fn drop(&mut self) {
        // Left-over topics of a test harm nobody.
        for topic in topics::catalogue(&self.bus) {
            let _ = self.log.admin().delete(&topic.name);
        }
    }
}
