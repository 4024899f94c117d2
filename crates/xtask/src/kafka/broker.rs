//! One broker as a child process that lives as long as its [`Broker`]: started, waited for by
//! its port and its own log line, killed and started again on the same data and ports.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::jars;
use super::properties::{self, Access, Ports};
use crate::{process, workspace};

/// The name of the one that stays when xtask ends.
pub(super) const STANDING: &str = "standing";

/// What the broker logs when it serves (2 s after its start on an idle machine).
const SERVING: &str = "Kafka Server started";

/// Far above the 2 s an idle machine needs: a test machine may be building on every core.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long a broker may take to end by itself before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How to start a broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder under `target/kafka-data`; two brokers at a time need two names.
    pub name: String,
    /// The port for clients on 127.0.0.1; a free one if none is given.
    pub port: Option<u16>,
    /// Allow consumer sessions of 1 s.
    pub fast_timeouts: bool,
    pub access: Access,
}

impl Options {
    pub fn named(name: &str) -> Self {
        Options { name: name.to_string(), port: None, fast_timeouts: false, access: Access::Open }
    }

    pub fn with_fast_timeouts(mut self) -> Self {
        self.fast_timeouts = true;
        self
    }

    /// Clients must say who they are, and may do only what somebody has allowed.
    pub fn with_access_asked(mut self) -> Self {
        self.access = Access::Asked;
        self
    }
}

/// A running broker. Dropping it kills it; its data stays until the next start of that name.
pub struct Broker {
    dir: PathBuf,
    ports: Ports,
    /// `None` between [`Broker::kill`] and [`Broker::restart`].
    child: Option<Child>,
    /// Whether a Ctrl-C that ends this process spares the broker.
    stands_alone: bool,
}

impl Broker {
    /// A new, empty broker that serves when this returns.
    pub fn start(options: &Options) -> Result<Broker> {
        let free = process::free_ports(2)?;
        let ports = Ports { client: options.port.unwrap_or(free[0]), controller: free[1] };
        Broker::start_with(&options.name, ports, |data| {
            Ok(properties::server(ports, data, options.fast_timeouts, options.access))
        })
    }

    /// As [`Broker::start`], on the `server.properties` that is made for its folder of data.
    pub fn start_with(
        name: &str,
        ports: Ports,
        properties: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Broker> {
        jars::fetch()?;
        let dir = workspace::target().join("kafka-data").join(name);
        end_leftover(&dir)?;
        if dir.exists() {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("failed to empty {}", dir.display()))?;
        }
        fs::create_dir_all(&dir)?;
        if process::answers(ports.client) {
            bail!("port {} of 127.0.0.1 is taken", ports.client);
        }
        fs::write(dir.join("server.properties"), properties(&dir.join("log"))?)?;
        format_storage(&dir)?;
        let mut broker = Broker { dir, ports, child: None, stands_alone: name == STANDING };
        broker.restart()?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `kill -9`, and waits for its end. Nothing happens if it is down already.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts on the same data and ports after [`Broker::kill`] or [`Broker::stop`]; serves when
    /// this returns.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("the broker on {} runs already", self.bootstrap());
        }
        let log = self.dir.join("broker.log");
        let mut command = server_command(&self.dir);
        if self.stands_alone {
            command.process_group(0);
        }
        let child = process::spawn_logged(&mut command, &log)?;
        fs::write(self.dir.join("pid"), child.id().to_string())?;
        self.child = Some(child);
        self.wait_until_serving(&log)
    }

    /// SIGTERM, and waits for a clean end; kills it when that takes too long.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            process::signal(child.id(), "TERM")?;
            if process::wait_for_exit(&mut child, STOP_WITHIN)?.is_none() {
                child.kill()?;
                child.wait()?;
            }
        }
        Ok(())
    }

    /// Leaves the broker running when this process ends. Returns its process id.
    pub fn leave_running(mut self) -> Option<u32> {
        self.child.take().map(|child| child.id())
    }

    fn wait_until_serving(&mut self, log: &Path) -> Result<()> {
        let port = self.ports.client;
        let child = self.child.as_mut().expect("set by the caller");
        process::wait_until("Apache Kafka serving", READY_WITHIN, || {
            let text = fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = child.try_wait()? {
                bail!("Apache Kafka ended with {status}:\n{}", process::tail(&text));
            }
            Ok(text.contains(SERVING) && process::answers(port))
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody can be told here, and the data is only a test's.
        let _ = self.kill();
    }
}

/// Kills what a run that was itself killed left behind under this name.
fn end_leftover(dir: &Path) -> Result<()> {
    let Some(pid) = running_in(dir) else {
        return Ok(());
    };
    eprintln!("xtask: ending a left-over broker, process {pid}");
    process::signal(pid, "KILL")?;
    process::wait_until("the left-over broker's end", STOP_WITHIN, || Ok(!is_broker(pid, dir)))
}

/// The process id of the broker that runs on this folder, if one does.
pub(super) fn running_in(dir: &Path) -> Option<u32> {
    let pid = fs::read_to_string(dir.join("pid")).ok()?.trim().parse().ok()?;
    is_broker(pid, dir).then_some(pid)
}

/// Process ids are used again, so the command line must name this folder's configuration.
fn is_broker(pid: u32, dir: &Path) -> bool {
    let file = dir.join("server.properties");
    process::command_line(pid).is_some_and(|line| line.contains(&*file.to_string_lossy()))
}

fn format_storage(dir: &Path) -> Result<()> {
    let mut uuid = Command::new("java");
    uuid.args(["-cp", &jars::class_path(), "kafka.tools.StorageTool", "random-uuid"]);
    // slf4j may write lines of its own before the id.
    let id = process::output(&mut uuid)?.lines().last().unwrap_or_default().trim().to_string();
    let mut format = Command::new("java");
    format.args(["-cp", &jars::class_path(), "kafka.tools.StorageTool", "format", "-t", &id]);
    format.arg("--ignore-formatted").arg("-c").arg(dir.join("server.properties"));
    process::run_quiet(&mut format).context("failed to format the broker's storage")
}

/// Small heap, cheap start; warnings only, but for the line that says it serves.
fn server_command(dir: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    java.arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info");
    java.args(["-cp", &jars::class_path(), "kafka.Kafka"]).arg(dir.join("server.properties"));
    java
}
