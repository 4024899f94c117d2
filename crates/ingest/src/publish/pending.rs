//! Which messages that hold a part of an exporter's sequence are not known to be on the log yet.
//! The first of them is the frontier: what bears an earlier name needs no looking after.

use std::collections::BTreeMap;

use crate::engine::marks::{Key, Units, sums};

/// The name of a message of ingest: epoch of the run, number in it.
pub type At = (u64, i64);

/// Bounded by what is in flight and in the spool.
#[derive(Debug, Default)]
pub struct Pending {
    messages: BTreeMap<At, Message>,
}

#[derive(Debug)]
struct Message {
    units: Vec<Units>,
    delivered: bool,
}

// === impl Pending ===

impl Pending {
    pub fn sent(&mut self, at: At, units: Vec<Units>) {
        self.messages.insert(at, Message { units, delivered: false });
    }

    pub fn delivered(&mut self, at: At) {
        if let Some(message) = self.messages.get_mut(&at) {
            message.delivered = true;
        }
        while let Some(first) = self.messages.first_entry() {
            if !first.get().delivered {
                break;
            }
            first.remove();
        }
    }

    /// It will never be on the log, and was counted as lost.
    pub fn lost(&mut self, at: At) {
        self.messages.remove(&at);
    }

    /// It goes again under another name.
    pub fn renamed(&mut self, from: At, to: At) {
        if let Some(message) = self.messages.remove(&from) {
            self.messages.insert(to, message);
        }
    }

    /// All that bears an earlier name is on the log or counted as lost.
    pub fn frontier(&self) -> Option<At> {
        self.messages.first_key_value().map(|(at, _)| *at)
    }

    /// Units of each domain in the messages from the frontier on, also those delivered.
    pub fn owed(&self) -> BTreeMap<Key, Units> {
        sums(self.messages.values().flat_map(|message| &message.units))
    }
}
