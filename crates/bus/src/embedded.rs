//! The log of one process, on disk or in memory: topics, groups and transactions as Kafka has
//! them, on a B-tree store. It is no cluster and no Kafka broker: others' clients need Kafka.
//! Readers wait on a condition and not on a clock, so a commit reaches them at once.

use std::sync::Arc;

use crate::config::BusConfig;
use crate::log::{Admin, Log, LogError, Producer, Reader, Tasks, TopicInfo};
use crate::topics::TopicSpec;

mod batch;
mod clean;
mod codec;
mod groups;
mod memory;
mod producer;
mod reader;
mod shared;
mod store;
mod tasks;
#[cfg(test)]
mod tests;
mod writer;

use shared::Shared;
use store::{Failure, Tables, Topic};
use writer::Core;

/// A connected embedded log. Dropping the last handle (tasks and readers are handles too) writes
/// what is queued and closes the file.
pub struct EmbeddedLog {
    core: Arc<Core>,
}

// === impl EmbeddedLog ===

impl EmbeddedLog {
    /// Opens the log of `config.embedded`; a file that another process has open is an error.
    pub fn open(config: &BusConfig) -> Result<EmbeddedLog, LogError> {
        Ok(EmbeddedLog { core: Core::start(Shared::open(config)?)? })
    }

    /// A fresh log in memory with default settings.
    pub fn in_memory() -> Result<EmbeddedLog, LogError> {
        EmbeddedLog::open(&BusConfig::default())
    }

    /// Bytes of all records (the store needs somewhat more).
    pub fn bytes(&self) -> u64 {
        self.core.shared.state().bytes()
    }
}

impl Log for EmbeddedLog {
    fn admin(&self) -> &dyn Admin {
        self
    }

    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError> {
        Ok(Box::new(tasks::EmbeddedTasks::join(&self.core, stage, instance, inputs)?))
    }

    fn producer(&self, _stage: &str, _instance: &str) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(producer::EmbeddedProducer::new(&self.core)))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(reader::EmbeddedReader::new(&self.core)))
    }
}

impl Admin for EmbeddedLog {
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>, LogError> {
        let state = self.core.shared.state();
        Ok(state.topics.get(topic).map(|found| TopicInfo {
            name: topic.to_owned(),
            id: found.topic.id(),
            partitions: found.topic.partitions,
            settings: found.topic.settings.clone(),
        }))
    }

    fn create(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let spec = topic.clone();
        self.core.administer(Box::new(move |shared| create(shared, &spec)))
    }

    fn alter(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let spec = topic.clone();
        self.core.administer(Box::new(move |shared| alter(shared, &spec)))
    }

    fn delete(&self, topic: &str) -> Result<(), LogError> {
        let name = topic.to_owned();
        self.core.administer(Box::new(move |shared| delete(shared, &name)))
    }

    fn members(&self, stage: &str) -> Result<Vec<String>, LogError> {
        let state = self.core.shared.state();
        Ok(state.groups.get(stage).map(groups::Group::instances).unwrap_or_default())
    }
}

fn create(shared: &Shared, spec: &TopicSpec) -> Result<(), LogError> {
    if shared.state().topics.contains_key(&spec.name) {
        return Err(LogError::call("create", format!("topic {} is there already", spec.name)));
    }
    if spec.partitions == 0 {
        return Err(LogError::call("create", format!("topic {} without partitions", spec.name)));
    }
    let topic = change(shared, "create", |tables| {
        let number = tables.next_topic_number()?;
        let (name, settings) = (spec.name.as_str().into(), spec.settings.clone());
        let topic = Topic { number, name, partitions: spec.partitions, settings };
        tables.put_topic(&topic)?;
        Ok(topic)
    })?;
    shared.state().put_topic(topic);
    Ok(())
}

fn alter(shared: &Shared, spec: &TopicSpec) -> Result<(), LogError> {
    let known = shared.state().topic(&spec.name)?;
    let mut topic = known.topic.clone();
    topic.settings.extend(spec.settings.clone());
    change(shared, "alter", |tables| tables.put_topic(&topic))?;
    shared.state().put_topic(topic);
    Ok(())
}

fn delete(shared: &Shared, name: &str) -> Result<(), LogError> {
    let known = shared.state().topic(name)?;
    change(shared, "delete", |tables| clean::drop_topic(tables, &known.topic))?;
    shared.state().remove_topic(name);
    Ok(())
}

/// One synced transaction of the store.
fn change<T>(
    shared: &Shared,
    call: &'static str,
    work: impl FnOnce(&mut Tables<'_>) -> Result<T, Failure>,
) -> Result<T, LogError> {
    let attempt = || -> Result<T, Failure> {
        let txn = shared.db.begin_write()?;
        let result = work(&mut Tables::open(&txn)?)?;
        txn.commit()?;
        Ok(result)
    };
    attempt().map_err(|e| LogError::call(call, e))
}
