//! Loss, doubling and reordering on purpose, between the exporters and the receiver, counted: a
//! loss ledger is compared with these counts, never with itself. An exporter's first datagram
//! always passes, for it is what a receiver's counting begins with.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::exporter::Datagram;
use crate::traffic::{Purpose, stream};
use crate::truth::Ledger;

/// Which datagrams something befalls: each with this chance, until so many have been.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pick {
    /// 0 to 1.
    pub share: f64,
    pub at_most: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Impair {
    pub drop: Pick,
    pub duplicate: Pick,
    pub reorder: Pick,
    /// How many of its successors overtake a reordered datagram.
    pub reorder_depth: u32,
}

/// Datagrams as they arrive.
pub struct Impaired<I> {
    inner: I,
    impair: Impair,
    rng: ChaCha8Rng,
    ready: VecDeque<Datagram>,
    held: BTreeMap<Ipv4Addr, Held>,
    ledger: Ledger,
}

struct Held {
    datagram: Datagram,
    /// Successors that have yet to pass it.
    left: u32,
}

// === impl Pick ===

impl Default for Pick {
    fn default() -> Pick {
        Pick { share: 0.0, at_most: u64::MAX }
    }
}

impl Pick {
    fn draw(&mut self, rng: &mut impl Rng) -> bool {
        let hit = self.share > 0.0 && self.at_most > 0 && rng.random_bool(self.share.min(1.0));
        self.at_most -= u64::from(hit);
        hit
    }
}

// === impl Impair ===

impl Default for Impair {
    fn default() -> Impair {
        let none = Pick::default();
        Impair { drop: none, duplicate: none, reorder: none, reorder_depth: 3 }
    }
}

// === impl Impaired ===

impl<I: Iterator<Item = Datagram>> Impaired<I> {
    pub fn new(inner: I, impair: Impair, seed: u64) -> Impaired<I> {
        Impaired {
            inner,
            impair,
            rng: stream(seed, Purpose::Impair, 0),
            ready: VecDeque::new(),
            held: BTreeMap::new(),
            ledger: Ledger::default(),
        }
    }

    /// What was generated and what befell it, up to now.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Decides over one datagram; what arrives is then in `ready`.
    fn take(&mut self, datagram: Datagram) {
        let is_first = !self.ledger.exporters.contains_key(&datagram.exporter);
        self.ledger.generated(&datagram);
        if is_first {
            self.ready.push_back(datagram);
        } else if self.impair.drop.draw(&mut self.rng) {
            self.ledger.dropped(&datagram);
        } else if !self.held.contains_key(&datagram.exporter)
            && self.impair.reorder_depth > 0
            && self.impair.reorder.draw(&mut self.rng)
        {
            self.ledger.of(&datagram).reordered_datagrams += 1;
            let left = self.impair.reorder_depth;
            self.held.insert(datagram.exporter, Held { datagram, left });
        } else {
            self.deliver(datagram);
        }
    }

    fn deliver(&mut self, datagram: Datagram) {
        self.ledger.delivered(&datagram);
        let (exporter, time_ms) = (datagram.exporter, datagram.time_ms);
        if self.impair.duplicate.draw(&mut self.rng) {
            let counts = self.ledger.of(&datagram);
            counts.duplicated_datagrams += 1;
            counts.duplicated_flows += u64::from(datagram.flows);
            self.ready.push_back(datagram.clone());
        }
        self.ready.push_back(datagram);
        if let Some(held) = self.held.get_mut(&exporter) {
            held.left -= 1;
        }
        if self.held.get(&exporter).is_some_and(|held| held.left == 0)
            && let Some(Held { datagram, .. }) = self.held.remove(&exporter)
        {
            self.ready.push_back(Datagram { time_ms, ..datagram });
        }
    }
}

impl<I: Iterator<Item = Datagram>> Iterator for Impaired<I> {
    type Item = Datagram;

    fn next(&mut self) -> Option<Datagram> {
        loop {
            if let Some(datagram) = self.ready.pop_front() {
                return Some(datagram);
            }
            match self.inner.next() {
                Some(datagram) => self.take(datagram),
                None => return self.held.pop_first().map(|(_, held)| held.datagram),
            }
        }
    }
}
