//! What panes have lost of a rule: groups whose state no message could carry, or all that came
//! under another plan of the rule. Their points are not whole, and no model may learn them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use runtime::task::BadMessage;
use serde::{Deserialize, Serialize};

use super::key::{KeyColumns, value_text};
use super::series::SeriesKey;
use crate::rules::{WindowSpec, Windowed};

/// What one pane or window has lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lost {
    Groups(BTreeSet<SeriesKey>),
    /// Of which groups is not known.
    All,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostPanes {
    panes: BTreeMap<i64, Lost>,
}

// === impl Lost ===

impl Lost {
    pub fn has(&self, key: &SeriesKey) -> bool {
        match self {
            Lost::Groups(keys) => keys.contains(key),
            Lost::All => true,
        }
    }

    fn join(&mut self, other: &Lost) {
        match (&mut *self, other) {
            (Lost::Groups(keys), Lost::Groups(more)) => keys.extend(more.iter().cloned()),
            (_, Lost::All) => *self = Lost::All,
            (Lost::All, _) => {}
        }
    }
}

// === impl LostPanes ===

impl LostPanes {
    /// Groups of one pane; beyond `groups_max` it is all of them.
    pub fn add(&mut self, pane_ms: i64, keys: BTreeSet<SeriesKey>, groups_max: usize) {
        let lost = self.panes.entry(pane_ms).or_insert_with(|| Lost::Groups(BTreeSet::new()));
        lost.join(&Lost::Groups(keys));
        if matches!(lost, Lost::Groups(keys) if keys.len() > groups_max) {
            *lost = Lost::All;
        }
    }

    pub fn add_all(&mut self, pane_ms: i64) {
        self.panes.insert(pane_ms, Lost::All);
    }

    /// The first pane of which some group is known to have been lost: it had rows.
    pub fn first_pane(&self) -> Option<i64> {
        let mut known = self.panes.iter().filter(|(_, lost)| **lost != Lost::All);
        known.next().map(|(pane, _)| *pane)
    }

    pub fn of_window(&self, start_ms: i64, end_ms: i64) -> Option<Lost> {
        let mut all: Option<Lost> = None;
        for lost in self.panes.range(start_ms..end_ms).map(|(_, lost)| lost) {
            match &mut all {
                Some(all) => all.join(lost),
                None => all = Some(lost.clone()),
            }
        }
        all
    }

    /// Forgets panes whose windows have all closed.
    pub fn drop_closed(&mut self, window: &WindowSpec, watermark_ms: i64) {
        self.panes.retain(|pane, _| {
            let last_start_ms = pane.div_euclid(window.every_ms) * window.every_ms;
            window.closes_at(last_start_ms) > watermark_ms
        });
    }
}

/// The series of a message that has only group columns.
pub fn keys(rule: &Windowed, groups: &RecordBatch) -> Result<BTreeSet<SeriesKey>, BadMessage> {
    let (wanted, found) = (rule.cut.state_schema(), groups.schema());
    let count = rule.cut.group_columns();
    let same = (0..count.min(found.fields().len()))
        .all(|at| wanted.field(at).data_type() == found.field(at).data_type());
    if found.fields().len() != count || !same {
        return Err(BadMessage::new("state", "not the rule's group columns"));
    }
    let columns = rule.key.iter().map(|key| (key.name.as_str(), groups.column(key.group)));
    let text = KeyColumns::new(columns);
    let domain = groups.column(rule.domain.group);
    let one = |row| (value_text(domain.as_ref(), row), text.text(row));
    Ok((0..groups.num_rows()).map(one).collect())
}
