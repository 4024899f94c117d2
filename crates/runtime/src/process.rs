//! The last part of a process's frame: its stages' threads, signals, and the drain. Telemetry,
//! configuration, the admin port and the log come before (`gannet` puts them in order); what a
//! stage does while it drains is left to the stage.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use garde::Validate;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::shutdown::Shutdown;

/// How often the frame looks whether a shutdown was asked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a process ended, for who started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Asked to end, and everything was drained.
    Drained = 0,
    /// A stage failed, or the process could not start. A supervisor should start it again.
    Failed = 1,
    /// The configuration or the command line is wrong. Starting it again changes nothing.
    Refused = 2,
    /// The drain's deadline passed: what was not committed is done again after the next start.
    DeadlinePassed = 3,
    /// A second Ctrl-C: 128 + SIGINT, as shells count.
    Interrupted = 130,
}

#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct ProcessConfig {
    /// How long stages may take to finish what they have begun after SIGTERM or Ctrl-C.
    #[serde(with = "crate::config::units::duration")]
    pub drain: Duration,
}

type Failure = Box<dyn Error + Send + Sync>;
type Work = Box<dyn FnOnce(Shutdown) -> Result<(), Failure> + Send>;

/// One stage of a process: it runs on a thread of its own name until it fails or is asked to end.
pub struct StageThread {
    name: String,
    work: Work,
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{stage} failed")]
    Stage { stage: String, source: Failure },
    /// A defect of ours: a stage catches what input can cause.
    #[error("{stage} panicked: {message}")]
    Panicked { stage: String, message: String },
    #[error("{} still running after {drain:?}", .stages.join(", "))]
    DeadlinePassed { stages: Vec<String>, drain: Duration },
    #[error("cannot start {what}: {source}")]
    Start { what: String, source: std::io::Error },
}

impl Default for ProcessConfig {
    fn default() -> ProcessConfig {
        ProcessConfig { drain: Duration::from_secs(20) }
    }
}

// === impl StageThread ===

impl StageThread {
    pub fn new<E: Into<Failure>>(
        name: &str,
        work: impl FnOnce(Shutdown) -> Result<(), E> + Send + 'static,
    ) -> StageThread {
        let work = move |shutdown| work(shutdown).map_err(Into::into);
        StageThread { name: name.to_owned(), work: Box::new(work) }
    }

    fn spawn(self, shutdown: Shutdown, ended: SyncSender<Ended>) -> Result<(), ProcessError> {
        let StageThread { name, work } = self;
        let builder = thread::Builder::new().name(name.clone());
        let stage = name.clone();
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(shutdown)));
            // The receiver is gone only after the deadline, when nobody asks any more.
            let _ = ended.send(Ended { stage, result });
        };
        let failed = |source| ProcessError::Start { what: name, source };
        builder.spawn(run).map(|_| ()).map_err(failed)
    }
}

struct Ended {
    stage: String,
    result: thread::Result<Result<(), Failure>>,
}

/// Runs stages until one fails or a shutdown is requested, then drains. The first failure is
/// returned; a stage that ends by itself without one (a bounded input) ends only itself.
pub fn run(
    stages: Vec<StageThread>,
    config: &ProcessConfig,
    shutdown: &Shutdown,
) -> Result<(), ProcessError> {
    let mut running: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
    let (sender, ends) = sync_channel(running.len());
    let started = stages.into_iter().try_for_each(|s| s.spawn(shutdown.clone(), sender.clone()));
    drop(sender);
    if started.is_err() {
        shutdown.request();
    }
    let failure = watch(&mut running, &ends, shutdown, config.drain);
    started.and(failure)
}

fn watch(
    running: &mut Vec<String>,
    ends: &Receiver<Ended>,
    shutdown: &Shutdown,
    drain: Duration,
) -> Result<(), ProcessError> {
    let mut first_failure = Ok(());
    let mut deadline: Option<Instant> = None;
    while !running.is_empty() {
        if deadline.is_none() && shutdown.requested() {
            tracing::info!(stages = running.join(", "), ?drain, "draining");
            deadline = Some(Instant::now() + drain);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let stages = std::mem::take(running);
            return first_failure.and(Err(ProcessError::DeadlinePassed { stages, drain }));
        }
        match ends.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            // No thread is left that could tell: the ones not heard of never started.
            Err(RecvTimeoutError::Disconnected) => break,
            Ok(ended) => {
                running.retain(|stage| *stage != ended.stage);
                if let Err(failure) = outcome(ended) {
                    tracing::error!(error = %failure, "a stage ended, the process follows");
                    shutdown.request();
                    first_failure = first_failure.and(Err(failure));
                }
            }
        }
    }
    first_failure
}

fn outcome(ended: Ended) -> Result<(), ProcessError> {
    let stage = ended.stage;
    match ended.result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(ProcessError::Stage { stage, source }),
        Err(panic) => Err(ProcessError::Panicked { stage, message: panic_message(panic.as_ref()) }),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

/// From now on SIGTERM and Ctrl-C request the shutdown, and a second Ctrl-C ends the process at
/// once.
pub fn handle_signals(shutdown: Shutdown) -> Result<(), ProcessError> {
    let failed = |source| ProcessError::Start { what: "signal handling".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    // Registered here and not in the thread: no signal may come before its handler.
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        (terminate, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    let listen = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
                _ = interrupt.recv() => {
                    if shutdown.requested() {
                        std::process::exit(Exit::Interrupted as i32);
                    }
                    tracing::info!("Ctrl-C: ending, a second one ends at once");
                }
            }
            shutdown.request();
        }
    };
    let name = thread::Builder::new().name("signals".to_owned());
    name.spawn(move || runtime.block_on(listen)).map(|_| ()).map_err(failed)
}

// === impl ProcessError ===

impl ProcessError {
    pub fn exit(&self) -> Exit {
        match self {
            ProcessError::DeadlinePassed { .. } => Exit::DeadlinePassed,
            _ => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests;
