//! The same kinds of fault in real time and over real sockets: `gannet demo` as a process, one of
//! each kind, with the real drivers. Its summary is read against its truth at the end.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use sim::net::{Fault, Truth};

use crate::process::binary;

/// What the demo writes down of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    pub page_s: Option<f64>,
    pub anomaly_s: Option<f64>,
    pub incident_s: Option<f64>,
    pub repair_s: Option<f64>,
    pub incidents: usize,
    pub root: Option<model::rows::Entity>,
    pub fault: Option<String>,
    pub ended: Option<String>,
    pub peak_memory_mb: Option<u64>,
}

/// Of a quiet run.
const QUIET: &str = "90s";
/// Memory that the demo may take (issue: under 512 MB).
const MEMORY_MB_MAX: u64 = 512;

/// Runs one kind; its line, and whether it is as it should be.
pub fn run(fault: Fault, seed: u64) -> Result<(String, bool)> {
    let folder = tempfile::tempdir()?;
    let (summary, truth) = (folder.path().join("summary"), folder.path().join("truth"));
    let name = super::name(fault);
    let kind = if fault == Fault::None { "none" } else { &name };
    let mut command = Command::new(binary()?);
    command.args(["demo", "--fault", kind, "--seed", &seed.to_string(), "--approve"]);
    match fault {
        Fault::None => command.args(["--end-after", QUIET]),
        _ => command.arg("--exit-after-repair"),
    };
    command.arg("--summary").arg(&summary).arg("--truth").arg(&truth);
    let output = command.stdin(Stdio::null()).output()?;
    let said = || String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(summary.exists(), "{name}: no summary, {}:\n{}", output.status, said());
    let summary: Summary = serde_json::from_str(&std::fs::read_to_string(&summary)?)?;
    let right = judge(&summary, &truths(&truth)?);
    let is_small = summary.peak_memory_mb.is_some_and(|mb| mb < MEMORY_MB_MAX);
    let root = summary.root.as_ref().map(|root| root.name.clone());
    let line = serde_json::json!({
        "live": name,
        "seed": seed,
        "right": right,
        "root": root,
        "fault": summary.fault,
        "incidents": summary.incidents,
        "page_s": summary.page_s,
        "anomaly_s": summary.anomaly_s,
        "incident_s": summary.incident_s,
        "repair_s": summary.repair_s,
        "ended": summary.ended,
        "peak_memory_mb": summary.peak_memory_mb,
    });
    let is_good = right && is_small && output.status.success();
    Ok((line.to_string(), is_good))
}

fn truths(path: &Path) -> Result<Vec<Truth>> {
    let text = std::fs::read_to_string(path).context("no truth file")?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// One incident of the true root, or none where nothing broke.
fn judge(summary: &Summary, truth: &[Truth]) -> bool {
    let fault = truth.iter().find_map(|line| match line {
        Truth::Fault { cause, root, also, .. } => Some((cause, root, also)),
        Truth::Network { .. } => None,
    });
    let Some((cause, root, also)) = fault else {
        return summary.incidents == 0;
    };
    let said = summary.root.as_ref().map(|root| root.name.as_str()).unwrap_or_default();
    let mut names = [root].into_iter().chain(also);
    summary.incidents == 1
        && summary.fault.as_ref() == Some(cause)
        && names.any(|root| root.name == said)
}

/// Two at a time: each is mostly waiting for the network's own time.
pub fn all(faults: &[Fault], seed: u64) -> Result<usize> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(fault) = faults.get(next.fetch_add(1, ORDER)) {
                let (line, is_good) = run(*fault, seed)?;
                println!("{line}");
                if !is_good {
                    println!("  FAILED {} in real time", super::name(*fault));
                    wrong.fetch_add(1, ORDER);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    Ok(wrong.into_inner())
}

const ORDER: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;
