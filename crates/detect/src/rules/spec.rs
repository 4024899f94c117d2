//! A rule as it stands in YAML (DESIGN §5). Unknown fields are refused: a misspelt option must not
//! silently be another rule.

use serde::{Deserialize, Serialize};

use super::error::RuleError;
use super::period::Period;
use crate::models::ModelSpec;

/// What a rule reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Flows,
    Metrics,
    Events,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    #[serde(default)]
    pub from: Option<Source>,
    #[serde(default)]
    pub window: Option<WindowText>,
    /// Group columns that make a series; all of the query's if not given. `domain` always is one.
    #[serde(default)]
    pub key: Vec<String>,
    /// Group columns that must meet in one task; the key if not given.
    #[serde(default)]
    pub shard: Vec<String>,
    #[serde(default)]
    pub sql: Option<String>,
    /// A rule without a window: each row for which this holds is an anomaly.
    #[serde(default)]
    pub when: Option<String>,
    /// Of a rule without a window: a row of the same key for which this holds ends the anomaly. A
    /// row for which both hold opens one.
    #[serde(default)]
    pub clear_when: Option<String>,
    /// The shorthand `cpu_usage > 90 for 5 minutes`, over `source`.
    #[serde(default)]
    pub condition: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    /// What an anomaly of this rule is about.
    #[serde(default)]
    pub entity: Option<EntityColumn>,
    #[serde(default)]
    pub watch: Vec<Watch>,
    /// Most groups that are told apart in one window; the rest is the group `other`.
    #[serde(default)]
    pub groups_max: Option<usize>,
    /// Windows after which a series that is no longer seen is forgotten.
    #[serde(default)]
    pub forget_after: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowText {
    pub size: Period,
    /// Distance between starts; the size if not given.
    #[serde(default)]
    pub every: Option<Period>,
    /// `received`, or a column with the device's own time.
    #[serde(default = "received")]
    pub on: String,
    /// How long a window on the device's time waits for late rows.
    #[serde(default)]
    pub lateness: Option<Period>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityColumn {
    /// `host`, `exporter`, `device`, `interface`, ...
    pub kind: String,
    /// Key column that names it.
    pub column: String,
    /// Key column with a part of it: an interface is `edge1 Gi0/1`. Where it is null, the first
    /// alone is the name.
    #[serde(default)]
    pub part: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Result column.
    pub value: String,
    pub models: Vec<ModelSpec>,
    /// Result column with the top contributors, as `top_k` makes it.
    #[serde(default)]
    pub contributors: Option<String>,
    #[serde(default)]
    pub absent: Absent,
}

/// What it means that a window has no row of a known series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// Nothing was measured.
    #[default]
    Missing,
    /// A count of what was seen, and nothing was: a 0, as long as the window saw any row at all.
    Zero,
}

// === impl EntityColumn ===

impl EntityColumn {
    /// The entity's name, out of the values of its columns.
    pub fn name(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        let whole = value(&self.column)?;
        match self.part.as_deref().and_then(value) {
            Some(part) => Some(format!("{whole} {part}")),
            None => Some(whole),
        }
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        [Some(self.column.as_str()), self.part.as_deref()].into_iter().flatten()
    }
}

fn received() -> String {
    "received".to_owned()
}

/// Longest file of rules that is read.
const TEXT_MAX: usize = 1 << 20;

/// Parses a list of rules.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    if text.len() > TEXT_MAX {
        return Err(RuleError::of_file(format!("rules are longer than {TEXT_MAX} bytes")));
    }
    serde_saphyr::from_str(text).map_err(|error| RuleError::of_file(error.to_string()))
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Flows => "flows",
            Source::Metrics => "metrics",
            Source::Events => "events",
        }
    }

    pub fn schema(self) -> &'static model::schema::TopicSchema {
        match self {
            Source::Flows => model::schema::flows(),
            Source::Metrics => model::schema::metrics(),
            Source::Events => model::schema::events(),
        }
    }
}
