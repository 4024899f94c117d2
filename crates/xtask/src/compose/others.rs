//! Another team's reader on the topics of the running services: the simulated network sends them
//! NetFlow and IPFIX, its past with a flood and its present over sockets, and Python, with none of
//! our code, reads what the stages wrote, committed rows only, and as many as were sent.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::file::Service;
use super::services::product;
use crate::kafka::Ports;
use crate::{process, python, workspace};

/// Where the service `ingest` listens.
const FLOWS: &str = "127.0.0.1:2055";
/// A flood two minutes into the past that is sent at once: the flood rule is usable after one.
const PAST: [&str; 6] = ["--kind", "flood", "--event-after", "120", "--history", "135s"];
const PREFIX: &str = "gannet.";
/// For a reader to find what was sent, on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) struct Others<'a> {
    python: &'a Path,
    service: &'a Service,
    ports: Ports,
    /// Flows of the past.
    past: u64,
}

/// The network that sends; killed when it goes out of scope.
struct Network(Child);

// === impl Others ===

impl<'a> Others<'a> {
    /// Sends the network's past. Before any ingest runs: time does not go back behind its word.
    pub fn begin(python: &'a Path, service: &'a Service, ports: Ports) -> Result<Others<'a>> {
        let mut sim = sim(service, ports);
        let said = process::output(sim.args(PAST)).context("the network's past")?;
        let past = number(&said, "are on the log: ")?;
        Ok(Others { python, service, ports, past })
    }

    /// Sends more to the running ingest, and reads what all stages made of it.
    pub fn read(&mut self) -> Result<String> {
        let log = workspace::target().join("compose/network.log");
        let mut live = sim(self.service, self.ports);
        let mut network = Network(process::spawn_logged(live.args(["--to", FLOWS]), &log)?);
        process::wait_until("flows of the running ingest", LIMIT, || {
            Ok(self.rows("flows.v1", "flows")? > self.past)
        })?;
        process::signal(network.0.id(), "TERM")?;
        let ended = process::wait_for_exit(&mut network.0, LIMIT)?;
        ensure!(ended.is_some_and(|status| status.success()), "gannet sim: {ended:?}");
        let sent = self.past + number(&fs::read_to_string(&log)?, "sent ")?;
        process::wait_until("all flows that were sent", LIMIT, || {
            let rows = self.rows("flows.v1", "flows")?;
            ensure!(rows <= sent, "{rows} flows on the topic, {sent} were sent");
            Ok(rows == sent)
        })?;
        let mut read = format!("read by Python: {sent} flows as sent");
        for (topic, schema) in [
            ("signals.v1", "signals"),
            ("evidence.v1", "evidence.anomaly"),
            ("incidents.v1", "incidents"),
        ] {
            let mut rows = 0;
            process::wait_until(topic, LIMIT, || {
                rows = self.rows(topic, schema)?;
                Ok(rows > 0)
            })?;
            read += &format!(", {rows} rows of {topic}");
        }
        Ok(read)
    }

    /// Committed rows of a topic; an error where one is not as the schema says.
    fn rows(&self, topic: &str, schema: &str) -> Result<u64> {
        let mut reader = Command::new(self.python);
        reader.current_dir(python::scripts()).env("PYTHONDONTWRITEBYTECODE", "1");
        reader.args(["read_topic.py", &format!("127.0.0.1:{}", self.ports.client)]);
        reader.args([&format!("{PREFIX}{topic}"), "--check", schema, "--count"]);
        Ok(process::output(&mut reader)?.trim().parse()?)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `gannet sim` on a service's environment.
fn sim(service: &Service, ports: Ports) -> Command {
    let mut sim = product("gannet", service, ports);
    sim.args(["sim", "--config", "config/gannet.yaml", "--flows-per-s", "200"]);
    sim
}

/// The number behind some words.
pub(super) fn number(text: &str, words: &str) -> Result<u64> {
    let (_, rest) = text.split_once(words).with_context(|| format!("no `{words}` in:\n{text}"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("no number behind `{words}` in:\n{text}"))
}
