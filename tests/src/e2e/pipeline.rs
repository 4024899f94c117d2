//! The product as an operator runs it: one process a stage and two of detect, on a real Kafka, with
//! topics under a prefix of this run.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::process::page;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

pub struct Pipeline {
    pub bus: bus::BusConfig,
    /// Where ingest listens.
    pub ingest: SocketAddr,
    processes: Vec<Process>,
    dir: TempDir,
}

struct Process {
    name: String,
    admin: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Pipeline {
    pub fn start(bootstrap: &str) -> Result<Pipeline> {
        let dir = tempfile::tempdir()?;
        let bus = bus::BusConfig {
            engine: bus::config::Engine::Kafka,
            // In a container process ids come again, and a broker may outlive its runs.
            prefix: format!("e2e-{}-{}.", super::now_ms()?, std::process::id()),
            kafka: bus::config::KafkaConfig {
                bootstrap: bootstrap.to_owned(),
                ..bus::config::KafkaConfig::default()
            },
            ..bus::BusConfig::default()
        };
        let ingest = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.path().join("gannet.yaml");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules.yaml");
        std::fs::copy(&shipped, dir.path().join("rules.yaml"))
            .with_context(|| format!("no rules at {}", shipped.display()))?;
        let text = format!(
            "bus:\n  engine: kafka\n  prefix: {:?}\n  kafka:\n    bootstrap: {bootstrap:?}\n\
             ingest:\n  listen: [\"udp://{ingest}\"]\n\
             detect:\n  rules: !include rules.yaml\n",
            bus.prefix
        );
        std::fs::write(&config, text)?;
        let mut pipeline = Pipeline { bus, ingest, processes: Vec::new(), dir };
        pipeline.apply_topics(&config)?;
        for name in ["correlate", "detect", "detect", "ingest"] {
            pipeline.spawn(name, &config)?;
        }
        pipeline.wait_until_ready()?;
        Ok(pipeline)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything that ingest says it dropped or lost itself, by its metrics.
    pub fn ingest_losses(&self) -> Result<Vec<String>> {
        let process = self.processes.iter().find(|p| p.name == "ingest").context("no ingest")?;
        let text = page(process.admin, "/metrics")?;
        let is_loss = |line: &&str| {
            let of_loss = ["_dropped_total", "_lost_total", "_problems_total"];
            !line.starts_with('#') && of_loss.iter().any(|name| line.contains(name))
        };
        let is_some = |line: &&str| !line.ends_with(" 0");
        Ok(text.lines().filter(is_loss).filter(is_some).map(str::to_owned).collect())
    }

    /// The last lines of every process's log.
    pub fn tails(&self) -> String {
        let tail = |process: &Process| format!("{}:\n{}\n", process.name, process.tail());
        self.processes.iter().map(tail).collect()
    }

    /// Fails where a process has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", process.name, process.tail());
            }
        }
        Ok(())
    }

    /// SIGTERM, then waits for the drain; the names of those that had to be killed.
    pub fn stop(&mut self) -> Vec<String> {
        for process in &self.processes {
            let pid = process.child.id().to_string();
            // It may have ended already, which is no failure here.
            let _ = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
        }
        let deadline = Instant::now() + STOP_WITHIN;
        let mut killed = Vec::new();
        for process in &mut self.processes {
            while matches!(process.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            if matches!(process.child.try_wait(), Ok(None)) {
                let _ = process.child.kill();
                let _ = process.child.wait();
                killed.push(process.name.clone());
            }
        }
        self.processes.clear();
        killed
    }

    fn apply_topics(&self, config: &Path) -> Result<()> {
        let mut command = Command::new(binary()?);
        let output = command.args(["topics", "apply", "--config"]).arg(config).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "gannet topics apply failed: {text}");
        Ok(())
    }

    fn spawn(&mut self, name: &str, config: &Path) -> Result<()> {
        let nth = self.processes.len();
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = self.dir.path().join(format!("{name}-{nth}.log"));
        let file = File::create(&log)?;
        let child = Command::new(binary()?)
            .arg(name)
            .arg("--config")
            .arg(config)
            .args(["--instance", &format!("{name}-{nth}")])
            .env("GANNET__ADMIN__LISTEN", admin.to_string())
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file))
            .spawn()?;
        self.processes.push(Process { name: name.to_owned(), admin, child, log });
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        for at in 0..self.processes.len() {
            while page(self.processes[at].admin, "/-/ready").is_err() {
                self.check()?;
                let process = &self.processes[at];
                ensure!(
                    Instant::now() < deadline,
                    "{} is not ready:\n{}",
                    process.name,
                    process.tail()
                );
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

impl Process {
    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `gannet` beside the binary that runs.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().map(|dir| dir.join("gannet")).find(|path| path.is_file());
    found.context("no gannet binary beside this one: cargo build --release")
}
