//! Administration of a cluster: topics with their ids and settings, members of groups. Its calls
//! are rare, so each waits for its answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::{native, options};
use crate::acls::{Acl, Resource};
use crate::config::BusConfig;
use crate::log::{Admin, LogError, TopicInfo};
use crate::topics::TopicSpec;

pub struct KafkaAdmin {
    client: AdminClient<DefaultClientContext>,
    timeout: Duration,
    prefix: String,
}

// === impl KafkaAdmin ===

impl KafkaAdmin {
    pub fn new(config: &BusConfig) -> Result<KafkaAdmin, LogError> {
        let client = options::admin(&config.kafka).create();
        let client = client.map_err(|e| LogError::call("open", e))?;
        let timeout = config.kafka.timeouts.request();
        Ok(KafkaAdmin { client, timeout, prefix: config.prefix.clone() })
    }

    pub fn described(&self, topic: &str) -> Result<Option<native::Described>, LogError> {
        native::describe_topic(self.client.inner().native_ptr(), topic, self.timeout)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }

    fn configs(&self, topic: &str) -> Result<ConfigResource, LogError> {
        let specifier = ResourceSpecifier::Topic(topic);
        let asked = self.client.describe_configs([&specifier], &self.options());
        let mut found = block_on(asked).map_err(|e| LogError::call("describe", e))?;
        match found.pop() {
            Some(found) => found.map_err(|code| LogError::call("describe", code)),
            None => Err(LogError::call("describe", format!("{topic}: no answer"))),
        }
    }

    /// The answer to a change comes before every broker knows of it: wait until it is seen.
    fn wait_until(
        &self,
        call: &'static str,
        seen: impl Fn() -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let deadline = Instant::now() + self.timeout;
        while !seen()? {
            if Instant::now() >= deadline {
                return Err(LogError::Timeout { call, limit: self.timeout });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Admin for KafkaAdmin {
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>, LogError> {
        let Some(found) = self.described(topic)? else {
            return Ok(None);
        };
        let configs = self.configs(topic)?;
        let setting =
            |entry: &rdkafka::admin::ConfigEntry| Some((entry.name.clone(), entry.value.clone()?));
        Ok(Some(TopicInfo {
            name: topic.to_owned(),
            id: found.id,
            partitions: found.partitions,
            settings: configs.entries.iter().filter_map(setting).collect(),
        }))
    }

    fn create(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let failed = |reason: &dyn std::fmt::Display| {
            LogError::call("create", format!("topic {}: {reason}", topic.name))
        };
        let partitions = i32::try_from(topic.partitions).map_err(|e| failed(&e))?;
        let replication = TopicReplication::Fixed(i32::from(topic.replication));
        let mut new = NewTopic::new(&topic.name, partitions, replication);
        for (name, value) in &topic.settings {
            new = new.set(name, value);
        }
        let asked = self.client.create_topics([&new], &self.options());
        for result in block_on(asked).map_err(|e| failed(&e))? {
            result.map_err(|(_, code)| failed(&code))?;
        }
        self.wait_until("create", || {
            Ok(self.described(&topic.name)?.is_some_and(|d| d.partitions == topic.partitions))
        })
    }

    fn alter(&self, topic: &TopicSpec) -> Result<(), LogError> {
        let failed = |reason: &dyn std::fmt::Display| {
            LogError::call("alter", format!("topic {}: {reason}", topic.name))
        };
        if self.described(&topic.name)?.is_none() {
            return Err(LogError::NoTopic(topic.name.clone()));
        }
        // The call replaces all settings: those that somebody set before must go along.
        let found = self.configs(&topic.name)?;
        let own = found.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let mut settings: BTreeMap<String, String> =
            own.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect();
        settings.extend(topic.settings.clone());
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&topic.name));
        for (name, value) in &settings {
            change = change.set(name, value);
        }
        let asked = self.client.alter_configs([&change], &self.options());
        for result in block_on(asked).map_err(|e| failed(&e))? {
            result.map_err(|(_, code)| failed(&code))?;
        }
        self.wait_until("alter", || {
            let now = self.configs(&topic.name)?;
            let set = |(name, value): (&String, &String)| {
                now.get(name).and_then(|entry| entry.value.as_ref()) == Some(value)
            };
            Ok(topic.settings.iter().all(set))
        })
    }

    fn delete(&self, topic: &str) -> Result<(), LogError> {
        let asked = self.client.delete_topics(&[topic], &self.options());
        for result in block_on(asked).map_err(|e| LogError::call("delete", e))? {
            match result {
                Ok(_) => {}
                Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                    return Err(LogError::NoTopic(topic.to_owned()));
                }
                Err((_, code)) => return Err(LogError::call("delete", code)),
            }
        }
        self.wait_until("delete", || Ok(self.described(topic)?.is_none()))
    }

    fn members(&self, stage: &str) -> Result<Vec<String>, LogError> {
        let group = format!("{}{stage}", self.prefix);
        let found = self.client.inner().fetch_group_list(Some(&group), self.timeout);
        let found = match found {
            Ok(found) => found,
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::OperationTimedOut)) => {
                return Err(LogError::Timeout { call: "members", limit: self.timeout });
            }
            Err(error) => return Err(LogError::call("members", error)),
        };
        let members = found.groups().iter().filter(|found| found.name() == group);
        Ok(members
            .flat_map(|group| group.members().iter().map(|m| m.client_id().to_owned()))
            .collect())
    }

    fn acls(&self, resource: Resource, name: &str) -> Result<Vec<Acl>, LogError> {
        native::describe_acls(self.client.inner().native_ptr(), resource, name, self.timeout)
    }

    fn grant(&self, acl: &Acl) -> Result<(), LogError> {
        native::create_acl(self.client.inner().native_ptr(), acl, self.timeout)?;
        self.wait_until("grant", || Ok(self.acls(acl.resource, &acl.name)?.contains(acl)))
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future of the client library, which its own thread completes.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
