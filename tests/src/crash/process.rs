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
use runtime::task::{LoopOptions, Stage, run};
use runtime::telemetry::{Telemetry, TelemetryConfig};

use super::toys::{Kind, ToyStage};

/// What a stage process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessArgs {
    #[arg(long)]
    pub stage: String,
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

/// Runs one stage until it is killed or fenced.
pub fn run_stage(args: &ProcessArgs) -> Result<()> {
    let kind = match args.stage.as_str() {
        "roll" => Kind::Roll,
        "score" => Kind::Score,
        "case" => Kind::Case,
        other => anyhow::bail!("no stage is called {other}"),
    };
    super::be_quiet_about_toys();
    let telemetry = TelemetryConfig { log: "info,runtime=debug".to_owned(), ..Default::default() };
    Telemetry::start(&telemetry, &args.stage)?;
    let stage = ToyStage { kind, prefix: args.prefix.clone() };
    let log = KafkaLog::open(&config(args))?;
    let log = Arc::new(Marking { log: Arc::new(log) });
    let snapshots = format!("{}snapshots.{}", args.prefix, stage.name());
    let mut options = LoopOptions::new(&args.instance, &snapshots);
    options.snapshots.interval = Duration::from_secs(2);
    options.snapshots.input_share = 0;
    options.session = Duration::from_millis(args.session_ms);
    let report = run(log, stage, options, &Shutdown::new())?;
    eprintln!("{report:?}");
    Ok(())
}

/// The configuration of a client with the given timeouts.
pub fn config(args: &ProcessArgs) -> BusConfig {
    let mut config = BusConfig { engine: Engine::Kafka, ..BusConfig::default() };
    config.prefix.clone_from(&args.prefix);
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
