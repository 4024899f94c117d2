//! The pure half of correlate: one partition of evidence, any number of domains. Evidence is held
//! until the watermarks of all detect tasks have passed it, then taken in the order of (time, rule,
//! key, kind), never by arrival (DESIGN §4): a crash changes how writers interleave, and must not
//! change an incident.

mod book;
mod case;
mod cluster;
mod cover;
mod emit;
mod explain;
mod held;
mod net;
mod ours;
mod roots;
mod saved;
mod tale;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime::task::{BadMessage, Block, Engine, Input, Outputs, RestoreError};

use crate::config::CorrelateConfig;
use crate::metrics;

use book::Book;
pub use emit::Topics;
use held::{Evidence, Place};

/// The state of one task.
pub struct Correlator {
    config: Arc<CorrelateConfig>,
    topics: Arc<Topics>,
    pending: Pending,
    /// Everything before this has been decided.
    decided_ms: Option<i64>,
    domains: BTreeMap<String, Book>,
}

type Pending = BTreeMap<Place, Evidence>;

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

    fn hold(&mut self, evidence: Evidence, out: &mut Outputs) {
        let place = evidence.place();
        let is_late = self.decided_ms.is_some_and(|decided| place.time_ms < decided);
        if is_late && evidence.is_anomaly() {
            out.count(metrics::LATE, &[], 1);
        }
        match self.pending.get(&place) {
            // Two that say different things of the same must not depend on which came first.
            Some(there) if there.order() <= evidence.order() => return,
            _ => self.pending.insert(place, evidence),
        };
        if self.pending.len() > self.config.pending_max as usize
            && let Some((_, refused)) = self.pending.pop_last()
        {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "pending")], 1);
            self.book(refused.domain()).refuse();
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
                let evidence = entry.remove();
                taken += u64::from(evidence.is_anomaly());
                self.take(evidence, out);
            }
            for book in self.domains.values_mut() {
                book.explain(now_ms, out);
            }
            self.tell(now_ms, out)?;
        }
        self.fall_due(until_ms, out)?;
        self.decided_ms = self.decided_ms.max(Some(until_ms));
        out.count(metrics::EVIDENCE, &[], taken);
        Ok(())
    }

    fn take(&mut self, evidence: Evidence, out: &mut Outputs) {
        let book = self.book(&evidence.domain().to_owned());
        match evidence {
            Evidence::Anomaly(anomaly) => book.take(anomaly, out),
            Evidence::Topology(element) => book.draw(element, out),
            Evidence::Change(change) => book.changed_by_us(change, out),
            Evidence::Feedback(feedback) => book.hear(feedback, out),
        }
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
            for element in book.drawn() {
                emit::element(&self.topics, &element, at_ms, out)?;
            }
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
            for evidence in Evidence::of(input)? {
                self.hold(evidence, out);
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
