//! A Kafka cluster behind the log's traits, by librdkafka. Every call that asks a broker has a
//! timeout, and no client is ended on a caller's thread.

use crate::config::BusConfig;
use crate::log::{Admin, Log, LogError, Producer, Reader, Tasks};

mod admin;
mod convert;
mod dispose;
mod membership;
mod native;
mod options;
mod producer;
mod reader;
mod tasks;
#[cfg(test)]
mod tests;
mod transactions;

use admin::KafkaAdmin;

/// A connected cluster.
pub struct KafkaLog {
    config: BusConfig,
    admin: KafkaAdmin,
}

// === impl KafkaLog ===

impl KafkaLog {
    /// Makes the client; whether a broker answers shows with the first call.
    pub fn open(config: &BusConfig) -> Result<KafkaLog, LogError> {
        Ok(KafkaLog { config: config.clone(), admin: KafkaAdmin::new(config)? })
    }
}

impl Log for KafkaLog {
    fn admin(&self) -> &dyn Admin {
        &self.admin
    }

    fn join(
        &self,
        stage: &str,
        instance: &str,
        inputs: &[String],
    ) -> Result<Box<dyn Tasks>, LogError> {
        for input in inputs {
            if self.admin.described(input)?.is_none() {
                return Err(LogError::NoTopic(input.clone()));
            }
        }
        Ok(Box::new(tasks::KafkaTasks::join(&self.config, stage, instance, inputs)?))
    }

    fn producer(&self, stage: &str, instance: &str) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(producer::KafkaProducer::new(&self.config, stage, instance)?))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(reader::KafkaReader::new(&self.config)?))
    }
}
