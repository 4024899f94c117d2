//! What a run must have found, and what not. Judged from the capture's packets and what was sent,
//! never from a file's name or from what the product counts of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use model::rows::Incident;

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
}

/// All checks of a run; printed with the line that `xtask` counts by at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// One export of softflowd within a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub name: String,
    pub victim: Ipv4Addr,
    /// The address that it is sent from.
    pub exporter: Ipv4Addr,
    pub is_syn_flood: bool,
    /// Milliseconds since 1970 at which its datagrams began.
    pub begun_ms: i64,
}

/// The model that calls something a SYN flood.
const SYN_FLOOD: &str = "syn-flood";
/// The model that calls an exporter silent.
const SILENCE: &str = "silence";

/// Every incident as it last stood, by id.
pub fn latest(changes: &[Incident]) -> BTreeMap<&str, &Incident> {
    let mut latest: BTreeMap<&str, &Incident> = BTreeMap::new();
    for change in changes {
        let known = latest.entry(&change.id).or_insert(change);
        if known.revision < change.revision {
            *known = change;
        }
    }
    latest
}

/// Before the first export there was only benign traffic: no incident at all.
pub fn benign(changes: &[Incident], until_ms: i64) -> Check {
    let early: Vec<&str> = latest(changes)
        .values()
        .filter(|incident| incident.opened_ms < until_ms)
        .map(|incident| incident.headline.as_str())
        .collect();
    let outcome = match early.as_slice() {
        [] => Outcome::Passed("no incident".to_owned()),
        some => Outcome::Failed(format!("{} incidents: {}", some.len(), some.join("; "))),
    };
    Check { name: "benign alone".to_owned(), outcome }
}

/// The busy benign server is never named.
pub fn busy(changes: &[Incident], server: Ipv4Addr) -> Check {
    let named = named(changes, server);
    let outcome = match named.len() {
        0 => Outcome::Passed(format!("{server} is in no incident")),
        n => Outcome::Failed(format!("{server} is named by {n} incidents")),
    };
    Check { name: "busy server".to_owned(), outcome }
}

/// A flood is one incident that names its victim; anything else is no SYN flood.
pub fn episode(changes: &[Incident], episode: &Episode) -> Check {
    let floods: BTreeSet<&str> = changes
        .iter()
        .filter(|incident| incident.members.iter().any(|member| member.model == SYN_FLOOD))
        .filter(|incident| names(incident, episode.victim))
        .map(|incident| incident.id.as_str())
        .collect();
    let about = named(changes, episode.victim);
    let outcome = match (episode.is_syn_flood, floods.len(), about.len()) {
        (true, 1, 1) => Outcome::Passed(format!("one incident names {}", episode.victim)),
        (true, floods, all) => Outcome::Failed(format!(
            "{all} incidents name {}, {floods} of them call it a SYN flood",
            episode.victim
        )),
        (false, 0, _) => Outcome::Passed("not called a SYN flood".to_owned()),
        (false, _, _) => Outcome::Failed(format!("{} called a SYN flood", episode.victim)),
    };
    Check { name: episode.name.clone(), outcome }
}

/// Every other incident is a false alarm, but that softflowd fell silent once it had sent all.
pub fn others(changes: &[Incident], episodes: &[Episode]) -> Check {
    let is_other = |incident: &&&Incident| {
        let is_silence = incident.members.iter().all(|member| member.model == SILENCE);
        !episodes.iter().any(|episode| {
            names(incident, episode.victim) || (is_silence && names(incident, episode.exporter))
        })
    };
    let latest = latest(changes);
    let wrong: Vec<&str> =
        latest.values().filter(is_other).map(|incident| incident.headline.as_str()).collect();
    let outcome = match wrong.as_slice() {
        [] => Outcome::Passed("every incident is of what was sent".to_owned()),
        some => Outcome::Failed(some.join("; ")),
    };
    Check { name: "false alarms".to_owned(), outcome }
}

/// The most records of one datagram: 1,440 bytes of softflowd's smallest.
const RECORDS_PER_DATAGRAM_MAX: u64 = 48;

/// Every record that was sent stands on the topic, or its exporter's sequence numbers told of it.
/// v9 counts datagrams, so a lost one may stand for many records.
pub fn ledger(name: &str, sent: u64, stored: u64, lost: u64) -> Check {
    let text = format!("{sent} records sent, {stored} stored, {lost} lost by sequence numbers");
    let missing = sent.saturating_sub(stored);
    let is_told = missing <= lost * RECORDS_PER_DATAGRAM_MAX && (missing > 0 || lost == 0);
    let is_whole = stored <= sent && is_told;
    let outcome = if is_whole { Outcome::Passed(text) } else { Outcome::Failed(text) };
    Check { name: format!("ledger {name}"), outcome }
}

fn named(changes: &[Incident], address: Ipv4Addr) -> BTreeSet<&str> {
    let about = changes.iter().filter(|incident| names(incident, address));
    about.map(|incident| incident.id.as_str()).collect()
}

pub fn names(incident: &Incident, address: Ipv4Addr) -> bool {
    incident.entity.as_ref().is_some_and(|entity| entity.name == address.to_string())
}

// === impl Check ===

impl Check {
    /// Passed with a text, or failed with its reason.
    pub fn of(name: &str, result: anyhow::Result<String>) -> Check {
        let outcome = match result {
            Ok(text) => Outcome::Passed(text),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        Check { name: name.to_owned(), outcome }
    }
}

// === impl Report ===

impl Report {
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.checks.iter().filter(|check| is(&check.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let (word, text) = match &check.outcome {
                Outcome::Passed(text) => ("passed", text),
                Outcome::Failed(text) => ("FAILED", text),
                Outcome::Skipped(text) => ("skipped", text),
            };
            writeln!(f, "{word}: {}: {text}", check.name)?;
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        write!(f, "{passed} passed, {} failed, {skipped} skipped", self.failed())
    }
}
