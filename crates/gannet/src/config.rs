//! The root of the configuration: one section a stage, and what every process has. What the keys
//! of a section mean is in that stage's `config.rs`.

use std::path::Path;
use std::sync::Arc;

use act::{ActConfig, Library};
use bus::BusConfig;
use console::ConsoleConfig;
use correlate::config::{CorrelateConfig, Sign};
use detect::{DetectConfig, Rule};
use drivers::DriversConfig;
use garde::Validate;
use ingest::IngestConfig;
use runtime::active_config::Decisive;
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
    #[garde(dive)]
    pub act: ActConfig,
    #[garde(dive)]
    pub drivers: DriversConfig,
    #[garde(dive)]
    pub console: ConsoleConfig,
    /// The playbooks that `act` names, as they were read with this configuration.
    #[serde(skip)]
    #[garde(skip)]
    pub library: Arc<Library>,
}

/// A stage as the command line names it. Detect is two task loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Ingest,
    Detect,
    Correlate,
    Act,
    Console,
}

/// What ingest's rows depend on. Receivers, buffers and limits are each instance's own.
#[derive(Serialize)]
struct IngestDecisive<'a> {
    domain: &'a str,
}

/// What act's rows depend on. Where its files lie, and what stops it, is each instance's own.
#[derive(Serialize)]
struct ActDecisive<'a> {
    act: ActConfig,
    library: &'a Library,
}

/// The rules that playbooks' conditions are.
#[derive(Deserialize, Validate)]
struct PlaybookRules {
    #[garde(skip)]
    rules: Vec<Rule>,
}

/// Reads a configuration with this process's environment, and the playbooks that it names.
pub fn load(path: &Path) -> Result<Loaded<Config>, ConfigError> {
    let mut loaded: Loaded<Config> = load_source(ConfigSource::file(path).with_environment())?;
    let config = &mut loaded.value;
    // From anywhere the same files, in a dump too.
    let folder = path.parent().and_then(|folder| folder.join(".").canonicalize().ok());
    config.act = config.act.clone().below(&folder.unwrap_or_default());
    if let Some(paths) = config.act.paths() {
        config.library = Arc::new(act::check(&paths)?);
    }
    Ok(loaded)
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

    /// Detect's section with the rules that playbooks' conditions are.
    pub fn detect_with_playbooks(&self) -> Result<DetectConfig, ConfigError> {
        let mut detect = self.detect.clone();
        let list = self.library.rules_yaml();
        if !list.is_empty() {
            let text = format!("rules:\n{list}");
            let more: Loaded<PlaybookRules> = load_source(ConfigSource::text("playbooks", &text))?;
            detect.rules.extend(more.value.rules);
        }
        Ok(detect)
    }

    /// Correlate's section, with what the rules of playbooks are symptoms of.
    pub fn correlate_with_playbooks(&self) -> CorrelateConfig {
        let mut correlate = self.correlate.clone();
        for playbook in self.library.playbooks.values() {
            if let Some(sign) = playbook.metric().and_then(Sign::of_metric) {
                correlate.symptoms.entry(playbook.rule_name()).or_insert(sign);
            }
        }
        correlate
    }

    /// What the outputs of a stage depend on; of the console's, nothing.
    pub fn decisive(&self, stage: Stage) -> anyhow::Result<Option<Decisive>> {
        let name = stage.name();
        let decisive = match stage {
            Stage::Ingest => Decisive::of(name, &IngestDecisive { domain: &self.ingest.domain }),
            Stage::Detect => Decisive::of(name, &self.detect_with_playbooks()?),
            Stage::Correlate => Decisive::of(name, &self.correlate_with_playbooks()),
            Stage::Act => {
                let act = ActConfig {
                    playbooks: None,
                    actions: None,
                    kill_switch: None,
                    ..self.act.clone()
                };
                Decisive::of(name, &ActDecisive { act, library: &self.library })
            }
            Stage::Console => return Ok(None),
        };
        Ok(Some(decisive?))
    }

    /// The fingerprint of what a stage's outputs depend on; empty where that is nothing.
    pub fn fingerprint(&self, stage: Stage) -> anyhow::Result<String> {
        Ok(self.decisive(stage)?.map(|decisive| decisive.fingerprint).unwrap_or_default())
    }
}

// === impl Stage ===

impl Stage {
    pub const ALL: [Stage; 5] =
        [Stage::Ingest, Stage::Detect, Stage::Correlate, Stage::Act, Stage::Console];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Detect => "detect",
            Stage::Correlate => "correlate",
            Stage::Act => "act",
            Stage::Console => "console",
        }
    }

    /// The consumer groups of its instances. The console reads all of what it reads.
    pub fn groups(self) -> &'static [&'static str] {
        match self {
            Stage::Ingest => &["poller"],
            Stage::Console => &[],
            Stage::Act => &["act"],
            Stage::Detect => &["rollup", "score"],
            Stage::Correlate => &["correlate"],
        }
    }
}
