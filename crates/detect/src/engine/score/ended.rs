//! Anomalies that end otherwise than by points inside their band: the series is forgotten, or the
//! rule is another one now. They are cleared in words that say so, and never called recovered.

use model::rows::{Anomaly, AnomalyKind, Entity};
use serde::{Deserialize, Serialize};

use super::super::keytext;
use super::super::row;
use super::super::series::{Forgotten, Gone, SeriesKey};
use crate::models::{ModelKind, seconds};
use crate::rules::{Compiled, Windowed};

/// An anomaly that another form of the rule opened, as its last point in `signals` has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Inherited {
    pub key: SeriesKey,
    pub value_name: String,
    pub model: String,
    pub id: String,
}

/// All of them, and when nobody but the present rule can judge any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estate {
    pub anomalies: Vec<Inherited>,
    /// The last window that the other form closed.
    pub start_ms: i64,
    pub end_ms: i64,
}

// === impl Estate ===

impl Estate {
    pub fn is_there(&self) -> bool {
        self.end_ms != 0
    }

    /// The watermark at which the rule's former self would have closed its next window at the
    /// latest: it had not passed it, so what is said from here on was never said before.
    pub fn due_ms(&self, rule: &Windowed) -> i64 {
        let length = self.end_ms.saturating_sub(self.start_ms);
        self.end_ms.saturating_add(length).saturating_add(rule.window.lateness_ms)
    }

    pub fn clears(&self, rule: &Compiled, windowed: &Windowed) -> Vec<Anomaly> {
        let one = |inherited: &Inherited| {
            let key = &inherited.key;
            let entity = keytext::values(windowed, &key.1)
                .and_then(|values| keytext::entity(rule, windowed, &values));
            Anomaly {
                id: inherited.id.clone(),
                model: inherited.model.clone(),
                value_name: inherited.value_name.clone(),
                time_ms: self.due_ms(windowed),
                window_start_ms: self.start_ms,
                ..clear(
                    rule,
                    key,
                    entity,
                    "rule changed: what opened this is not judged any \
                    more; if it still holds, the rule as it is now opens it again"
                        .to_owned(),
                )
            }
        };
        self.anomalies.iter().map(one).collect()
    }
}

/// The clearing of an anomaly whose series is forgotten.
pub fn forgotten(
    rule: &Compiled,
    windowed: &Windowed,
    gone: &Gone,
    value_name: &str,
    (model, opened_ms): (ModelKind, i64),
    start_ms: i64,
) -> Anomaly {
    let window = &windowed.window;
    let (domain, key) = &gone.key;
    let absent = start_ms.saturating_sub(gone.series.seen_ms);
    let why = match gone.why {
        Forgotten::Absent => format!(
            "series forgotten: no point of it for {}; whether it recovered is not known",
            seconds(absent)
        ),
        Forgotten::Limit => "series forgotten: the rule has more series than its limit, and this \
            one has no point; whether it recovered is not known"
            .to_owned(),
    };
    Anomaly {
        id: row::id(&rule.fingerprint, domain, key, model, opened_ms),
        model: model.as_str().to_owned(),
        value_name: value_name.to_owned(),
        time_ms: window.closes_at(start_ms),
        window_start_ms: start_ms,
        ..clear(rule, &gone.key, gone.series.entity.clone(), why)
    }
}

fn clear(rule: &Compiled, key: &SeriesKey, entity: Option<String>, why: String) -> Anomaly {
    let entity = rule.entity.as_ref().zip(entity);
    Anomaly {
        domain: key.0.clone(),
        id: String::new(),
        time_ms: 0,
        rule: rule.name.clone(),
        key: key.1.clone(),
        kind: AnomalyKind::Clear,
        model: String::new(),
        entity: entity.map(|(column, name)| Entity { kind: column.kind.clone(), name }),
        value_name: String::new(),
        value: None,
        expected: None,
        lower: None,
        upper: None,
        score: None,
        why,
        window_start_ms: 0,
        contributors: Vec::new(),
    }
}
