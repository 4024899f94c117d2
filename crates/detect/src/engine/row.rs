//! Rules without a window: each row that matches is an anomaly at once, said by rollup. Rollup
//! keeps nothing between rows: a rule that says when it clears has one anomaly a key, opened again
//! and again under the same id, and the row that ends it finds that id by its own key.

use arrow::array::{Array, AsArray, RecordBatch};
use model::rows::{Anomaly, AnomalyKind, Entity};
use model::schema::hex16;
use sql::SqlError;

use super::key::KeyColumns;
use super::reading::times;
use crate::models::ModelKind;
use crate::rules::{Compiled, RowPlan};

/// In ids, the opening time of the one anomaly that a key has.
const ONE_A_KEY: i64 = 0;

/// The anomalies in a batch with all columns of the rule's source. `not_before_ms` is the watermark
/// that was sent: nothing older may follow it.
pub fn anomalies(
    rule: &Compiled,
    plan: &RowPlan,
    batch: &RecordBatch,
    not_before_ms: i64,
) -> Result<Vec<Anomaly>, SqlError> {
    let opens = plan.filter.matches(batch)?;
    let clears = plan.clear.as_ref().map(|clear| clear.matches(batch)).transpose()?;
    let (received, _) = times(batch, super::reading::RECEIVED);
    let columns = plan
        .key
        .iter()
        .filter_map(|name| batch.column_by_name(name).map(|column| (name.as_str(), column)));
    let key = KeyColumns::new(columns);
    let kind_of = |row: usize| match (opens.value(row), &clears) {
        (true, _) => Some(AnomalyKind::Open),
        (false, Some(clears)) if clears.value(row) => Some(AnomalyKind::Clear),
        _ => None,
    };
    let rows = (0..batch.num_rows()).filter_map(|row| Some((row, kind_of(row)?)));
    let one = |(row, kind): (usize, AnomalyKind)| {
        let (key_text, at_ms) = (key.text(row), received[row]);
        let domain = text(batch, "domain", row).unwrap_or_default();
        let entity = rule.entity.as_ref().and_then(|entity| {
            let name = entity.name(|column| text(batch, column, row))?;
            Some(Entity { kind: entity.kind.clone(), name })
        });
        let opened_ms = if plan.clear.is_some() { ONE_A_KEY } else { at_ms };
        Anomaly {
            id: id(&rule.fingerprint, &domain, &key_text, ModelKind::Row, opened_ms),
            domain,
            time_ms: at_ms.max(not_before_ms),
            rule: rule.name.clone(),
            key: key_text,
            kind,
            model: ModelKind::Row.as_str().to_owned(),
            entity,
            value_name: "row".to_owned(),
            value: None,
            expected: None,
            lower: None,
            upper: None,
            score: None,
            why: why(rule, batch, row),
            window_start_ms: at_ms,
            contributors: Vec::new(),
        }
    };
    Ok(rows.map(one).collect())
}

/// From content only: the same anomaly has the same id after a crash and in a replay.
pub fn id(fingerprint: &str, domain: &str, key: &str, model: ModelKind, opened_ms: i64) -> String {
    let parts = [fingerprint, domain, key, model.as_str(), &opened_ms.to_string()];
    hex16(parts.join("\u{1f}").as_bytes())
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name)?;
    column.is_valid(row).then(|| super::key::value_text(column.as_ref(), row))
}

/// What a text of syslog says, without the header in front of it: a Cisco message begins with its
/// facility (`%BGP-5-ADJCHANGE`); of others the priority alone is told apart here.
fn message(text: &str) -> &str {
    let is_facility = |at: &usize| {
        let name = &text[at + 1..];
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.contains('-')
    };
    let facility = text.match_indices('%').map(|(at, _)| at).find(is_facility);
    if let Some(at) = facility {
        return &text[at..];
    }
    let inside = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match inside {
        Some((number, rest)) if number.len() <= 3 && number.parse::<u8>().is_ok() => rest,
        _ => text,
    }
}

/// What the device itself said, where it said something.
fn why(rule: &Compiled, batch: &RecordBatch, row: usize) -> String {
    let said = batch.column_by_name("text").and_then(|column| {
        let column = column.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    });
    let name = &rule.name;
    if let Some(said) = said {
        let short: String = message(said).chars().take(400).collect();
        return format!("{name}: {short}");
    }
    let parts = ["kind", "state", "device", "entity"];
    let parts: Vec<String> = parts.iter().filter_map(|part| text(batch, part, row)).collect();
    format!("{name}: {}", parts.join(" "))
}
