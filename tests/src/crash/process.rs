//! A stage as a process of its own, to be killed: it says on its standard output when a commit
//! begins (`B`) and when it has ended (`E`).

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bus::config::{BusConfig, Engine};
use bus::kafka::KafkaLog;
use bus::{CommitError, Layer, Layered, Tasks, Transaction};
use runtime::shutdown::Shutdown;
use runtime::telemetry::{Telemetry, TelemetryConfig};

use super::stages::{Kind, Stages};

/// What a stage process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessArgs {
    #[arg(long, value_enum)]
    pub stage: Kind,
    #[arg(long)]
    pub instance: String,
    #[arg(long)]
    pub prefix: String,
    #[arg(long)]
    pub bootstrap: String,
    #[arg(long)]
    pub session_ms: u64,
    #[arg(long)]
    pub transaction_ms: u64,
}

/// Partitions of flows and what follows from them, and of all else.
pub const WIDE: u32 = 4;
pub const NARROW: u32 = 2;

/// Runs one stage until it is killed or fenced.
pub fn run_stage(args: &ProcessArgs) -> Result<()> {
    super::be_quiet_about_poison();
    let telemetry = TelemetryConfig { log: "info,runtime=debug".to_owned(), ..Default::default() };
    Telemetry::start(&telemetry, args.stage.name())?;
    let stages = Stages::new(config(args))?;
    let log = KafkaLog::open(&stages.bus)?;
    let log = Arc::new(Layered::new(Arc::new(log), |_, _| Ok(Marking)));
    let mut options = stages.options(args.stage, &args.instance);
    options.snapshots.interval = Duration::from_secs(2);
    options.session = Duration::from_millis(args.session_ms);
    let report = stages.run(args.stage, log, options, &Shutdown::new())?;
    eprintln!("{report:?}");
    Ok(())
}

/// The configuration of a client with the given timeouts.
pub fn config(args: &ProcessArgs) -> BusConfig {
    let mut config = BusConfig { engine: Engine::Kafka, ..BusConfig::default() };
    config.prefix.clone_from(&args.prefix);
    (config.topics.partitions, config.topics.partitions_other) = (WIDE, NARROW);
    config.kafka.bootstrap.clone_from(&args.bootstrap);
    config.kafka.timeouts.session_ms = args.session_ms;
    config.kafka.timeouts.transaction_ms = args.transaction_ms;
    config
}

/// Tells of its commits.
struct Marking;

fn mark(what: &str) {
    let mut out = std::io::stdout().lock();
    // Who reads it may be gone; then nobody aims at us any more.
    let _ = out.write_all(what.as_bytes()).and_then(|()| out.flush());
}

impl Layer for Marking {
    fn commit(
        &mut self,
        tasks: &mut dyn Tasks,
        transaction: Transaction,
    ) -> Result<(), CommitError> {
        mark("B\n");
        let result = tasks.commit(transaction);
        mark("E\n");
        result
    }
}
