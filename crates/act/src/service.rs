//! What act is to the task loop, and all its I/O: incidents come by the loop; approvals and the
//! network by readers of their own, drivers' answers by threads that may block. Each of the latter
//! counts only once the engine has told it as a row.

mod desk;
mod follow;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bus::{BusConfig, Log, TaskId};
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, InputSpec, SourceTasks, Stage, SystemClock, WriterPolicy};

use crate::config::ActConfig;
use crate::driver::Drivers;
use crate::engine::emit::Topics;
use crate::engine::{Act, Network};
use crate::playbook::Library;
use desk::{Desk, Mail};
use follow::Approvals;
use work::Jobs;

pub use follow::Followed;

/// What time it is for act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// That of this machine, and never before the incidents'.
    Wall,
    /// That of the incidents alone: for runs in simulated time.
    Log,
}

/// The stage: one task a partition of incidents.
pub struct ActStage {
    shared: Arc<Shared>,
    library: Arc<Library>,
    topics: Arc<Topics>,
    incidents: String,
    evidence: String,
    /// Partitions of incidents, which decide whose a domain is.
    partitions: u32,
    config_fp: String,
}

/// What tasks, readers and callers share.
struct Shared {
    config: Arc<ActConfig>,
    drivers: Drivers,
    network: RwLock<Network>,
    approvals: Mutex<Approvals>,
    jobs: Jobs,
    /// Answers by partition; they outlive a task that is opened again.
    mail: Mutex<std::collections::BTreeMap<u32, Arc<Mutex<Mail>>>>,
    is_killed: AtomicBool,
    clock: Arc<dyn Clock>,
    time: Time,
}

/// What runs beside the loop: readers and callers.
pub struct Helpers {
    shared: Arc<Shared>,
    bus: BusConfig,
}

/// How long an answer may wait for its turn.
const TURNS: Duration = Duration::from_millis(20);

// === impl ActStage ===

impl ActStage {
    /// `partitions` are those of incidents.v1.
    pub fn new(
        config: ActConfig,
        library: Library,
        drivers: Drivers,
        bus: &BusConfig,
        partitions: u32,
        config_fp: &str,
        time: Time,
    ) -> ActStage {
        let shared = Shared {
            config: Arc::new(config),
            drivers,
            network: RwLock::default(),
            approvals: Mutex::default(),
            jobs: Jobs::default(),
            mail: Mutex::default(),
            is_killed: AtomicBool::new(false),
            clock: Arc::new(SystemClock::default()),
            time,
        };
        ActStage {
            shared: Arc::new(shared),
            library: Arc::new(library),
            topics: Arc::new(Topics {
                actions: bus.topic("actions.v1"),
                json: bus.topic("actions.json.v1"),
                evidence: bus.topic("evidence.v1"),
            }),
            incidents: bus.topic("incidents.v1"),
            evidence: bus.topic("evidence.v1"),
            partitions,
            config_fp: config_fp.to_owned(),
        }
    }

    /// What must run beside the loop, on a thread of its own: without it nothing is planned.
    pub fn helpers(&self, bus: &BusConfig) -> Helpers {
        Helpers { shared: Arc::clone(&self.shared), bus: bus.clone() }
    }
}

impl Stage for ActStage {
    type Engine = Desk;

    fn name(&self) -> &str {
        "act"
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let expected =
            vec![SourceTasks { stage: "correlate".to_owned(), topic: self.evidence.clone() }];
        let writers = WriterPolicy::Tasks { expected };
        vec![InputSpec { topic: self.incidents.clone(), writers }]
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.topics.actions.clone(), self.topics.evidence.clone()]
    }

    fn mirrors(&self) -> Vec<String> {
        vec![self.topics.json.clone()]
    }

    fn engine(&self, task: &TaskId) -> Desk {
        let act = Act::new(Arc::clone(&self.shared.config), Arc::clone(&self.library));
        let (shared, topics) = (Arc::clone(&self.shared), Arc::clone(&self.topics));
        Desk::new(act, shared, topics, task.partition, self.partitions)
    }

    fn snapshots(&self) -> bool {
        true
    }

    fn config_fp(&self) -> &str {
        &self.config_fp
    }

    fn turns(&self) -> Option<Duration> {
        Some(TURNS)
    }
}

// === impl Helpers ===

impl Helpers {
    /// Follows the network and approvals and makes calls, until the shutdown or a log that fails.
    pub fn run(&self, log: &Arc<dyn Log>, shutdown: &Shutdown) -> Result<(), bus::LogError> {
        let ended = AtomicBool::new(false);
        let stop = || shutdown.requested() || ended.load(Ordering::SeqCst);
        std::thread::scope(|scope| {
            for _ in 0..self.shared.config.limits.calls_max {
                scope.spawn(|| work::work(&self.shared, &stop));
            }
            let followed = Followed::new(&self.bus).run(log, &self.shared, shutdown);
            ended.store(true, Ordering::SeqCst);
            followed
        })
    }
}

// === impl Shared ===

impl Shared {
    fn mail(&self, partition: u32) -> Arc<Mutex<Mail>> {
        Arc::clone(lock(&self.mail).entry(partition).or_default())
    }
}

/// No panic leaves what these locks hold half done: each holds whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
