//! One task: the pure engine, with what comes in beside its topic and what goes out once a commit
//! stands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use model::rows::{Action, Incident};
use model::schema;
use runtime::task::{BadMessage, Block, Engine, History, Input, Outputs, RestoreError};

use super::work::Job;
use super::{Shared, Time, lock};
use crate::engine::emit::{self, Topics};
use crate::engine::{Act, Answer, Effect, Turn};
use crate::metrics;

/// See the module.
pub struct Desk {
    act: Act,
    shared: Arc<Shared>,
    topics: Arc<Topics>,
    mail: Arc<Mutex<Mail>>,
    partition: u32,
    partitions: u32,
    watermark_ms: Option<i64>,
    /// Approvals taken so far.
    approvals: u64,
    /// Answers whose rows do not stand yet: another try at this task takes them again.
    taken: Vec<Answer>,
    /// Calls whose rows do not stand yet.
    waiting: Vec<Effect>,
    /// Whether all rows told so far stand.
    told_all: bool,
    /// False once this task is no longer ours: no new write begins.
    alive: Arc<AtomicBool>,
}

/// Answers that wait for their turn. Bounded by the calls that are being made.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub answers: Vec<Answer>,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(
        act: Act,
        shared: Arc<Shared>,
        topics: Arc<Topics>,
        partition: u32,
        partitions: u32,
    ) -> Desk {
        let mail = shared.mail(partition);
        Desk {
            act,
            shared,
            topics,
            mail,
            partition,
            partitions,
            watermark_ms: None,
            approvals: 0,
            taken: Vec::new(),
            waiting: Vec::new(),
            told_all: true,
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    fn is_ours(&self, row: &Action) -> bool {
        bus::partition::partition(row.domain.as_bytes(), self.partitions) == self.partition
    }

    /// What time it is; none before the incidents have said, where only they say it.
    fn now_ms(&self) -> Option<i64> {
        match self.shared.time {
            Time::Log => self.watermark_ms,
            Time::Wall => {
                let wall_ms = self.shared.clock.wall_ms();
                Some(self.watermark_ms.map_or(wall_ms, |watermark| watermark.max(wall_ms)))
            }
        }
    }

    fn tell(&mut self, now_ms: i64, out: &mut Outputs) -> Result<(), BadMessage> {
        let network = self.shared.network.read().unwrap_or_else(PoisonError::into_inner);
        if !network.is_ready {
            return Ok(());
        }
        let answers = std::mem::take(&mut lock(&self.mail).answers);
        self.taken.extend(answers.iter().cloned());
        let (approvals, next) = lock(&self.shared.approvals).since(self.approvals);
        self.approvals = next;
        let done = self.act.turn(Turn {
            now_ms,
            mono: self.shared.clock.now(),
            network: &network,
            approvals: &approvals,
            answers,
            is_killed: self.shared.is_killed.load(Ordering::SeqCst),
        });
        drop(network);
        let limit = [(metrics::LABEL_LIMIT, "executions")];
        out.count(metrics::REFUSED, &limit, self.act.take_refused());
        emit::done(&self.topics, &done, out)?;
        self.waiting.extend(done.effects);
        self.told_all &= done.rows.is_empty();
        // What needs no row of its own, questions and looks, need not wait for one.
        if self.told_all {
            self.taken.clear();
            self.begin_calls();
        }
        Ok(())
    }

    fn begin_calls(&mut self) {
        for effect in std::mem::take(&mut self.waiting) {
            let (alive, mail) = (Arc::clone(&self.alive), Arc::clone(&self.mail));
            self.shared.jobs.put(Job { effect, alive, mail });
        }
    }
}

impl Engine for Desk {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            if input.meta.schema.split('/').next() != Some(schema::incidents().name.as_str()) {
                return Err(BadMessage::new("schema", &input.meta.schema));
            }
            let batch = input.batch()?;
            let rows = Incident::from_batch(&batch).map_err(|e| BadMessage::new("rows", e))?;
            rows.into_iter().for_each(|incident| self.act.incident(incident));
        }
        if let Some(watermark_ms) = input.watermarks.least() {
            self.watermark_ms = self.watermark_ms.max(Some(watermark_ms));
            out.advance(watermark_ms);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<Block> {
        self.act.blocks()
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        self.act.restore(blocks)
    }

    fn history_wanted(&self) -> Option<History> {
        let since_ms = self.act.last_row_ms();
        Some(History { topic: self.topics.actions.clone(), since_ms })
    }

    fn history(&mut self, batch: &RecordBatch) {
        let rows = Action::from_batch(batch).unwrap_or_default();
        for row in &rows {
            if self.is_ours(row) {
                self.act.row(row);
            }
        }
    }

    fn turn(&mut self, out: &mut Outputs) {
        let Some(now_ms) = self.now_ms() else {
            return;
        };
        if let Err(error) = self.tell(now_ms, out) {
            // A row of ours that has no form as a message is a defect; nothing that it would allow
            // may happen.
            panic!("a row could not be written: {error}");
        }
    }

    fn stood(&mut self, _begun: Duration) {
        self.taken.clear();
        self.told_all = true;
        self.act.stood();
        self.begin_calls();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
        let mut mail = lock(&self.mail);
        let later = std::mem::take(&mut mail.answers);
        mail.answers = std::mem::take(&mut self.taken);
        mail.answers.extend(later);
    }
}
