//! Evidence of every kind, and the order in which it is taken: by time, then what the network is,
//! what we did, what detect found, what people say. Detect's watermarks decide when; rows of act
//! and of the console wait for their time like any other, and late ones are taken at once.

use model::rows::{Anomaly, AnomalyKind, Change, Element, Feedback};
use model::schema;
use runtime::task::{BadMessage, Input};
use serde::{Deserialize, Serialize};

use super::saved;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Evidence {
    Anomaly(Anomaly),
    Topology(Element),
    Change(Change),
    Feedback(Feedback),
}

/// The order in which evidence is taken. What stands behind `kind` only parts what those before do
/// not, so that the order is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub time_ms: i64,
    class: u8,
    rule: String,
    key: String,
    kind: AnomalyKind,
    domain: String,
    id: String,
}

// === impl Evidence ===

impl Evidence {
    /// The rows of a message, by the schema that it names.
    pub fn of(input: &Input<'_>) -> Result<Vec<Evidence>, BadMessage> {
        let name = input.meta.schema.split('/').next().unwrap_or_default();
        let bad = |error| BadMessage::new("rows", error);
        if name == schema::anomalies().name {
            let rows = Anomaly::from_batch(&input.batch()?).map_err(bad)?;
            Ok(rows.into_iter().map(Evidence::Anomaly).collect())
        } else if name == schema::topology_evidence().name {
            let rows = Element::from_batch(&input.batch()?).map_err(bad)?;
            Ok(rows.into_iter().map(Evidence::Topology).collect())
        } else if name == schema::changes().name {
            let rows = Change::from_batch(&input.batch()?).map_err(bad)?;
            Ok(rows.into_iter().map(Evidence::Change).collect())
        } else if name == schema::feedback().name {
            let rows = Feedback::from_batch(&input.batch()?).map_err(bad)?;
            Ok(rows.into_iter().map(Evidence::Feedback).collect())
        } else {
            Err(BadMessage::new("schema", &input.meta.schema))
        }
    }

    pub fn domain(&self) -> &str {
        match self {
            Evidence::Anomaly(row) => &row.domain,
            Evidence::Topology(row) => &row.domain,
            Evidence::Change(row) => &row.domain,
            Evidence::Feedback(row) => &row.domain,
        }
    }

    pub fn is_anomaly(&self) -> bool {
        matches!(self, Evidence::Anomaly(_))
    }

    pub fn place(&self) -> Place {
        let (time_ms, class, rule, key, kind, id) = match self {
            Evidence::Topology(row) => (row.time_ms, 0, "", "", AnomalyKind::Open, row.id.clone()),
            Evidence::Change(row) => {
                let id = format!("{}/{}/{}", row.execution, row.step, row.state.as_str());
                (row.time_ms, 1, "", "", AnomalyKind::Open, id)
            }
            Evidence::Anomaly(row) => {
                (row.time_ms, 2, row.rule.as_str(), row.key.as_str(), row.kind, row.id.clone())
            }
            Evidence::Feedback(row) => {
                let id = format!("{}/{}/{}", row.incident, row.who, row.verdict.as_str());
                (row.time_ms, 3, "", "", AnomalyKind::Open, id)
            }
        };
        let (rule, key, domain) = (rule.to_owned(), key.to_owned(), self.domain().to_owned());
        Place { time_ms, class, rule, key, kind, domain, id }
    }

    /// Any total order over contents.
    pub fn order(&self) -> Vec<u8> {
        saved::bytes(self)
    }
}
