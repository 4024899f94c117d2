//! A rule's state in a snapshot: one block of open panes, one of series and models. Panes are kept
//! by the plan's fingerprint, models by the rule's: a changed rule starts with what still fits, and
//! has its models from `signals`.

use arrow::array::RecordBatch;
use bytes::Bytes;
use runtime::task::{Block, RestoreError};
use serde::{Deserialize, Serialize};

use super::lost::LostPanes;
use super::score::Estate;
use super::series::SeriesTable;
use super::states::States;
use crate::models::Lifecycle;

const PANES: &str = "panes";
const MODELS: &str = "models";

#[derive(Serialize, Deserialize)]
pub struct SavedPanes {
    plan_fp: String,
    pub next_start_ms: i64,
    panes: Vec<(i64, u32, Vec<Vec<u8>>)>,
    pub lost: LostPanes,
}

#[derive(Serialize, Deserialize)]
pub struct SavedModels {
    /// Of the rule and of its models' format.
    pub fingerprint: String,
    pub series: SeriesTable,
    /// In the rule's order of watches and models.
    pub models: Vec<SavedModel>,
    /// What another form of the rule has left open.
    pub estate: Estate,
}

#[derive(Serialize, Deserialize)]
pub struct SavedModel {
    pub bytes: Vec<u8>,
    pub life: Lifecycle,
}

/// The block's rule and what it holds.
pub enum Restored {
    Panes(String, SavedPanes),
    Models(String, SavedModels),
}

fn bad(what: &str, error: impl std::fmt::Display) -> RestoreError {
    RestoreError(format!("{what}: {error}"))
}

pub fn read(block: &Block) -> Result<Restored, RestoreError> {
    let (rule, what) =
        block.name.rsplit_once(':').ok_or_else(|| bad(&block.name, "not the name of a block"))?;
    let rule = rule.to_owned();
    let unreadable = |error| bad(&block.name, error);
    match what {
        PANES => Ok(Restored::Panes(rule, postcard::from_bytes(&block.data).map_err(unreadable)?)),
        MODELS => {
            Ok(Restored::Models(rule, postcard::from_bytes(&block.data).map_err(unreadable)?))
        }
        _ => Err(bad(&block.name, "not the name of a block")),
    }
}

fn block(rule: &str, what: &str, value: &impl Serialize) -> Block {
    let data = postcard::to_stdvec(value).expect("plain structs are written to memory");
    Block { name: format!("{rule}:{what}"), data: Bytes::from(data) }
}

// === impl SavedPanes ===

impl SavedPanes {
    pub fn block(
        rule: &str,
        plan_fp: &str,
        next_start_ms: i64,
        states: &States,
        lost: &LostPanes,
    ) -> Block {
        let encode = |batch: &RecordBatch| {
            let bytes = model::ipc::encode(batch);
            bytes.expect("a batch that came as arrow is written as arrow").to_vec()
        };
        let panes = states.iter().map(|((pane, source), batches)| {
            (*pane, *source, batches.iter().map(encode).collect())
        });
        let panes = panes.collect();
        let (plan_fp, lost) = (plan_fp.to_owned(), lost.clone());
        block(rule, PANES, &SavedPanes { plan_fp, next_start_ms, panes, lost })
    }

    /// The panes that are open.
    pub fn pane_times(&self) -> impl Iterator<Item = i64> {
        self.panes.iter().map(|(pane_ms, ..)| *pane_ms)
    }

    /// The states, if they are this plan's.
    pub fn states(&self, plan_fp: &str) -> Result<Option<States>, RestoreError> {
        if self.plan_fp != plan_fp {
            return Ok(None);
        }
        let limits = model::ipc::Limits::default();
        let mut states = States::default();
        for (pane, source, batches) in &self.panes {
            let decoded = batches.iter().map(|bytes| model::ipc::decode(bytes, limits));
            let batches = decoded.collect::<Result<_, _>>().map_err(|e| bad("a pane", e))?;
            states.insert((*pane, *source), batches);
        }
        Ok(Some(states))
    }
}

// === impl SavedModels ===

impl SavedModels {
    pub fn block(&self, rule: &str) -> Block {
        block(rule, MODELS, self)
    }

    /// Whether it is of this rule and of this program's models.
    pub fn fits(&self, fingerprint: &str, models: usize) -> bool {
        self.fingerprint == fingerprint
            && self.models.len() == models
            && self.series.is_whole()
            && self.models.iter().all(|model| model.life.is_whole())
    }
}
