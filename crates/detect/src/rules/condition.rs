//! The shorthand of the usual guide, `condition: cpu_usage > 90 for 5 minutes` over any metric,
//! written out as the rule that it stands for.

use super::error::{RuleError, SqlPlace};
use super::period::Period;
use super::spec::{EntityColumn, Rule, Source, Watch, WindowText};
use crate::models::{ModelSpec, ThresholdParams};

/// The guide's name for what is `metrics` here.
const SOURCES: [&str; 2] = ["network_metrics", "metrics"];
const WINDOW: Period = Period::from_ms(60_000);

/// The rule written out; one without the shorthand comes back as it is.
pub fn expand(rule: Rule) -> Result<Rule, RuleError> {
    let Some(condition) = rule.condition.clone() else {
        if let Some(source) = &rule.source {
            let message = format!("source {source:?} belongs to a condition; write from");
            return Err(RuleError::new(&rule.name, message));
        }
        return Ok(rule);
    };
    let name = rule.name.clone();
    let fail = |message: String| RuleError::new(&name, message);
    let whole = rule.sql.is_none()
        && rule.when.is_none()
        && rule.from.is_none()
        && rule.window.is_none()
        && rule.watch.is_empty()
        && rule.key.is_empty();
    if !whole {
        return Err(fail(
            "a condition stands for the whole rule: leave out from, window, key, sql, \
            when and watch"
                .into(),
        ));
    }
    let source = rule.source.as_deref().unwrap_or("metrics");
    if !SOURCES.contains(&source) {
        return Err(fail(format!("source {source:?} is none of {}", SOURCES.join(", "))));
    }
    let parsed = parse(&condition)
        .map_err(|(message, at)| fail(message).at(SqlPlace::of(&condition, 1, at + 1)))?;
    Ok(written_out(rule, parsed))
}

struct Condition {
    metric: String,
    limits: ThresholdParams,
}

fn written_out(rule: Rule, condition: Condition) -> Rule {
    // A quote is not part of any metric's name that `parse` lets through.
    let sql = format!(
        "SELECT device, entity, max(value) AS value FROM metrics WHERE metric = '{}' \
         GROUP BY device, entity",
        condition.metric
    );
    let watch = Watch {
        value: "value".to_owned(),
        models: vec![ModelSpec::Threshold(condition.limits)],
        contributors: None,
        absent: Default::default(),
    };
    let entity =
        EntityColumn { kind: "device".to_owned(), column: "device".to_owned(), part: None };
    Rule {
        from: Some(Source::Metrics),
        window: Some(WindowText {
            size: WINDOW,
            every: None,
            on: "received".to_owned(),
            lateness: None,
        }),
        key: vec!["device".to_owned(), "entity".to_owned()],
        shard: vec!["device".to_owned()],
        sql: Some(sql),
        entity: Some(rule.entity.clone().unwrap_or(entity)),
        watch: vec![watch],
        condition: None,
        source: None,
        ..rule
    }
}

/// `METRIC > NUMBER [for PERIOD]`; an error with the character where it is.
fn parse(text: &str) -> Result<Condition, (String, usize)> {
    let operator = text.find(['<', '>']).ok_or_else(|| {
        ("a condition is METRIC > NUMBER, or METRIC < NUMBER, [for 5 minutes]".to_owned(), 0)
    })?;
    let chars_to = |byte: usize| text[..byte].chars().count();
    let metric = text[..operator].trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-:/".contains(c);
    if metric.is_empty() || !metric.chars().all(allowed) {
        return Err((format!("not the name of a metric: {metric:?}"), 0));
    }
    let above = text[operator..].starts_with('>');
    let rest_at = operator + 1;
    let rest = &text[rest_at..];
    let rest_at = rest_at + (rest.len() - rest.trim_start().len());
    let rest = rest.trim();
    let (number, lasting) = match rest.split_once(" for ") {
        Some((number, lasting)) => (number.trim(), Some(lasting)),
        None => (rest, None),
    };
    let limit: f64 = number
        .trim_end_matches('%')
        .trim_end()
        .parse()
        .ok()
        .filter(|limit: &f64| limit.is_finite())
        .ok_or_else(|| (format!("not a number: {number:?}"), chars_to(rest_at)))?;
    let lasting = lasting
        .map(|text_of| {
            let at = chars_to(rest_at + rest.len() - text_of.len());
            text_of.parse::<Period>().map_err(|error| (error.to_string(), at))
        })
        .transpose()?;
    let (upper, lower) = if above { (Some(limit), None) } else { (None, Some(limit)) };
    let limits = ThresholdParams { above: upper, below: lower, lasting, margin: 0.0 };
    Ok(Condition { metric: metric.to_owned(), limits })
}
