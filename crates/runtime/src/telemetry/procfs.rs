//! The process's own memory, CPU time and threads, read from `/proc` when somebody asks for the
//! metrics. Where there is no `/proc`, these metrics are not there.

use std::fs;

use crate::metrics::{CPU, MEMORY, THREADS};

/// `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Rust supports (proc_pid_stat(5)).
const TICKS_PER_SECOND: u64 = 100;

/// What `/proc/self/stat` says (proc_pid_stat(5), fields 14, 15 and 20).
#[derive(Debug, PartialEq)]
pub(super) struct Stat {
    pub cpu_ticks: u64,
    pub threads: u64,
}

pub(super) fn record() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        metrics::gauge!(MEMORY).set(bytes as f64);
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(stat) = parse_stat(&stat) {
        metrics::counter!(CPU).absolute(stat.cpu_ticks / TICKS_PER_SECOND);
        metrics::gauge!(THREADS).set(stat.threads as f64);
    }
}

/// The process's name may contain blanks and brackets, so fields count after its last `)`.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The first field after the name is number 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat { cpu_ticks: field(14)?.checked_add(field(15)?)?, threads: field(20)? })
}

/// `VmRSS` of `/proc/self/status`, which is in kB whatever the page size.
pub(super) fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}
