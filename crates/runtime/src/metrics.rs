//! Names of the metrics that every process has, whatever stages run in it.

/// Always 1; its labels say which build of which stages this is.
pub const BUILD: &str = "gannet_process_build_info";
pub const LABEL_VERSION: &str = "version";
pub const LABEL_STAGES: &str = "stages";

/// Resident memory, from `/proc/self/status`.
pub const MEMORY: &str = "gannet_process_resident_bytes";
/// User and system time of all threads, from `/proc/self/stat`.
pub const CPU: &str = "gannet_process_cpu_seconds_total";
pub const THREADS: &str = "gannet_process_running_threads";
/// Seconds since the process started, by its own monotonic clock.
pub const UPTIME: &str = "gannet_process_uptime_seconds";

pub(crate) fn describe() {
    metrics::describe_gauge!(BUILD, "always 1, the build in its labels");
    metrics::describe_gauge!(MEMORY, metrics::Unit::Bytes, "resident memory");
    metrics::describe_counter!(CPU, metrics::Unit::Seconds, "user and system time of all threads");
    metrics::describe_gauge!(THREADS, "threads of the process");
    metrics::describe_gauge!(UPTIME, metrics::Unit::Seconds, "time since the process started");
}
