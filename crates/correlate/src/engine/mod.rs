//! The pure half of correlate: one partition of evidence, any number of domains. Evidence is held
//! until the watermarks of all detect tasks have passed it, then taken in the order of (time, rule,
//! key, kind), never by arrival (DESIGN §4): a crash changes how writers interleave, and must not
//! change an incident.

mod book;
mod case;
mod cluster;
mod emit;
mod saved;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::rows::{Anomaly, AnomalyKind};
use model::schema;
use runtime::task::{BadMessage, Block, Engine, Input, Outputs, RestoreError};
use serde::{Deserialize, Serialize};

use crate::config::CorrelateConfig;
use crate::metrics;

use book::Book;
pub use emit::Topics;

/// The state of one task.
pub struct Correlator {
    config: Arc<CorrelateConfig>,
    topics: Arc<Topics>,
    pending: Pending,
    /// Everything before this has been decided.
    decided_ms: Option<i64>,
    domains: BTreeMap<String, Book>,
}

/// The order in which evidence is taken. What stands behind `kind` only parts what those four do
/// not, so that the order is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    time_ms: i64,
    rule: String,
    key: String,
    kind: AnomalyKind,
    domain: String,
    id: String,
}

type Pending = BTreeMap<Place, Anomaly>;

// === impl Correlator ===

impl Correlator {
    pub fn new(config: Arc<CorrelateConfig>, topics: Arc<Topics>) -> Correlator {
        Correlator {
            config,
            topics,
            pending: Pending::new(),
            decided_ms: None,
            domains: BTreeMap::new(),
        }
    }

    fn hold(&mut self, anomaly: Anomaly, out: &mut Outputs) {
        if self.decided_ms.is_some_and(|decided| anomaly.time_ms < decided) {
            out.count(metrics::LATE, &[], 1);
        }
        let place = Place::of(&anomaly);
        match self.pending.get(&place) {
            // Two that say different things of the same must not depend on which came first.
            Some(there) if order(there) <= order(&anomaly) => return,
            _ => self.pending.insert(place, anomaly),
        };
        if self.pending.len() > self.config.pending_max as usize
            && let Some((_, refused)) = self.pending.pop_last()
        {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "pending")], 1);
            self.book(&refused.domain).refuse();
        }
    }

    /// Takes all evidence before `until_ms`, instant by instant, and what falls due between.
    fn release(&mut self, until_ms: i64, out: &mut Outputs) -> Result<(), BadMessage> {
        let mut taken = 0;
        while let Some(now_ms) = self.next_instant(until_ms) {
            self.fall_due(now_ms, out)?;
            while let Some(entry) = self.pending.first_entry()
                && entry.key().time_ms == now_ms
            {
                let anomaly = entry.remove();
                taken += 1;
                self.book(&anomaly.domain.clone()).take(anomaly, out);
            }
            self.tell(now_ms, out)?;
        }
        self.fall_due(until_ms, out)?;
        self.decided_ms = self.decided_ms.max(Some(until_ms));
        out.count(metrics::EVIDENCE, &[], taken);
        Ok(())
    }

    fn next_instant(&self, until_ms: i64) -> Option<i64> {
        let (place, _) = self.pending.first_key_value()?;
        (place.time_ms < until_ms).then_some(place.time_ms)
    }

    /// Timers before `now_ms`, in the order of their time: a resolution, the end of a window. What
    /// is due at an instant comes after the evidence of it.
    fn fall_due(&mut self, now_ms: i64, out: &mut Outputs) -> Result<(), BadMessage> {
        let first = |book: &Book| book.next_due();
        while let Some(due_ms) = self.domains.values().filter_map(first).min()
            && due_ms < now_ms
        {
            for book in self.domains.values_mut() {
                book.fall_due(due_ms, out);
            }
            self.tell(due_ms, out)?;
        }
        self.domains.retain(|_, book| !book.is_empty());
        Ok(())
    }

    /// Every incident that changed at this instant, once.
    fn tell(&mut self, now_ms: i64, out: &mut Outputs) -> Result<(), BadMessage> {
        // Late evidence is told now: nothing older than the watermark may leave.
        let at_ms = self.decided_ms.map_or(now_ms, |decided| decided.max(now_ms));
        for book in self.domains.values_mut() {
            for incident in book.changed(at_ms) {
                emit::incident(&self.topics, &incident, out)?;
            }
        }
        Ok(())
    }

    fn book(&mut self, domain: &str) -> &mut Book {
        if !self.domains.contains_key(domain) {
            let book = Book::new(domain, Arc::clone(&self.config));
            self.domains.insert(domain.to_owned(), book);
        }
        self.domains.get_mut(domain).expect("inserted above")
    }
}

impl Engine for Correlator {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            let expected = schema::anomalies();
            if input.meta.schema.split('/').next() != Some(expected.name.as_str()) {
                return Err(BadMessage::new("schema", &input.meta.schema));
            }
            let batch = input.batch()?;
            let rows = Anomaly::from_batch(&batch).map_err(|e| BadMessage::new("rows", e))?;
            for anomaly in rows {
                self.hold(anomaly, out);
            }
        }
        if let Some(watermark_ms) = input.watermarks.least() {
            self.release(watermark_ms, out)?;
            out.advance(watermark_ms);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<Block> {
        saved::blocks(self)
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        saved::restore(self, blocks)
    }
}

// === impl Place ===

impl Place {
    fn of(anomaly: &Anomaly) -> Place {
        Place {
            time_ms: anomaly.time_ms,
            rule: anomaly.rule.clone(),
            key: anomaly.key.clone(),
            kind: anomaly.kind,
            domain: anomaly.domain.clone(),
            id: anomaly.id.clone(),
        }
    }
}

/// Any total order over contents.
fn order(anomaly: &Anomaly) -> Vec<u8> {
    saved::bytes(anomaly)
}
