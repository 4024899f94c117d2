//! An anomaly, as detect says it and correlate reads it (`evidence.anomaly`).

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::build;
use super::read::{Columns, RowError, contributors_at, float_at, text_at};
use crate::schema;

/// What became of an anomaly. The order is the order in which evidence of one instant is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnomalyKind {
    Open,
    Worse,
    Clear,
}

/// Something that a person would point at: `host 192.0.2.7`, `exporter 192.0.2.1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entity {
    pub kind: String,
    pub name: String,
}

/// One of the largest parts of a value. `weight` has the value's unit, `share` is 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributor {
    pub name: String,
    pub weight: f64,
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    pub domain: String,
    pub id: String,
    pub time_ms: i64,
    pub rule: String,
    pub key: String,
    pub kind: AnomalyKind,
    pub model: String,
    pub entity: Option<Entity>,
    pub value_name: String,
    pub value: Option<f64>,
    pub expected: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// −log10 of a tail probability.
    pub score: Option<f64>,
    pub why: String,
    pub window_start_ms: i64,
    pub contributors: Vec<Contributor>,
}

impl AnomalyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            AnomalyKind::Open => "open",
            AnomalyKind::Worse => "worse",
            AnomalyKind::Clear => "clear",
        }
    }

    fn parse(text: &str) -> Result<AnomalyKind, RowError> {
        match text {
            "open" => Ok(AnomalyKind::Open),
            "worse" => Ok(AnomalyKind::Worse),
            "clear" => Ok(AnomalyKind::Clear),
            _ => Err(RowError::Value { column: "kind", value: text.to_owned() }),
        }
    }
}

impl Anomaly {
    pub fn to_batch(rows: &[Anomaly]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let contributors: Vec<&[Contributor]> = all().map(|r| &r.contributors[..]).collect();
        let columns = vec![
            build::text(all().map(|r| r.domain.as_str())),
            build::text(all().map(|r| r.id.as_str())),
            build::time(all().map(|r| r.time_ms)),
            build::text(all().map(|r| r.rule.as_str())),
            build::text(all().map(|r| r.key.as_str())),
            build::text(all().map(|r| r.kind.as_str())),
            build::text(all().map(|r| r.model.as_str())),
            build::text_or_null(all().map(|r| r.entity.as_ref().map(|e| e.kind.as_str()))),
            build::text_or_null(all().map(|r| r.entity.as_ref().map(|e| e.name.as_str()))),
            build::text(all().map(|r| r.value_name.as_str())),
            build::float(all().map(|r| r.value)),
            build::float(all().map(|r| r.expected)),
            build::float(all().map(|r| r.lower)),
            build::float(all().map(|r| r.upper)),
            build::float(all().map(|r| r.score)),
            build::text(all().map(|r| r.why.as_str())),
            build::time(all().map(|r| r.window_start_ms)),
            build::contributors(&contributors),
        ];
        Ok(build::batch(schema::anomalies(), rows.len(), columns)?)
    }

    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Anomaly>, RowError> {
        let batch = schema::anomalies().conform(batch)?;
        let columns = Columns::of(&batch);
        let text = |name| columns.text(name);
        let (domain, id, rule, key) = (text("domain")?, text("id")?, text("rule")?, text("key")?);
        let (kind, model) = (text("kind")?, text("model")?);
        let (entity_kind, entity) = (text("entity_kind")?, text("entity")?);
        let (value_name, why) = (text("value_name")?, text("why")?);
        let (value, expected) = (columns.float("value")?, columns.float("expected")?);
        let (lower, upper) = (columns.float("lower")?, columns.float("upper")?);
        let score = columns.float("score")?;
        let (time, window_start) = (columns.time("time")?, columns.time("window_start")?);
        let contributors = columns.list("contributors")?;
        let one = |i: usize| {
            Ok(Anomaly {
                domain: domain.value(i).to_owned(),
                id: id.value(i).to_owned(),
                time_ms: time.value(i),
                rule: rule.value(i).to_owned(),
                key: key.value(i).to_owned(),
                kind: AnomalyKind::parse(kind.value(i))?,
                model: model.value(i).to_owned(),
                entity: Entity::from_parts(text_at(entity_kind, i), text_at(entity, i)),
                value_name: value_name.value(i).to_owned(),
                value: float_at(value, i),
                expected: float_at(expected, i),
                lower: float_at(lower, i),
                upper: float_at(upper, i),
                score: float_at(score, i),
                why: why.value(i).to_owned(),
                window_start_ms: window_start.value(i),
                contributors: contributors_at(contributors, i)?,
            })
        };
        (0..batch.num_rows()).map(one).collect()
    }
}

impl Entity {
    pub(crate) fn from_parts(kind: Option<String>, name: Option<String>) -> Option<Entity> {
        Some(Entity { kind: kind?, name: name? })
    }
}
