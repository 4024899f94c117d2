//! What an operator sees of a process: its log on standard error and its metrics. Serving the
//! metrics is left to `admin`, naming them to each crate's `metrics.rs`.

mod procfs;

use std::io::IsTerminal;
use std::time::Instant;

use garde::Validate;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// This variable overrides `telemetry.log`, as in other Rust programs.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// Bounds of all histograms in seconds: from half a commit (14 ms, DESIGN §4) to a drain.
const SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct TelemetryConfig {
    /// What to log: a level, or levels by module such as `info,bus=debug`.
    #[garde(custom(filter_is_valid))]
    pub log: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{FILTER_VARIABLE} is not a log filter: {0}")]
    Filter(String),
    #[error("telemetry was started twice: {0}")]
    Twice(String),
}

/// The process's metrics, rendered on demand.
#[derive(Clone)]
pub struct Telemetry {
    prometheus: PrometheusHandle,
    started: Instant,
}

impl Default for TelemetryConfig {
    fn default() -> TelemetryConfig {
        TelemetryConfig { log: "info".to_owned(), format: LogFormat::Auto }
    }
}

// garde hands a reference to the field's own type.
#[allow(clippy::ptr_arg)]
fn filter_is_valid(filter: &String, _context: &()) -> garde::Result {
    EnvFilter::try_new(filter).map(|_| ()).map_err(|e| garde::Error::new(e.to_string()))
}

// === impl Telemetry ===

impl Telemetry {
    /// Installs the log and the metrics of this process, once.
    pub fn start(config: &TelemetryConfig, stages: &str) -> Result<Telemetry, TelemetryError> {
        start_log(config)?;
        let telemetry = Telemetry::start_metrics()?;
        let labels =
            [(crate::metrics::LABEL_VERSION, VERSION), (crate::metrics::LABEL_STAGES, stages)];
        metrics::gauge!(crate::metrics::BUILD, &labels.map(|(k, v)| (k, v.to_owned()))).set(1.0);
        Ok(telemetry)
    }

    fn start_metrics() -> Result<Telemetry, TelemetryError> {
        let recorder = recorder();
        let prometheus = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|e| TelemetryError::Twice(e.to_string()))?;
        crate::metrics::describe();
        Ok(Telemetry { prometheus, started: Instant::now() })
    }

    /// Metrics of a test, which may have many; nothing is installed.
    pub fn detached() -> Telemetry {
        Telemetry { prometheus: recorder().handle(), started: Instant::now() }
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.prometheus.run_upkeep();
        metrics::gauge!(crate::metrics::UPTIME).set(self.started.elapsed().as_secs_f64());
        procfs::record();
        self.prometheus.render()
    }

    /// Folds what histograms have buffered; needed now and then where nobody scrapes.
    pub fn upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

/// The version that headers, `/metrics` and `gannet version` say.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    let buckets = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(buckets, SECONDS_BUCKETS);
    builder.expect("the list of buckets is not empty").build_recorder()
}

fn start_log(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| config.log.clone());
    let filter =
        EnvFilter::try_new(directives).map_err(|e| TelemetryError::Filter(e.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(terminal).with_thread_names(true);
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let installed = match text {
        true => builder.with_target(true).try_init(),
        false => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|e| TelemetryError::Twice(e.to_string()))
}

#[cfg(test)]
mod tests;
