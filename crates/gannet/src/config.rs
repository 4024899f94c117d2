//! The root of the configuration: one section a stage, and what every process has. What the keys
//! of a section mean is in that stage's `config.rs`.

use std::path::Path;

use bus::BusConfig;
use correlate::CorrelateConfig;
use detect::DetectConfig;
use garde::Validate;
use ingest::IngestConfig;
use runtime::active_config::{ActiveConfigError, Decisive};
use runtime::admin::AdminConfig;
use runtime::config::{ConfigError, ConfigSource, Loaded, load as load_source};
use runtime::process::ProcessConfig;
use runtime::telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of this instance among those of its stage; the host's name if not given.
    #[garde(inner(custom(is_name)))]
    pub instance: Option<String>,
    #[garde(skip)]
    pub bus: BusConfig,
    #[garde(dive)]
    pub admin: AdminConfig,
    #[garde(dive)]
    pub telemetry: TelemetryConfig,
    #[garde(dive)]
    pub process: ProcessConfig,
    #[garde(dive)]
    pub ingest: IngestConfig,
    #[garde(dive)]
    pub detect: DetectConfig,
    #[garde(dive)]
    pub correlate: CorrelateConfig,
}

/// A stage as the command line names it. Detect is two task loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Ingest,
    Detect,
    Correlate,
}

/// What ingest's rows depend on. Receivers, buffers and limits are each instance's own.
#[derive(Serialize)]
struct IngestDecisive<'a> {
    domain: &'a str,
}

/// Reads a configuration with this process's environment.
pub fn load(path: &Path) -> Result<Loaded<Config>, ConfigError> {
    load_source(ConfigSource::file(path).with_environment())
}

/// It is part of group members' names, transactional ids and headers.
// garde hands a reference to the field's own type.
#[allow(clippy::ptr_arg)]
fn is_name(name: &String, _context: &()) -> garde::Result {
    match !name.is_empty() && name.len() <= 100 && name.chars().all(is_name_char) {
        true => Ok(()),
        false => Err(garde::Error::new("letters, digits, `.`, `_` and `-`, at most 100 of them")),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

// === impl Config ===

impl Config {
    pub fn instance(&self) -> String {
        if let Some(instance) = &self.instance {
            return instance.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(|c| is_name_char(*c)).take(100).collect();
        if host.is_empty() { "instance".to_owned() } else { host }
    }

    /// What the outputs of a stage depend on.
    pub fn decisive(&self, stage: Stage) -> Result<Decisive, ActiveConfigError> {
        let name = stage.name();
        match stage {
            Stage::Ingest => Decisive::of(name, &IngestDecisive { domain: &self.ingest.domain }),
            Stage::Detect => Decisive::of(name, &self.detect),
            Stage::Correlate => Decisive::of(name, &self.correlate),
        }
    }
}

// === impl Stage ===

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Ingest, Stage::Detect, Stage::Correlate];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Detect => "detect",
            Stage::Correlate => "correlate",
        }
    }

    /// The consumer groups of its instances. Ingest reads nothing and has none.
    pub fn groups(self) -> &'static [&'static str] {
        match self {
            Stage::Ingest => &[],
            Stage::Detect => &["rollup", "score"],
            Stage::Correlate => &["correlate"],
        }
    }
}
