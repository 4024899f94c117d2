//! Rights against a cluster that says what it has; a real one is asked in the tests crate.

use std::sync::Mutex;

use super::{Acl, Operation, Pattern, Resource, apply, plan, wanted};
use crate::config::{AclsConfig, BusConfig, Engine};
use crate::log::{Admin, LogError, TopicInfo};
use crate::topics::TopicSpec;

const APPROVALS: &str = "gannet.approvals.v1";

#[derive(Default)]
struct Cluster(Mutex<Vec<Acl>>);

impl Admin for Cluster {
    fn describe(&self, _: &str) -> Result<Option<TopicInfo>, LogError> {
        Ok(None)
    }

    fn create(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    fn alter(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    fn delete(&self, _: &str) -> Result<(), LogError> {
        Ok(())
    }

    fn members(&self, _: &str) -> Result<Vec<String>, LogError> {
        Ok(Vec::new())
    }

    fn acls(&self, resource: Resource, name: &str) -> Result<Vec<Acl>, LogError> {
        let mut all = self.0.lock().unwrap().clone();
        let bears = |acl: &Acl| name.starts_with(acl.name.trim_end_matches('*'));
        all.retain(|acl| acl.resource == resource && bears(acl));
        Ok(all)
    }

    fn grant(&self, acl: &Acl) -> Result<(), LogError> {
        self.0.lock().unwrap().push(acl.clone());
        Ok(())
    }
}

fn config() -> BusConfig {
    let (console, act) = ("User:gannet-console".to_owned(), "User:gannet-act".to_owned());
    let mut config = BusConfig { engine: Engine::Kafka, ..BusConfig::default() };
    config.kafka.acls = Some(AclsConfig { console, act });
    config
}

fn said(cluster: &Cluster, config: &BusConfig) -> Vec<String> {
    plan(cluster, config).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_missing_is_granted_once() {
    let cluster = Cluster::default();
    let before = said(&cluster, &config());
    let lacks =
        format!("topic {APPROVALS}: a right is missing: User:gannet-console may write {APPROVALS}");
    assert!(before.len() == wanted(&config()).len() && before.contains(&lacks), "{before:#?}");
    assert_eq!(apply(&cluster, &config()).unwrap(), []);
    assert_eq!(said(&cluster, &config()), [""; 0]);
}

#[test]
fn other_writers_are_told_and_stay() {
    let cluster = Cluster::default();
    apply(&cluster, &config()).unwrap();
    let prefixed = |operation, is_denied| Acl {
        pattern: Pattern::Prefixed,
        is_denied,
        ..Acl::allow("User:detect", operation, "gannet.")
    };
    for acl in [
        prefixed(Operation::Read, false),
        prefixed(Operation::Write, true),
        prefixed(Operation::All, false),
        Acl::allow("User:*", Operation::Write, "*"),
    ] {
        cluster.grant(&acl).unwrap();
    }
    let told = [
        format!("topic {APPROVALS} may be written by others: User:detect may do all with gannet.*"),
        format!("topic {APPROVALS} may be written by others: User:* may write *"),
    ];
    assert_eq!(said(&cluster, &config()), told);
    assert_eq!(apply(&cluster, &config()).unwrap().len(), told.len());
}

#[test]
fn without_the_section_nothing_is_looked_at() {
    let cluster = Cluster::default();
    cluster.grant(&Acl::allow("User:*", Operation::Write, "*")).unwrap();
    let mut without = config();
    without.kafka.acls = None;
    let embedded = BusConfig { engine: Engine::Embedded, ..config() };
    for config in [without, embedded] {
        assert_eq!(said(&cluster, &config), [""; 0]);
    }
}
