//! What a loop is told: limits, intervals, its clock; what it says at its end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::LogError;
use bus::config::LimitsConfig;

use crate::admin::Condition;
use crate::shutdown::Shutdown;

/// The only clock of a loop: for the commit interval and for snapshots, never for results.
pub trait Clock: Send + Sync {
    /// Time since some instant, never going back.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970, for the retention of snapshots.
    fn wall_ms(&self) -> i64;
    /// Waits; ends at once on a shutdown.
    fn wait(&self, time: Duration, shutdown: &Shutdown);
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

/// Options of one instance's loop.
#[derive(Clone)]
pub struct LoopOptions {
    /// The name of this instance in the stage's group.
    pub instance: String,
    pub commit_interval: Duration,
    /// Outputs beyond this are committed at once.
    pub commit_bytes_max: usize,
    /// How long a call for the next message waits at most: the delay of a shutdown.
    pub poll: Duration,
    pub limits: LimitsConfig,
    /// Writers that a task remembers, where its state is kept in snapshots.
    pub writers_max: usize,
    pub breaker: BreakerOptions,
    pub snapshots: SnapshotOptions,
    /// How long another instance of our name may live on before we give up.
    pub session: Duration,
    pub leave: Duration,
    /// The full name of the events topic, to say what retention took; none: only counted.
    pub events_topic: Option<String>,
    /// Failed attempts in a row to take over a task after which the loop ends.
    pub opens_max: u32,
    /// Met when the tasks of the first assignment have been restored.
    pub ready: Option<Condition>,
    pub clock: Arc<dyn Clock>,
}

/// When a stage stops rather than drain a topic into the dead letters.
#[derive(Clone, Debug)]
pub struct BreakerOptions {
    pub dead_percent_max: u64,
    /// Messages in a minute below which nothing is judged.
    pub messages_min: u64,
}

#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// The full name of `snapshots.<stage>.v1`.
    pub topic: String,
    pub interval: Duration,
    /// A snapshot waits until this many times its bytes came as input.
    pub input_share: u64,
    /// What the topic keeps; a block is written again when half of it has passed.
    pub retention: Duration,
    /// Blocks are cut into pieces of this size.
    pub part_bytes: usize,
    /// Pieces of one snapshot; one that has more is refused and counted.
    pub parts_max: usize,
}

/// What a loop did, when it was told to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopReport {
    pub messages: u64,
    pub duplicates: u64,
    pub dead_letters: u64,
    pub outputs: u64,
    pub commits: u64,
    pub commits_failed: u64,
    pub restores: u64,
    pub snapshots: u64,
    pub panics: u64,
}

/// Why a loop ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    #[error(
        "instance {0} is in the group already and still lives: give each instance its own name"
    )]
    NameTaken(String),
    #[error("fenced: another process has the name of this instance ({0})")]
    Fenced(String),
    #[error(
        "topic {topic} was deleted and made again (it was {was}, now it is {now}): what this stage \
         has committed and what it waits for is of another topic. Stop all stages, delete what \
         their groups still have committed for {topic}, and start them again; they begin with what \
         it holds now"
    )]
    TopicMadeAgain { topic: String, was: String, now: String },
    #[error("there is no topic {0}: create it with `gannet topics apply`")]
    NoTopic(String),
    #[error(
        "{dead} of {messages} messages of {topic} partition {partition} within a minute went to \
         the dead letters: see {topic}.dlq for the reasons before starting this stage again"
    )]
    Breaker { topic: String, partition: u32, dead: u64, messages: u64 },
    #[error("the committed metadata of {topic} partition {partition} is not ours: {reason}")]
    Metadata { topic: String, partition: u32, reason: String },
    #[error(
        "the state of {topic} partition {partition} that goes with each commit has {bytes} bytes, \
         over the 4096 that an offset's metadata may have: a defect of the stage"
    )]
    MetadataTooLarge { topic: String, partition: u32, bytes: usize },
    #[error("an engine panicked in its turn on {topic} partition {partition}: {reason}")]
    Turn { topic: String, partition: u32, reason: String },
    #[error("task {topic}/{partition} could not be taken over after {attempts} attempts: {reason}")]
    Open { topic: String, partition: u32, attempts: u32, reason: String },
    #[error(transparent)]
    Log(#[from] LogError),
}

// === impl SystemClock ===

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn wait(&self, time: Duration, shutdown: &Shutdown) {
        shutdown.wait(time);
    }
}

// === impl LoopOptions ===

impl LoopOptions {
    /// The shipped values (DESIGN §4). `snapshots` is the full name of the stage's snapshot topic.
    pub fn new(instance: &str, snapshots: &str) -> LoopOptions {
        LoopOptions {
            instance: instance.to_owned(),
            commit_interval: Duration::from_millis(200),
            commit_bytes_max: 4 << 20,
            poll: Duration::from_millis(100),
            limits: LimitsConfig::default(),
            writers_max: 1_024,
            breaker: BreakerOptions::default(),
            snapshots: SnapshotOptions::new(snapshots),
            session: Duration::from_secs(12),
            leave: Duration::from_secs(3),
            events_topic: None,
            opens_max: 100,
            ready: None,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl Default for BreakerOptions {
    fn default() -> BreakerOptions {
        BreakerOptions { dead_percent_max: 5, messages_min: 100 }
    }
}

impl SnapshotOptions {
    pub fn new(topic: &str) -> SnapshotOptions {
        SnapshotOptions {
            topic: topic.to_owned(),
            interval: Duration::from_secs(180),
            input_share: 10,
            retention: Duration::from_secs(7 * 24 * 3_600),
            part_bytes: 512 << 10,
            parts_max: 4_096,
        }
    }
}
