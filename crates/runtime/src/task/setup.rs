//! What a loop finds out before it joins: topics, their ids and partitions, whose time counts, and
//! whether its own name is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::log::TopicInfo;
use bus::{Admin, Log, Writer};

use super::engine::{Stage, WriterPolicy};
use super::open::is_crash;
use super::options::{LoopError, LoopOptions};
use super::stamp::{DEAD, LATE, Stamper};
use super::writers::{Waiting, Writers};
use crate::shutdown::Shutdown;

/// The topics of a stage, as they are on the log.
pub struct Setup {
    pub stamper: Arc<Stamper>,
    pub inputs: BTreeMap<String, InputTopic>,
    /// Ids of the inputs, and of the topics whose tasks' time is waited for.
    pub ids: BTreeMap<String, String>,
    /// Partitions of the snapshot topic, where the stage has one.
    pub snapshot_partitions: u32,
}

pub struct InputTopic {
    pub id: String,
    pub partitions: u32,
    waiting: Waiting,
}

/// Writers that a task remembers whose state goes with every commit: with names of
/// `WRITER_BYTES_MAX` they fit the metadata.
const NOTED_WRITERS_MAX: usize = 16;

// === impl Setup ===

impl Setup {
    pub fn new<S: Stage>(
        log: &dyn Log,
        stage: &S,
        options: &LoopOptions,
    ) -> Result<Setup, LoopError> {
        let admin = log.admin();
        let (mut inputs, mut partitions) = (BTreeMap::new(), BTreeMap::new());
        let mut ids = BTreeMap::new();
        for input in stage.inputs() {
            let info = describe(admin, &input.topic)?;
            let waiting = waiting(admin, &input.writers, &mut ids)?;
            ids.insert(input.topic.clone(), info.id.clone());
            let dead = describe(admin, &format!("{}{DEAD}", input.topic))?;
            partitions.insert(dead.name, dead.partitions);
            // Only topics whose lateness is judged have one beside them.
            if let Some(late) = admin.describe(&format!("{}{LATE}", input.topic))? {
                partitions.insert(late.name, late.partitions);
            }
            let topic = InputTopic { id: info.id, partitions: info.partitions, waiting };
            inputs.insert(input.topic, topic);
        }
        let mut heartbeats = Vec::new();
        for output in stage.outputs() {
            let info = describe(admin, &output)?;
            let topic: Arc<str> = Arc::from(output.as_str());
            heartbeats.extend((0..info.partitions).map(|p| (Arc::clone(&topic), p)));
            partitions.insert(output.clone(), info.partitions);
            // For rows that no message can carry.
            if let Some(dead) = admin.describe(&format!("{output}{DEAD}"))? {
                partitions.insert(dead.name, dead.partitions);
            }
        }
        for mirror in stage.mirrors() {
            partitions.insert(mirror.clone(), describe(admin, &mirror)?.partitions);
        }
        if let Some(events) = &options.events_topic {
            partitions.insert(events.clone(), describe(admin, events)?.partitions);
        }
        let snapshot_partitions = match stage.snapshots() {
            true => describe(admin, &options.snapshots.topic)?.partitions,
            false => 0,
        };
        let stamper = Stamper {
            stage: stage.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_fp: stage.config_fp().to_owned(),
            partitions,
            heartbeats,
            limits: options.limits.clone(),
        };
        Ok(Setup { stamper: Arc::new(stamper), inputs, ids, snapshot_partitions })
    }

    /// The empty table of a task's writers.
    pub fn writers(&self, topic: &InputTopic, snapshots: bool, options: &LoopOptions) -> Writers {
        let limit = if snapshots { options.writers_max } else { NOTED_WRITERS_MAX };
        Writers::new(topic.waiting.clone(), limit)
    }
}

fn describe(admin: &dyn Admin, topic: &str) -> Result<TopicInfo, LoopError> {
    admin.describe(topic)?.ok_or_else(|| LoopError::NoTopic(topic.to_owned()))
}

fn waiting(
    admin: &dyn Admin,
    policy: &WriterPolicy,
    ids: &mut BTreeMap<String, String>,
) -> Result<Waiting, LoopError> {
    let expected = match policy {
        WriterPolicy::Instances { left_out_after, grace_ms } => {
            let left_out_after = u8::try_from(*left_out_after).unwrap_or(u8::MAX);
            return Ok(Waiting::Instances { left_out_after, grace_ms: *grace_ms });
        }
        WriterPolicy::Tasks { expected } => expected,
    };
    let mut sources: BTreeMap<String, Vec<Writer>> = BTreeMap::new();
    for of in expected {
        let info = describe(admin, &of.topic)?;
        ids.insert(of.topic.clone(), info.id.clone());
        let task = |partition| Writer::Task {
            stage: of.stage.clone(),
            topic_id: info.id.clone(),
            partition,
        };
        sources.entry(of.topic.clone()).or_default().extend((0..info.partitions).map(task));
    }
    for tasks in sources.values_mut() {
        tasks.sort();
    }
    Ok(Waiting::Tasks { sources: sources.into_iter().collect() })
}

/// A name that another instance has may be that of our own predecessor, whose session has not run
/// out yet.
pub fn wait_for_name<S: Stage>(
    log: &dyn Log,
    stage: &S,
    options: &LoopOptions,
    shutdown: &Shutdown,
) -> Result<(), LoopError> {
    let started = options.clock.now();
    loop {
        let waited = options.clock.now().saturating_sub(started);
        match log.admin().members(stage.name()) {
            Ok(members) if !members.contains(&options.instance) => return Ok(()),
            Ok(_) if waited > options.session => {
                return Err(LoopError::NameTaken(options.instance.clone()));
            }
            // A coordinator that just started says nothing for a while.
            Err(error) if is_crash(&error) || waited > options.session + ANSWER => {
                return Err(error.into());
            }
            Ok(_) | Err(_) => {}
        }
        if shutdown.requested() {
            return Ok(());
        }
        options.clock.wait(options.session / 20, shutdown);
    }
}

/// How long the group's coordinator may take to answer at all, beyond a session.
const ANSWER: Duration = Duration::from_secs(30);
