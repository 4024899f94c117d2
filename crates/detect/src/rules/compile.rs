//! A rule made ready to run: planned, its columns found, its fingerprints taken. What fails here
//! fails at load, with the rule's name and the place.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Schema};
use model::schema::hex16;
use sql::{CutPlan, OutputKey, PlanError, RowFilter};

use super::condition;
use super::domain::{Rewritten, with_domain};
use super::error::{RuleError, SqlPlace};
use super::spec::{Absent, EntityColumn, Rule, Source, Watch, WindowText};
use crate::models::{ModelSpec, STATE_FORMAT, Window};

/// Limits of a rule set, from the stage's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub rules_max: usize,
    /// Groups of one rule in one window, where the rule names no other.
    pub groups_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rules_max: 200, groups_max: 100_000 }
    }
}

/// All rules of a stage, by name.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: BTreeMap<String, Compiled>,
}

/// A rule ready to run.
#[derive(Debug)]
pub struct Compiled {
    pub name: String,
    pub from: Source,
    pub plan: Plan,
    pub entity: Option<EntityColumn>,
    /// Over all that decides what its anomalies are, and their models' format: models are kept by
    /// it.
    pub fingerprint: String,
    /// Over what decides its state rows: a partial with another is not read.
    pub plan_fp: String,
}

#[derive(Debug)]
pub enum Plan {
    Windowed(Box<Windowed>),
    /// No window: each row that matches is an anomaly of its key.
    Row(Box<RowPlan>),
}

#[derive(Debug)]
pub struct RowPlan {
    pub filter: RowFilter,
    /// Rows that end the anomaly of their key.
    pub clear: Option<RowFilter>,
    pub key: Vec<String>,
}

#[derive(Debug)]
pub struct Windowed {
    pub cut: CutPlan,
    pub window: WindowSpec,
    /// Where `domain` is in the result, and in a state row.
    pub domain: OutputKey,
    /// The key without `domain`, in the rule's order.
    pub key: Vec<OutputKey>,
    /// Columns of a state row that decide its partition.
    pub shard: Vec<usize>,
    pub watch: Vec<Watched>,
    pub groups_max: usize,
    /// Windows after which a series that is no longer seen is forgotten.
    pub forget_after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    pub size_ms: i64,
    pub every_ms: i64,
    /// Windows are unions of panes: the greatest length that divides both.
    pub pane_ms: i64,
    /// Column of the rows' time.
    pub on: String,
    pub lateness_ms: i64,
}

/// A watched value with its places in the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    pub name: String,
    pub value: usize,
    pub models: Vec<ModelSpec>,
    /// For each model, the further result columns that it reads.
    pub columns: Vec<Vec<usize>>,
    pub contributors: Option<usize>,
    pub absent: Absent,
}

/// A day of windows a minute.
const FORGET_AFTER: u32 = 1440;
/// Panes in a window: each holds its own state.
const PANES_MAX: i64 = 60;
const NAME_MAX: usize = 100;

// === impl RuleSet ===

impl RuleSet {
    /// Plans every rule. The first that cannot be run is the error.
    pub fn load(rules: Vec<Rule>, limits: Limits) -> Result<RuleSet, RuleError> {
        if rules.len() > limits.rules_max {
            let message = format!("{} rules, at most {}", rules.len(), limits.rules_max);
            return Err(RuleError::of_file(message));
        }
        let mut set = RuleSet::default();
        for rule in rules {
            let compiled = compile(rule, limits)?;
            let name = compiled.name.clone();
            if set.rules.insert(name.clone(), compiled).is_some() {
                return Err(RuleError::new(&name, "there are two rules of this name"));
            }
        }
        Ok(set)
    }

    pub fn get(&self, name: &str) -> Option<&Compiled> {
        self.rules.get(name)
    }

    /// All rules, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Compiled> {
        self.rules.values()
    }

    /// All rules that read this source, by name.
    pub fn of(&self, source: Source) -> impl Iterator<Item = &Compiled> {
        self.iter().filter(move |rule| rule.from == source)
    }

    /// One fingerprint over all rules.
    pub fn fingerprint(&self) -> String {
        let all: Vec<&str> = self.iter().map(|rule| rule.fingerprint.as_str()).collect();
        hex16(all.join("\n").as_bytes())
    }
}

// === impl Compiled ===

impl Compiled {
    pub fn windowed(&self) -> Option<&Windowed> {
        match &self.plan {
            Plan::Windowed(windowed) => Some(windowed),
            Plan::Row(_) => None,
        }
    }
}

// === impl WindowSpec ===

impl WindowSpec {
    pub fn pane_of(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.pane_ms) * self.pane_ms
    }

    /// Start of the first window that has this pane.
    pub fn first_window(&self, pane_ms: i64) -> i64 {
        let least = pane_ms + self.pane_ms - self.size_ms;
        least.div_euclid(self.every_ms) * self.every_ms
            + if least.rem_euclid(self.every_ms) > 0 { self.every_ms } else { 0 }
    }

    /// Whether a window that has this pane has closed at this watermark.
    pub fn is_late(&self, pane_ms: i64, watermark_ms: i64) -> bool {
        self.closes_at(self.first_window(pane_ms)) <= watermark_ms
    }

    /// The watermark at which a window closes.
    pub fn closes_at(&self, start_ms: i64) -> i64 {
        start_ms.saturating_add(self.size_ms).saturating_add(self.lateness_ms)
    }

    pub fn window(&self, start_ms: i64) -> Window {
        Window { start_ms, end_ms: start_ms + self.size_ms, every_ms: self.every_ms }
    }
}

fn compile(rule: Rule, limits: Limits) -> Result<Compiled, RuleError> {
    let name = rule.name.clone();
    let fail = |message: String| RuleError::new(&name, message);
    check_name(&name).map_err(fail)?;
    let rule = condition::expand(rule)?;
    let Some(from) = rule.from else {
        return Err(fail("say what it reads: from: flows, metrics or events".into()));
    };
    let (plan, of_plan) = match (&rule.sql, &rule.when) {
        (Some(sql), None) => windowed(&rule, sql, from, limits)?,
        (None, Some(when)) => row(&rule, when, from)?,
        _ => return Err(fail("a rule has sql with a window, or when without one".into())),
    };
    check_entity(&rule, from, &plan).map_err(fail)?;
    let plan_fp = hex16(format!("{name}\n{}\n{of_plan}", from.as_str()).as_bytes());
    let decisive = (&rule.window, &rule.key, &rule.watch, &rule.entity, &rule.forget_after);
    let bytes = postcard::to_stdvec(&decisive)
        .map_err(|error| RuleError::new(&name, format!("it has no fingerprint: {error}")))?;
    let format = STATE_FORMAT.to_le_bytes();
    let fingerprint = hex16(&[plan_fp.as_bytes(), &bytes, &format].concat());
    Ok(Compiled { name: rule.name, from, plan, entity: rule.entity, fingerprint, plan_fp })
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
        return Err(format!("a name is 1 to {NAME_MAX} letters, digits and - _ . /"));
    }
    Ok(())
}

fn row(rule: &Rule, when: &str, from: Source) -> Result<(Plan, String), RuleError> {
    let fail = |message: &str| Err(RuleError::new(&rule.name, message));
    if rule.window.is_some() || !rule.watch.is_empty() || !rule.shard.is_empty() {
        return fail("a rule with when has no window, watch or shard");
    }
    let schema = from.schema().arrow.clone();
    for column in &rule.key {
        if schema.index_of(column).is_err() {
            return fail(&format!("key: {} has no column {column}", from.as_str()));
        }
    }
    let filter_of = |text: &str| {
        RowFilter::new(text, schema.clone()).map_err(|error| {
            let place = SqlPlace::of(text, error.line, error.column);
            RuleError::new(&rule.name, error.message).at(place)
        })
    };
    let filter = filter_of(when)?;
    let clear = rule.clear_when.as_deref().map(filter_of).transpose()?;
    let clear_when = rule.clear_when.as_deref().unwrap_or_default();
    let of_plan = format!("when\n{when}\n{clear_when}\n{}", rule.key.join(","));
    Ok((Plan::Row(Box::new(RowPlan { filter, clear, key: rule.key.clone() })), of_plan))
}

fn windowed(
    rule: &Rule,
    sql: &str,
    from: Source,
    limits: Limits,
) -> Result<(Plan, String), RuleError> {
    let fail = |message: String| RuleError::new(&rule.name, message);
    if rule.clear_when.is_some() {
        return Err(fail(
            "clear_when belongs to a rule with when; models clear by themselves".into(),
        ));
    }
    let Some(text) = &rule.window else {
        return Err(fail("a rule with sql needs a window: { size: 60s }".into()));
    };
    let window = window_spec(text, from).map_err(fail)?;
    let rewritten = with_domain(sql);
    let cut = CutPlan::new(&rewritten.sql, from.as_str(), from.schema().arrow.clone())
        .map_err(|error| plan_error(&rule.name, sql, &rewritten, error))?;
    let keys = cut.output_keys().to_vec();
    let find = |name: &str| keys.iter().find(|key| key.name.eq_ignore_ascii_case(name)).cloned();
    let domain = find("domain").ok_or_else(|| {
        fail("domain is part of every key: select and group by it in the nested query too".into())
    })?;
    let key = key_columns(rule, &cut, &domain).map_err(fail)?;
    let shard = shard_columns(rule, &key).map_err(fail)?;
    let output = cut.output_schema();
    if rule.watch.is_empty() {
        return Err(fail("watch is empty: nothing would look at its result".into()));
    }
    let watched = rule.watch.iter().map(|watch| watched(watch, &output));
    let watch = watched.collect::<Result<_, _>>().map_err(fail)?;
    let shards: Vec<String> = shard.iter().map(usize::to_string).collect();
    let of_plan = format!("{:?}\n{}\n{}", window, shards.join(","), cut.fingerprint());
    let groups_max = rule.groups_max.unwrap_or(limits.groups_max).min(limits.groups_max).max(1);
    let forget_after = rule.forget_after.unwrap_or(FORGET_AFTER).max(1);
    let windowed = Windowed { cut, window, domain, key, shard, watch, groups_max, forget_after };
    Ok((Plan::Windowed(Box::new(windowed)), of_plan))
}

fn plan_error(rule: &str, sql: &str, rewritten: &Rewritten, error: PlanError) -> RuleError {
    let column = rewritten.original_column(sql, error.line, error.column);
    RuleError::new(rule, error.message).at(SqlPlace::of(sql, error.line, column))
}

fn window_spec(text: &WindowText, from: Source) -> Result<WindowSpec, String> {
    let size_ms = text.size.ms();
    let every_ms = text.every.unwrap_or(text.size).ms();
    if size_ms < 1000 || every_ms < 1000 {
        return Err("a window and its distance are at least 1s".into());
    }
    if every_ms > size_ms {
        return Err("every is larger than size: rows between two windows would be lost".into());
    }
    let pane_ms = gcd(size_ms, every_ms);
    if size_ms / pane_ms > PANES_MAX {
        let message =
            format!("size and every share only {pane_ms} ms: more than {PANES_MAX} panes");
        return Err(message);
    }
    let schema = &from.schema().arrow;
    let field = schema.field_with_name(&text.on);
    let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(_, _));
    if !field.is_ok_and(|field| is_time(field.data_type())) {
        return Err(format!("window: {} has no column {} of times", from.as_str(), text.on));
    }
    let lateness_ms = text.lateness.map_or(0, |lateness| lateness.ms());
    if text.on == "received" && lateness_ms > 0 {
        return Err("received is never late: lateness belongs to a device's own time".into());
    }
    Ok(WindowSpec { size_ms, every_ms, pane_ms, on: text.on.clone(), lateness_ms })
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The key's columns, which with `domain` must be all that the query groups by.
fn key_columns(rule: &Rule, cut: &CutPlan, domain: &OutputKey) -> Result<Vec<OutputKey>, String> {
    let keys = cut.output_keys();
    let others = || keys.iter().filter(|key| key.group != domain.group);
    let mut found: Vec<OutputKey> = Vec::new();
    if rule.key.is_empty() {
        let mut groups = BTreeSet::new();
        found.extend(others().filter(|key| groups.insert(key.group)).cloned());
    }
    for name in rule.key.iter().filter(|name| !name.eq_ignore_ascii_case("domain")) {
        let key = others().find(|key| key.name.eq_ignore_ascii_case(name));
        let key = key.ok_or_else(|| {
            let names: Vec<&str> = others().map(|key| key.name.as_str()).collect();
            format!("key: {name} is not among the grouped columns ({})", names.join(", "))
        })?;
        found.push(key.clone());
    }
    let groups: BTreeSet<usize> = found.iter().map(|key| key.group).collect();
    if groups.len() + 1 != cut.group_columns() {
        let message = "the query groups by a column that is not in its key or not selected: two \
                       groups of one window would have the same key";
        return Err(message.into());
    }
    Ok(found)
}

fn shard_columns(rule: &Rule, key: &[OutputKey]) -> Result<Vec<usize>, String> {
    if rule.shard.is_empty() {
        return Ok(key.iter().map(|key| key.group).collect());
    }
    let find = |name: &String| {
        let found = key.iter().find(|key| key.name.eq_ignore_ascii_case(name));
        found.map(|key| key.group).ok_or_else(|| format!("shard: {name} is not in the key"))
    };
    rule.shard.iter().map(find).collect()
}

fn watched(watch: &Watch, output: &Schema) -> Result<Watched, String> {
    let place = |what: &str, name: &str, fits: &dyn Fn(&DataType) -> bool| {
        let at = output.index_of(name).map_err(|_| {
            let names: Vec<&str> = output.fields().iter().map(|f| f.name().as_str()).collect();
            format!("watch: the result has no {what} {name} (it has {})", names.join(", "))
        })?;
        let kind = output.field(at).data_type();
        if fits(kind) { Ok(at) } else { Err(format!("watch: {what} {name} cannot be a {kind}")) }
    };
    let number = |kind: &DataType| kind.is_numeric();
    let list = |kind: &DataType| matches!(kind, DataType::List(_));
    let value = place("value", &watch.value, &number)?;
    if watch.models.is_empty() {
        return Err(format!("watch: value {} has no model", watch.value));
    }
    let mut columns = Vec::new();
    for (i, model) in watch.models.iter().enumerate() {
        model.check().map_err(|error| error.to_string())?;
        if watch.models[..i].iter().any(|other| other.kind() == model.kind()) {
            return Err(format!("watch: model {} twice", model.kind().as_str()));
        }
        let window = Window { start_ms: 0, end_ms: 1, every_ms: 1 };
        let names = model.build(window).columns();
        let found = names.iter().map(|name| place("column", name, &number));
        columns.push(found.collect::<Result<_, _>>()?);
    }
    let contributors = watch.contributors.as_deref();
    Ok(Watched {
        name: watch.value.clone(),
        value,
        models: watch.models.clone(),
        columns,
        contributors: contributors.map(|name| place("contributors", name, &list)).transpose()?,
        absent: watch.absent,
    })
}

fn check_entity(rule: &Rule, from: Source, plan: &Plan) -> Result<(), String> {
    let Some(entity) = &rule.entity else {
        return Ok(());
    };
    let is_known = |column: &&str| match plan {
        Plan::Windowed(windowed) => {
            windowed.key.iter().any(|key| key.name.eq_ignore_ascii_case(column))
        }
        Plan::Row(_) => from.schema().arrow.index_of(column).is_ok(),
    };
    match entity.columns().find(|column| !is_known(column)) {
        None => Ok(()),
        Some(column) => Err(format!("entity: column {column} is not in the key")),
    }
}
