//! Starts what the compose file says, as processes: the broker on the configuration that its
//! environment spells, the topics, then each stage until its own health check passes, then SIGTERM
//! and a clean end. Three things are put in the place of what only the containers' network has:
//! `kafka` and 0.0.0.0 become 127.0.0.1, and the broker's ports and folder are free ones.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::file::{File, KAFKA, STAGES, Service, TOPICS};
use super::others::Others;
use crate::kafka::Broker;
use crate::kafka::Ports;
use crate::{process, workspace};

/// For a stage to join its group and restore nothing, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// As `stop_grace_period` in the file.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The ports of the broker inside its container.
const CLIENT: &str = ":9092";
const CONTROLLER: &str = ":9093";

/// Starts every service of the file and ends it again; says which were started, and what a Python
/// reader, where there is one, found on their topics.
pub fn start_each(python: Option<&Path>) -> Result<String> {
    let file = super::read()?;
    let free = process::free_ports(2)?;
    let ports = Ports { client: free[0], controller: free[1] };
    let _broker = Broker::start_with("compose", ports, |data| {
        Ok(properties(file.service(KAFKA)?, ports, data))
    })?;
    let topics = file.service(TOPICS)?;
    process::run_quiet(&mut command(topics, ports)?).context("service `topics`")?;
    let mut others = python.map(|python| Others::begin(python, topics, ports)).transpose()?;
    let mut running = Vec::new();
    for name in STAGES {
        running.push(Stage::start(name, &file, ports)?);
    }
    for stage in &mut running {
        stage.wait_until_ready(ports)?;
    }
    let read = others.as_mut().map(Others::read).transpose()?;
    for stage in &mut running {
        stage.stop()?;
    }
    let read = read.map(|read| format!("; {read}")).unwrap_or_default();
    Ok(format!("{KAFKA}, {TOPICS}, {}{read}", STAGES.join(", ")))
}

/// A service's process, killed when it goes out of scope.
struct Stage<'a> {
    name: &'static str,
    service: &'a Service,
    child: Child,
}

impl<'a> Stage<'a> {
    fn start(name: &'static str, file: &'a File, ports: Ports) -> Result<Stage<'a>> {
        let service = file.service(name)?;
        let log = workspace::target().join("compose").join(format!("{name}.log"));
        let child = process::spawn_logged(&mut command(service, ports)?, &log)?;
        Ok(Stage { name, service, child })
    }

    fn wait_until_ready(&mut self, ports: Ports) -> Result<()> {
        let (what, name) = (format!("service `{}` ready", self.name), self.name);
        let check = self.service.healthcheck.as_ref().context("no health check")?;
        let ["CMD", words @ ..] = &check.test.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            bail!("service `{name}`: only health checks of the form CMD are known");
        };
        let words: Vec<String> = words.iter().map(|word| on_loopback(word, ports)).collect();
        let waited = process::wait_until(&what, READY_WITHIN, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("service `{name}` ended with {status}");
            }
            Ok(process::succeeds(Command::new(&words[0]).args(&words[1..])))
        });
        waited.with_context(|| format!("its output is in target/compose/{name}.log"))
    }

    fn stop(&mut self) -> Result<()> {
        process::signal(self.child.id(), "TERM")?;
        let ended = process::wait_for_exit(&mut self.child, STOP_WITHIN)?;
        let status = ended.with_context(|| format!("service `{}` ignores SIGTERM", self.name))?;
        ensure!(status.success(), "service `{}` ended with {status} on SIGTERM", self.name);
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service's very command and environment.
fn command(service: &Service, ports: Ports) -> Result<Command> {
    let (program, args) = service.command.split_first().context("a service has no command")?;
    let mut command = product(program, service, ports);
    command.args(args);
    Ok(command)
}

/// A program of ours on a service's environment, from the repository's root, where the image has
/// its working directory's files too.
pub(super) fn product(program: &str, service: &Service, ports: Ports) -> Command {
    let mut command = Command::new(workspace::binary(program));
    command.current_dir(workspace::root());
    for (name, value) in &service.environment {
        command.env(name, on_loopback(value, ports));
    }
    command
}

/// Words of the containers' network as they are on this machine.
pub(super) fn on_loopback(text: &str, ports: Ports) -> String {
    text.replace("0.0.0.0", "127.0.0.1")
        .replace("kafka:", "127.0.0.1:")
        .replace(CLIENT, &format!(":{}", ports.client))
        .replace(CONTROLLER, &format!(":{}", ports.controller))
}

/// The image makes each `KAFKA_A_B` of its environment the property `a.b`.
pub(super) fn properties(service: &Service, ports: Ports, data: &Path) -> String {
    let mut text = String::new();
    for (name, value) in &service.environment {
        let Some(name) = name.strip_prefix("KAFKA_") else {
            continue;
        };
        let key = name.to_ascii_lowercase().replace('_', ".");
        let value = match key.as_str() {
            "log.dirs" => data.display().to_string(),
            _ => on_loopback(value, ports),
        };
        text += &format!("{key}={value}\n");
    }
    text
}
