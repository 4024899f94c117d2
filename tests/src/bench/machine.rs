//! What the kernel says of this process and the machine: CPU time, peak memory, load.

use std::fs;

/// `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Rust supports (proc_pid_stat(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of this process, user and system (proc_pid_stat(5), fields 14 and 15).
pub fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The process's name may contain blanks: fields count after its last bracket, from number 3.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3).and_then(|f| f.parse::<f64>().ok());
    (ticks(14).unwrap_or(0.0) + ticks(15).unwrap_or(0.0)) / TICKS_PER_SECOND
}

/// The most memory that this process has held, in MB.
pub fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// Runnable processes of the last minute, as a mean.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
