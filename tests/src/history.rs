//! A long ordinary time: `gannet sim --history` sends days of benign traffic through ingest's
//! decoders, the embedded log on disk and every stage, in simulated receive time and the shipped
//! configuration. No rule may say anything, and memory and the log's file must stay flat.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{binary, copied, page};

/// The log's records; its file has about twice as much. Less than the days would need, so that the
/// oldest must go.
const LOG_BYTES_MAX: u64 = 512 << 20;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Lines that a run prints.
const LINES: i64 = 20;
/// Without progress for so long it has failed.
const STALL_MAX: Duration = Duration::from_secs(300);
/// What memory may grow by from a quarter of the way to the end.
const GROWTH_MAX: f64 = 1.25;

#[derive(Clone, Debug, clap::Args)]
pub struct HistoryOptions {
    /// How much of the past
    #[arg(long, default_value = "2h")]
    pub past: String,
    /// benign or quiet
    #[arg(long, default_value = "benign")]
    pub kind: String,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 1_000)]
    pub flows_per_s: u64,
}

/// A look at the process.
#[derive(Clone, Debug, Default)]
struct Look {
    /// How far the last stage's time is, in seconds since 1970.
    reached_s: i64,
    resident_mb: f64,
    file_mb: f64,
    /// Open anomalies by rule, so far.
    anomalies: BTreeMap<String, u64>,
    incidents: u64,
    flows: u64,
    cpu_s: f64,
    /// Input that retention took before it was read.
    lost: u64,
}

struct Running {
    child: Child,
    admin: SocketAddr,
    dir: tempfile::TempDir,
}

/// Prints a line every twentieth of the way; fails where something was said or has grown.
pub fn run(options: &HistoryOptions) -> Result<()> {
    let past_s = seconds(&options.past)?;
    let mut running = Running::start(options)?;
    let begun = Instant::now();
    let (mut first_s, mut next_line) = (None, 1);
    let (mut moved, mut quarter, mut last) = (Instant::now(), None, Look::default());
    let end = loop {
        let look = running.look()?;
        if look.reached_s > last.reached_s {
            moved = Instant::now();
        }
        ensure!(moved.elapsed() < STALL_MAX, "time stands still: {look:?}\n{}", running.tail());
        last = look.clone();
        if look.reached_s == 0 {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        let start_s = *first_s.get_or_insert(look.reached_s);
        let share = (look.reached_s - start_s) * LINES / past_s;
        if share >= next_line {
            next_line = share + 1;
            print(&look, look.reached_s - start_s, begun.elapsed());
        }
        if look.reached_s - start_s >= past_s / 4 && quarter.is_none() {
            quarter = Some(look.clone());
        }
        // The last seconds are held back by grace, and by what correlate waits for.
        if look.reached_s - start_s >= past_s - 30 {
            break look;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let said = running.stop()?;
    judge(&end, quarter.unwrap_or_else(|| end.clone()), &said)
}

fn print(look: &Look, done_s: i64, took: Duration) {
    println!(
        "  {:6.1} h in {:5.0} s ({:4.0} CPU-s, {:.0} times as fast as life): {} flows, {:.0} MB \
         resident, log file {:.0} MB, anomalies {:?}, incidents {}, load {}",
        done_s as f64 / 3600.0,
        took.as_secs_f64(),
        look.cpu_s,
        done_s as f64 / took.as_secs_f64(),
        look.flows,
        look.resident_mb,
        look.file_mb,
        look.anomalies,
        look.incidents,
        crate::bench::load(),
    );
}

fn judge(end: &Look, quarter: Look, said: &str) -> Result<()> {
    let mut wrong = Vec::new();
    if end.incidents > 0 || !end.anomalies.is_empty() {
        wrong.push(format!("false alarms: {:?}, {} incidents", end.anomalies, end.incidents));
    }
    if end.resident_mb > quarter.resident_mb * GROWTH_MAX {
        wrong.push(format!("memory: {:.0} MB, then {:.0}", quarter.resident_mb, end.resident_mb));
    }
    if end.lost > 0 {
        wrong.push(format!("{} messages were gone before they were read", end.lost));
    }
    let file_max = (LOG_BYTES_MAX >> 20) as f64 * 3.0;
    if end.file_mb > file_max {
        wrong.push(format!("the log's file has {:.0} MB, over {file_max:.0}", end.file_mb));
    }
    let failed = usize::from(!wrong.is_empty());
    wrong.iter().for_each(|line| println!("  FAILED {line}"));
    println!("{} passed, {failed} failed, 0 skipped", 1 - failed);
    if failed > 0 {
        bail!("an ordinary time was not quiet:\n{said}");
    }
    Ok(())
}

/// `2h`, `14d`: the units that the binary takes too.
fn seconds(text: &str) -> Result<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().with_context(|| format!("no time: {text}"))?;
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => bail!("no unit of time: {other}"),
    };
    Ok(number * unit)
}

// === impl Running ===

impl Running {
    fn start(options: &HistoryOptions) -> Result<Running> {
        let dir = tempfile::tempdir()?;
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        copied(&shipped, dir.path())?;
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let output = fs::File::create(dir.path().join("output"))?;
        let mut command = Command::new(binary()?);
        command.args(["sim", "--history", &options.past, "--kind", &options.kind]);
        command.args(["--seed", &options.seed.to_string(), "--config", "gannet.yaml"]);
        command.args(["--flows-per-s", &options.flows_per_s.to_string()]);
        command.current_dir(dir.path());
        command.env("GANNET__ADMIN__LISTEN", admin.to_string());
        command.env("GANNET__BUS__EMBEDDED__BYTES_MAX", LOG_BYTES_MAX.to_string());
        command.env("GANNET__BUS__EMBEDDED__DURABILITY", "interval");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().context("failed to start gannet")?;
        Ok(Running { child, admin, dir })
    }

    fn look(&mut self) -> Result<Look> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}:\n{}", self.tail());
        }
        let mut look = Look::default();
        let Ok(page) = page(self.admin, "/metrics") else {
            return Ok(look);
        };
        let mut reached = f64::INFINITY;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value: f64 = value.parse().unwrap_or(0.0);
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "gannet_task_watermark_seconds" if labels.contains("correlate") => {
                    reached = reached.min(value);
                }
                "gannet_process_resident_bytes" => look.resident_mb = value / f64::from(1 << 20),
                "gannet_process_cpu_seconds_total" => look.cpu_s = value,
                "gannet_task_lost_offsets_total" => look.lost += value as u64,
                "gannet_correlate_incident_changes_total" => look.incidents += value as u64,
                "gannet_rollup_input_rows_total" if labels.contains("syn-flood") => {
                    look.flows += value as u64;
                }
                "gannet_score_said_anomalies_total" | "gannet_rollup_said_anomalies_total" => {
                    let rule = labels.split("rule=\"").nth(1).and_then(|l| l.split('"').next());
                    let rule = rule.unwrap_or_default().to_owned();
                    *look.anomalies.entry(rule).or_default() += value as u64;
                }
                _ => {}
            }
        }
        if reached.is_finite() {
            look.reached_s = reached as i64;
        }
        let file = fs::metadata(self.dir.path().join("gannet.redb"));
        look.file_mb = file.map_or(0.0, |file| file.len() as f64 / f64::from(1 << 20));
        Ok(look)
    }

    /// SIGTERM, the end, and what anomalies and incidents there were.
    fn stop(&mut self) -> Result<String> {
        let id = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "kill failed");
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}:\n{}", self.tail());
        let tail = |topic: &str| -> Result<String> {
            let mut command = Command::new(binary()?);
            command.args(["tail", topic, "--json", "--config", "gannet.yaml"]);
            let output = command.current_dir(self.dir.path()).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        tail("evidence.v1")
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("output")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
