//! A stage as a process of its own, to be killed: it says on its standard output when a commit
//! begins (`B`) and when it has ended (`E`).

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bus::config::{BusConfig, Engine};
use bus::kafka::KafkaLog;
use bus::{
    Admin, CommitError, Committed, Event, Log, LogError, Paused, Producer, Reader, TaskId, Tasks,
    Transaction,
};
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
    let log = Arc::new(Marking { log: Arc::new(log) });
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

/// A log that tells of its commits.
struct Marking {
    log: Arc<dyn Log>,
}

struct MarkingTasks {
    tasks: Box<dyn Tasks>,
}

fn mark(what: &str) {
    let mut out = std::io::stdout().lock();
    // Who reads it may be gone; then nobody aims at us any more.
    let _ = out.write_all(what.as_bytes()).and_then(|()| out.flush());
}

impl Log for Marking {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError> {
        Ok(Box::new(MarkingTasks { tasks: self.log.join(stage, instance, inputs)? }))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(stage, instance)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader()
    }
}

impl Tasks for MarkingTasks {
    fn next(&mut self, timeout: Duration) -> Result<Event, LogError> {
        self.tasks.next(timeout)
    }

    fn committed(&mut self, task: &TaskId) -> Result<Option<Committed>, LogError> {
        self.tasks.committed(task)
    }

    fn range(&mut self, task: &TaskId) -> Result<(i64, i64), LogError> {
        self.tasks.range(task)
    }

    fn start(&mut self, task: &TaskId, offset: i64) -> Result<(), LogError> {
        self.tasks.start(task, offset)
    }

    fn pause(&mut self, task: &TaskId, paused: Paused) -> Result<(), LogError> {
        self.tasks.pause(task, paused)
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        mark("B\n");
        let result = self.tasks.commit(transaction);
        mark("E\n");
        result
    }

    fn leave(self: Box<Self>, deadline: Duration) -> Result<(), LogError> {
        self.tasks.leave(deadline)
    }
}
