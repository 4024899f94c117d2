//! What of a compose file matters here, as types; and the rules of ours that the specification
//! does not know.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The stages that run on a cluster, a service each.
pub const STAGES: &[&str] = &["ingest", "detect", "correlate", "act", "console"];
/// Makes the topics and ends.
pub const TOPICS: &str = "topics";
pub const KAFKA: &str = "kafka";

#[derive(Debug, Deserialize)]
pub struct File {
    pub services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
pub struct Service {
    #[serde(default)]
    pub image: String,
    /// Only as a list: a string would need a shell's rules to take apart.
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub healthcheck: Option<Healthcheck>,
    #[serde(default)]
    pub depends_on: BTreeMap<String, Dependency>,
}

#[derive(Debug, Deserialize)]
pub struct Healthcheck {
    pub test: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub condition: String,
}

impl File {
    pub fn parse(text: &str) -> Result<File> {
        serde_saphyr::from_str(text).context("failed to read the compose file")
    }

    pub fn service(&self, name: &str) -> Result<&Service> {
        self.services.get(name).with_context(|| format!("no service `{name}`"))
    }

    /// What is not as this project needs it.
    pub fn breaches(&self, kafka_version: &str) -> Vec<String> {
        let mut found = Vec::new();
        let image = format!("apache/kafka:{kafka_version}");
        for name in STAGES.iter().chain(&[TOPICS, KAFKA]) {
            let Some(service) = self.services.get(*name) else {
                found.push(format!("no service `{name}`"));
                continue;
            };
            if *name == KAFKA {
                if service.image != image {
                    found.push(format!("kafka is {}, tests run on {image}", service.image));
                }
                continue;
            }
            if service.command.first().is_none_or(|program| program != "gannet") {
                found.push(format!("`{name}` does not start gannet"));
            }
            if STAGES.contains(name) {
                found.extend(service.stage_breaches(name));
            }
        }
        found
    }
}

impl Service {
    fn stage_breaches(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.command.get(1).is_none_or(|stage| stage != name) {
            found.push(format!("`{name}` starts another stage"));
        }
        let test = self.healthcheck.as_ref().map(|check| check.test.join(" ")).unwrap_or_default();
        if !test.contains("/-/ready") {
            found.push(format!("`{name}` has no health check on /-/ready"));
        }
        let needs = [(KAFKA, "service_healthy"), (TOPICS, "service_completed_successfully")];
        for (other, condition) in needs {
            if self.depends_on.get(other).is_none_or(|needed| needed.condition != condition) {
                found.push(format!("`{name}` does not wait for {other}: {condition}"));
            }
        }
        found
    }
}
