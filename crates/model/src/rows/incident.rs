//! The whole state of an incident after a change (`incidents`).

use arrow::array::{ListArray, RecordBatch};
use serde::{Deserialize, Serialize};

use super::anomaly::{Contributor, Entity};
use super::build;
use super::read::{Columns, RowError, contributors_at, float_at, items_at, text_at, time_at};
use super::table::{Cell, texts};
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
    /// One root explains them.
    Cause,
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

/// What broke: the fault of the incident's entity, and why this and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub fault: String,
    /// Among all that could explain the members, 0 to 1.
    pub probability: f64,
    pub runner_up: Option<RunnerUp>,
    /// Why this and not the runner-up, in words for a person.
    pub why: String,
    /// Elements (kind and name) from the root outwards.
    pub path: Vec<String>,
    /// Elements that the root is expected to affect.
    pub affected: Vec<String>,
    /// Ids of members that it does not explain.
    pub unexplained: Vec<String>,
}

/// The second most probable root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunnerUp {
    pub entity: Entity,
    pub fault: String,
    pub probability: f64,
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
    /// Where a root was found; it is of `entity`.
    pub cause: Option<Cause>,
    /// Changes of our own that belong here: execution, step and state.
    pub changes: Vec<String>,
    /// How often it came back.
    pub reopened: u32,
    /// The incident that this one turned out to be part of.
    pub merged_into: Option<String>,
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
            Grouping::Cause => "cause",
        }
    }

    fn parse(text: &str) -> Result<Grouping, RowError> {
        Ok(match text {
            "entity" => Grouping::Entity,
            "cluster" => Grouping::Cluster,
            "cause" => Grouping::Cause,
            _ => return Err(RowError::Value { column: "grouping", value: text.to_owned() }),
        })
    }
}

impl Incident {
    pub fn to_batch(rows: &[Incident]) -> Result<RecordBatch, RowError> {
        let all = || rows.iter();
        let contributors: Vec<&[Contributor]> = all().map(|r| &r.contributors[..]).collect();
        let mut columns = vec![
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
        columns.extend(causes(rows));
        columns.push(texts(all().map(|r| &r.changes[..])));
        let reopened: Vec<Option<u32>> = all().map(|r| Some(r.reopened)).collect();
        columns.push(Cell::column(reopened.iter()));
        columns.push(build::text_or_null(all().map(|r| r.merged_into.as_deref())));
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
        let mut causes = causes_of(&columns, batch.num_rows())?.into_iter();
        let changes: Vec<Vec<String>> = Cell::read(&columns, "changes")?;
        let reopened: Vec<Option<u32>> = Cell::read(&columns, "reopened")?;
        let merged_into = text("merged_into")?;
        let one = |i: usize| {
            Ok(Incident {
                cause: causes.next().flatten(),
                changes: changes[i].clone(),
                reopened: reopened[i].unwrap_or(0),
                merged_into: text_at(merged_into, i),
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

/// The columns from `fault` to `unexplained`.
fn causes(rows: &[Incident]) -> Vec<arrow::array::ArrayRef> {
    let all = || rows.iter().map(|row| row.cause.as_ref());
    let second = || all().map(|cause| cause.and_then(|cause| cause.runner_up.as_ref()));
    let list = |of: fn(&Cause) -> &[String]| texts(all().map(move |c| c.map_or(&[][..], of)));
    vec![
        build::text_or_null(all().map(|c| c.map(|c| c.fault.as_str()))),
        build::float(all().map(|c| c.map(|c| c.probability))),
        build::text_or_null(second().map(|r| r.map(|r| r.entity.kind.as_str()))),
        build::text_or_null(second().map(|r| r.map(|r| r.entity.name.as_str()))),
        build::text_or_null(second().map(|r| r.map(|r| r.fault.as_str()))),
        build::float(second().map(|r| r.map(|r| r.probability))),
        build::text_or_null(all().map(|c| c.map(|c| c.why.as_str()))),
        list(|cause| &cause.path),
        list(|cause| &cause.affected),
        list(|cause| &cause.unexplained),
    ]
}

fn causes_of(columns: &Columns<'_>, rows: usize) -> Result<Vec<Option<Cause>>, RowError> {
    let text = |name| columns.text(name);
    let (fault, why) = (text("fault")?, text("why")?);
    let (kind, name) = (text("runner_up_kind")?, text("runner_up")?);
    let second_fault = text("runner_up_fault")?;
    let (probability, second) =
        (columns.float("probability")?, columns.float("runner_up_probability")?);
    let list = |name| <Vec<String> as Cell>::read(columns, name);
    let (path, affected) = (list("path")?, list("affected")?);
    let unexplained = list("unexplained")?;
    let runner_up = |i| {
        Some(RunnerUp {
            entity: Entity::from_parts(text_at(kind, i), text_at(name, i))?,
            fault: text_at(second_fault, i).unwrap_or_default(),
            probability: float_at(second, i).unwrap_or(0.0),
        })
    };
    let one = |i: usize| {
        Some(Cause {
            fault: text_at(fault, i)?,
            probability: float_at(probability, i).unwrap_or(0.0),
            runner_up: runner_up(i),
            why: text_at(why, i).unwrap_or_default(),
            path: path[i].clone(),
            affected: affected[i].clone(),
            unexplained: unexplained[i].clone(),
        })
    };
    Ok((0..rows).map(one).collect())
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
