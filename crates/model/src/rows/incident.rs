//! The whole state of an incident after a change (`incidents`).

use arrow::array::{ListArray, RecordBatch};
use serde::{Deserialize, Serialize};

use super::anomaly::{Contributor, Entity};
use super::build;
use super::read::{Columns, RowError, contributors_at, float_at, items_at, text_at, time_at};
use crate::{schema, schema_file};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    Open,
    /// All its anomalies have cleared.
    Quiet,
    /// Quiet for long enough; says no more.
    Resolved,
}

/// Why the members of an incident stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// They name the same entity.
    Entity,
    /// They name none; k-means put them together.
    Cluster,
}

/// One anomaly of an incident, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    pub rule: String,
    pub key: String,
    pub model: String,
    pub opened_ms: i64,
    pub cleared_ms: Option<i64>,
    pub value: Option<f64>,
    pub expected: Option<f64>,
    pub score: Option<f64>,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub domain: String,
    pub id: String,
    pub revision: u32,
    pub state: IncidentState,
    pub opened_ms: i64,
    pub updated_ms: i64,
    pub resolved_ms: Option<i64>,
    pub grouping: Grouping,
    pub entity: Option<Entity>,
    pub headline: String,
    pub score: Option<f64>,
    pub members: Vec<Member>,
    pub contributors: Vec<Contributor>,
}

impl IncidentState {
    pub fn as_str(self) -> &'static str {
        match self {
            IncidentState::Open => "open",
            IncidentState::Quiet => "quiet",
            IncidentState::Resolved => "resolved",
        }
    }

    fn parse(text: &str) -> Result<IncidentState, RowError> {
        Ok(match text {
            "open" => IncidentState::Open,
            "quiet" => IncidentState::Quiet,
            "resolved" => IncidentState::Resolved,
            _ => return Err(RowError::Value { column: "state", value: text.to_owned() }),
        })
    }
}

impl Grouping {
    pub fn as_str(self) -> &'static str {
        match self {
            Grouping::Entity => "entity",
            Grouping::Cluster => "cluster",
        }
    }

    fn parse(text: &str) -> Result<Grouping, RowError> {
        Ok(match text {
            "entity" => Grouping::Entity,
            "cluster" => Grouping::Cluster,
            _ => return Err(RowError::Value { column: "grouping", value: text.to_owned() }),
        })
    }
}

impl Incident {
    pub fn to_batch(rows: &[Incident]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let contributors: Vec<&[Contributor]> = all().map(|r| &r.contributors[..]).collect();
        let columns = vec![
            build::text(all().map(|r| r.domain.as_str())),
            build::text(all().map(|r| r.id.as_str())),
            build::uint32(all().map(|r| r.revision)),
            build::text(all().map(|r| r.state.as_str())),
            build::time(all().map(|r| r.opened_ms)),
            build::time(all().map(|r| r.updated_ms)),
            build::time_or_null(all().map(|r| r.resolved_ms)),
            build::text(all().map(|r| r.grouping.as_str())),
            build::text_or_null(all().map(|r| r.entity.as_ref().map(|e| e.kind.as_str()))),
            build::text_or_null(all().map(|r| r.entity.as_ref().map(|e| e.name.as_str()))),
            build::text(all().map(|r| r.headline.as_str())),
            build::float(all().map(|r| r.score)),
            members(rows),
            build::contributors(&contributors),
        ];
        Ok(build::batch(schema::incidents(), rows.len(), columns)?)
    }

    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Incident>, RowError> {
        let batch = schema::incidents().conform(batch)?;
        let columns = Columns::of(&batch);
        let text = |name| columns.text(name);
        let (domain, id, state) = (text("domain")?, text("id")?, text("state")?);
        let (grouping, headline) = (text("grouping")?, text("headline")?);
        let (entity_kind, entity) = (text("entity_kind")?, text("entity")?);
        let revision = columns.uint32("revision")?;
        let (opened, updated) = (columns.time("opened")?, columns.time("updated")?);
        let (resolved, score) = (columns.time("resolved")?, columns.float("score")?);
        let (members, contributors) = (columns.list("members")?, columns.list("contributors")?);
        let one = |i: usize| {
            Ok(Incident {
                domain: domain.value(i).to_owned(),
                id: id.value(i).to_owned(),
                revision: revision.value(i),
                state: IncidentState::parse(state.value(i))?,
                opened_ms: opened.value(i),
                updated_ms: updated.value(i),
                resolved_ms: time_at(resolved, i),
                grouping: Grouping::parse(grouping.value(i))?,
                entity: Entity::from_parts(text_at(entity_kind, i), text_at(entity, i)),
                headline: headline.value(i).to_owned(),
                score: float_at(score, i),
                members: members_at(members, i)?,
                contributors: contributors_at(contributors, i)?,
            })
        };
        (0..batch.num_rows()).map(one).collect()
    }
}

fn members(rows: &[Incident]) -> arrow::array::ArrayRef {
    let lengths: Vec<usize> = rows.iter().map(|row| row.members.len()).collect();
    let all = || rows.iter().flat_map(|row| row.members.iter());
    let items = vec![
        build::text(all().map(|m| m.id.as_str())),
        build::text(all().map(|m| m.rule.as_str())),
        build::text(all().map(|m| m.key.as_str())),
        build::text(all().map(|m| m.model.as_str())),
        build::time(all().map(|m| m.opened_ms)),
        build::time_or_null(all().map(|m| m.cleared_ms)),
        build::float(all().map(|m| m.value)),
        build::float(all().map(|m| m.expected)),
        build::float(all().map(|m| m.score)),
        build::text(all().map(|m| m.why.as_str())),
    ];
    build::list_of_all(schema_file::member(), &lengths, items)
}

fn members_at(list: &ListArray, row: usize) -> Result<Vec<Member>, RowError> {
    let Some(items) = items_at(list, row, "members")? else {
        return Ok(Vec::new());
    };
    let columns = Columns::of_struct(&items);
    let text = |name| columns.text(name);
    let (id, rule, key, model) = (text("id")?, text("rule")?, text("key")?, text("model")?);
    let (opened, cleared) = (columns.time("opened")?, columns.time("cleared")?);
    let (value, expected) = (columns.float("value")?, columns.float("expected")?);
    let (score, why) = (columns.float("score")?, text("why")?);
    let one = |i: usize| Member {
        id: id.value(i).to_owned(),
        rule: rule.value(i).to_owned(),
        key: key.value(i).to_owned(),
        model: model.value(i).to_owned(),
        opened_ms: opened.value(i),
        cleared_ms: time_at(cleared, i),
        value: float_at(value, i),
        expected: float_at(expected, i),
        score: float_at(score, i),
        why: why.value(i).to_owned(),
    };
    Ok((0..arrow::array::Array::len(&items)).map(one).collect())
}
