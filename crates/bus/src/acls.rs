//! Who may do what with approvals on a cluster with an authorizer (DESIGN §7: only the console's
//! principal may write there). Like topics, rights are planned, applied and checked against the
//! configuration. Rights to all else are the operator's: what a deployment's principals are, we do
//! not know.

use std::fmt;

use crate::config::{BusConfig, Engine};
use crate::log::{Admin, LogError};
use crate::topics::{Difference, What};

/// One right of a principal to topics or groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub resource: Resource,
    /// The full name, a prefix of it, or `*` (a literal that stands for all).
    pub name: String,
    pub pattern: Pattern,
    /// As the authorizer names it: `User:gannet-console`; `User:*` is everybody.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    pub operation: Operation,
    pub is_denied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Topic,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Literal,
    Prefixed,
}

/// Operations that bear on reading and writing a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    All,
    Read,
    Write,
    Describe,
    DescribeConfigs,
    Other,
}

const APPROVALS: &str = "approvals.v1";
/// The groups of readers without one, and of act.
const READERS: &str = "reader";
const ACT: &str = "act";
const EVERYBODY: &str = "User:*";
const ANYWHERE: &str = "*";

// === impl Acl ===

impl Acl {
    /// A principal's right to one topic, from any address.
    pub fn allow(principal: &str, operation: Operation, topic: &str) -> Acl {
        Acl {
            resource: Resource::Topic,
            name: topic.to_owned(),
            pattern: Pattern::Literal,
            principal: principal.to_owned(),
            host: ANYWHERE.to_owned(),
            operation,
            is_denied: false,
        }
    }

    /// A principal's right to read as a member of one group.
    pub fn join(principal: &str, group: &str) -> Acl {
        Acl { resource: Resource::Group, ..Acl::allow(principal, Operation::Read, group) }
    }

    fn lets_write(&self) -> bool {
        let may = matches!(self.operation, Operation::All | Operation::Write);
        self.resource == Resource::Topic && may && !self.is_denied
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acl { name, principal, host, .. } = self;
        let may = if self.is_denied { "may not" } else { "may" };
        let stars = if self.pattern == Pattern::Prefixed { "*" } else { "" };
        let group = if self.resource == Resource::Group { "as group " } else { "" };
        write!(f, "{principal} {may} {} {group}{name}{stars}", self.operation.as_str())?;
        if host == ANYWHERE { Ok(()) } else { write!(f, " from {host}") }
    }
}

// === impl Operation ===

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::All => "do all with",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Describe => "describe",
            Operation::DescribeConfigs => "describe the settings of",
            Operation::Other => "do something else with",
        }
    }
}

/// The rights that the configuration gives; none without its section. Everybody may look at the
/// topic and its settings, as every stage does at its start. Whoever reads needs a group:
/// librdkafka reads nothing before it has heard of the group's coordinator.
pub fn wanted(config: &BusConfig) -> Vec<Acl> {
    let Some(acls) = config.kafka.acls.as_ref().filter(|_| config.engine == Engine::Kafka) else {
        return Vec::new();
    };
    let topic = config.topic(APPROVALS);
    let of = |principal: &str, operation| Acl::allow(principal, operation, &topic);
    vec![
        of(&acls.console, Operation::Write),
        of(&acls.console, Operation::Read),
        of(&acls.act, Operation::Read),
        Acl::join(&acls.console, &config.topic(READERS)),
        Acl::join(&acls.act, &config.topic(READERS)),
        Acl::join(&acls.act, &config.topic(ACT)),
        of(EVERYBODY, Operation::Describe),
        of(EVERYBODY, Operation::DescribeConfigs),
    ]
}

/// Rights that are missing, and writers whom the configuration does not name.
pub fn plan(admin: &dyn Admin, config: &BusConfig) -> Result<Vec<Difference>, LogError> {
    let wanted = wanted(config);
    let Some(acls) = config.kafka.acls.as_ref().filter(|_| !wanted.is_empty()) else {
        return Ok(Vec::new());
    };
    let topic = config.topic(APPROVALS);
    let mut found = admin.acls(Resource::Topic, &topic)?;
    for group in [READERS, ACT] {
        found.extend(admin.acls(Resource::Group, &config.topic(group))?);
    }
    let missing = wanted.into_iter().filter(|acl| !found.contains(acl)).map(What::Right);
    let others = found.iter().filter(|acl| acl.lets_write() && acl.principal != acls.console);
    let all = missing.chain(others.cloned().map(What::Writer));
    Ok(all.map(|what| Difference { topic: topic.clone(), what }).collect())
}

/// Grants what is missing. Nothing is revoked: what is left is returned.
pub fn apply(admin: &dyn Admin, config: &BusConfig) -> Result<Vec<Difference>, LogError> {
    let mut left = Vec::new();
    for difference in plan(admin, config)? {
        match &difference.what {
            What::Right(acl) => admin.grant(acl)?,
            _ => left.push(difference),
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests;
