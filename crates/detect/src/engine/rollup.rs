//! The partial half. A chunk is what came until the task's watermark entered a new second, or 4 MB
//! (one message on `events`); each rule's aggregate runs over it, pane by pane, and its state rows
//! go to `partials`. The only state between chunks is the watermark that was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bus::Meta;
use bus::config::LimitsConfig;
use bytes::Bytes;
use model::rows::Anomaly;
use model::schema;
use runtime::task::{
    BadMessage, Dead, Engine, Input, Out, Outputs, Place, ROW_TOO_LARGE, RestoreError,
};
use sql::SqlError;

use super::key::KeyColumns;
use super::late::{Missed, Misses};
use super::oversize::{BySize, by_size};
use super::panes::{Part, split};
use super::reading::{Reading, times};
use super::{LOST, PANE, PLAN_FP, RULE, limit, row};
use crate::metrics;
use crate::rules::{Compiled, Plan, RowPlan, RuleSet, Source, Windowed};
use crate::stage::Topics;

/// A chunk ends at this many bytes of messages, so that memory is bounded whatever time does.
const CHUNK_BYTES_MAX: usize = 4 << 20;

pub struct Rollup {
    rules: Arc<RuleSet>,
    topics: Arc<Topics>,
    source: Source,
    reading: Arc<Reading>,
    /// The watermark that was said: what is late is judged by it.
    said_ms: Option<i64>,
    held: Vec<Held>,
    bytes: usize,
    /// Most bytes of a message that the log takes.
    message_bytes_max: usize,
}

/// A message that waits for its chunk's end.
struct Held {
    batch: RecordBatch,
    /// Both kept for late rows, which go on with all their columns.
    payload: Option<Bytes>,
    meta: Meta,
}

/// A chunk's rows with their times by one column, split by the panes of one length.
type Panes = BTreeMap<(String, i64), BTreeMap<i64, Vec<Part>>>;

// === impl Rollup ===

impl Rollup {
    pub fn new(
        rules: Arc<RuleSet>,
        topics: Arc<Topics>,
        source: Source,
        reading: Arc<Reading>,
    ) -> Rollup {
        let message_bytes_max = LimitsConfig::default().bytes_max;
        let (said_ms, held, bytes) = (None, Vec::new(), 0);
        Rollup { rules, topics, source, reading, said_ms, held, bytes, message_bytes_max }
    }

    /// With the log's own limit of a message.
    pub fn with_message_bytes_max(mut self, bytes: usize) -> Rollup {
        self.message_bytes_max = bytes;
        self
    }

    fn hold(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        if input.is_heartbeat() {
            return Ok(());
        }
        let batch = self.reading.read(input)?;
        let payload = input.record.payload.clone();
        self.bytes += payload.as_ref().map_or(0, Bytes::len);
        self.held.push(Held { batch, payload, meta: input.meta.clone() });
        Ok(())
    }

    fn is_full(&self, least_ms: Option<i64>) -> bool {
        let second = |ms: i64| ms.div_euclid(1000);
        let new_second = least_ms.map(second) > self.said_ms.map(second);
        let by_message = self.source == Source::Events && !self.held.is_empty();
        new_second || by_message || self.bytes >= CHUNK_BYTES_MAX
    }

    /// Ends the chunk: partials, late rows and evidence, then the watermark.
    fn close(&mut self, least_ms: Option<i64>, out: &mut Outputs) {
        let held = std::mem::take(&mut self.held);
        self.bytes = 0;
        if !held.is_empty() {
            self.run(&held, out);
        }
        if let Some(least) = least_ms {
            out.advance(least);
            if self.ends_a_window(least) {
                out.soon();
            }
            self.said_ms = self.said_ms.max(Some(least));
        }
    }

    /// Whether a window that was open at the last watermark closes at this one: models wait.
    fn ends_a_window(&self, least_ms: i64) -> bool {
        let Some(said_ms) = self.said_ms else {
            return false;
        };
        let mut windows = self.rules.of(self.source).filter_map(Compiled::windowed);
        windows.any(|windowed| {
            let window = &windowed.window;
            let closed = |ms: i64| (ms - window.closes_at(0)).div_euclid(window.every_ms);
            closed(least_ms) > closed(said_ms)
        })
    }

    fn run(&self, held: &[Held], out: &mut Outputs) {
        let mut misses = Misses::default();
        let panes = self.panes(held, out);
        let newest = held.iter().flat_map(|held| times(&held.batch, "received").0).max();
        let rows: usize = held.iter().map(|held| held.batch.num_rows()).sum();
        for rule in self.rules.of(self.source) {
            out.count(metrics::ROLLUP_ROWS_IN, &[("rule", &rule.name)], rows as u64);
            match &rule.plan {
                Plan::Windowed(windowed) => {
                    let key = (windowed.window.on.clone(), windowed.window.pane_ms);
                    let parts = panes.get(&key);
                    for (&pane_ms, parts) in parts.into_iter().flatten() {
                        let pane = PaneOf { rule, windowed, pane_ms, newest: newest.unwrap_or(0) };
                        self.pane(&pane, parts, &mut misses, out);
                    }
                }
                Plan::Row(plan) => self.rows(rule, plan, held, &mut misses, out),
            }
        }
        misses.send(|message| (whole(&held[message]), held[message].meta.clone()), out);
    }

    fn panes(&self, held: &[Held], out: &mut Outputs) -> Panes {
        let mut panes = Panes::new();
        for windowed in self.rules.of(self.source).filter_map(Compiled::windowed) {
            let window = &windowed.window;
            let key = (window.on.clone(), window.pane_ms);
            if panes.contains_key(&key) {
                continue;
            }
            let mut ahead = 0;
            let mut timed = |held: &Held| {
                let (times, wrong) = times(&held.batch, &window.on);
                ahead += wrong;
                (held.batch.clone(), times)
            };
            let messages: Vec<_> = held.iter().map(&mut timed).collect();
            let split = split(&messages, window).expect("rows are taken by indices of their batch");
            panes.insert(key, split);
            let labels = [("topic", self.source.as_str())];
            out.count(metrics::ROLLUP_ROWS_FUTURE, &labels, ahead);
        }
        panes
    }

    fn pane(&self, pane: &PaneOf<'_>, parts: &[Part], misses: &mut Misses, out: &mut Outputs) {
        let labels = [("rule", pane.rule.name.as_str())];
        let rows: u64 = parts.iter().map(|part| part.batch.num_rows() as u64).sum();
        let is_late = |said| pane.windowed.window.is_late(pane.pane_ms, said);
        if self.said_ms.is_some_and(is_late) {
            for part in parts {
                misses.add(Missed::Late, &pane.rule.name, part.message, &part.rows.to_vec());
            }
            out.count(metrics::ROLLUP_ROWS_LATE, &labels, rows);
            return;
        }
        match self.partial(pane, parts) {
            Ok(state) => {
                out.count(metrics::ROLLUP_ROWS_OUT, &labels, rows);
                self.send(pane, state, out);
            }
            Err(_) if parts.len() > 1 => {
                // One row fails the whole chunk's query: find its message, keep the others.
                for part in parts {
                    self.pane(pane, std::slice::from_ref(part), misses, out);
                }
            }
            Err(_) => {
                for part in parts {
                    misses.add(Missed::Query, &pane.rule.name, part.message, &part.rows.to_vec());
                }
                out.count(metrics::ROLLUP_ROWS_DROPPED, &labels, rows);
            }
        }
    }

    fn partial(&self, pane: &PaneOf<'_>, parts: &[Part]) -> Result<RecordBatch, SqlError> {
        let columns = self.reading.projection(pane.rule);
        let project = |part: &Part| {
            part.batch.project(&columns).map_err(|error| SqlError::Source(error.to_string()))
        };
        let chunk = parts.iter().map(project).collect::<Result<Vec<_>, _>>()?;
        pane.windowed.cut.partial_projected(&chunk)
    }

    /// A pane's state rows, each to the partition of its shard. Of a row that no message can carry
    /// its group goes there, so that score knows what is missing, and the row to the dead letters.
    fn send(&self, pane: &PaneOf<'_>, state: RecordBatch, out: &mut Outputs) {
        let labels = [("rule", pane.rule.name.as_str())];
        let BySize { fits, over } = by_size(state, self.message_bytes_max);
        out.count(metrics::ROLLUP_STATES, &labels, fits.num_rows() as u64);
        self.send_to_shards(pane, &fits, &[], out);
        for (row, bytes) in over {
            out.count(metrics::ROLLUP_STATES_REFUSED, &labels, 1);
            let groups: Vec<usize> = (0..pane.windowed.cut.group_columns()).collect();
            let group = row.project(&groups).expect("group columns come first");
            let lost = (LOST.to_owned(), ROW_TOO_LARGE.to_owned());
            self.send_to_shards(pane, &group, &[lost], out);
            let named = group.schema();
            let names = named.fields().iter().map(|field| field.name().as_str());
            let key = KeyColumns::new(names.zip(group.columns())).text(0);
            let reason = format!(
                "the state of rule {}, pane {}, {key} has {bytes} bytes, a message at most {}",
                pane.rule.name, pane.pane_ms, self.message_bytes_max
            );
            let out_row = self.partial_of(pane, row, Place::Fixed(0), &[]);
            out.dead(Dead { out: out_row, kind: ROW_TOO_LARGE, reason });
        }
    }

    fn send_to_shards(
        &self,
        pane: &PaneOf<'_>,
        state: &RecordBatch,
        headers: &[(String, String)],
        out: &mut Outputs,
    ) {
        let shard = &pane.windowed.shard;
        for (place, batch) in limit::by_shard(state, shard, self.topics.partitions) {
            out.send(self.partial_of(pane, batch, place, headers));
        }
    }

    fn partial_of(
        &self,
        pane: &PaneOf<'_>,
        batch: RecordBatch,
        place: Place,
        headers: &[(String, String)],
    ) -> Out {
        let PaneOf { rule, pane_ms, newest, .. } = pane;
        let own = vec![
            (RULE.to_owned(), rule.name.clone()),
            (PLAN_FP.to_owned(), rule.plan_fp.clone()),
            (PANE.to_owned(), pane_ms.to_string()),
        ];
        Out {
            topic: self.topics.partials.clone(),
            schema: "partials/1".to_owned(),
            schema_fp: schema::fingerprint(&batch.schema()),
            batch,
            place,
            key: None,
            min_ts_ms: *pane_ms,
            max_ts_ms: *newest,
            headers: own.into_iter().chain(headers.iter().cloned()).collect(),
            urgent: false,
        }
    }

    fn rows(
        &self,
        rule: &Compiled,
        plan: &RowPlan,
        held: &[Held],
        misses: &mut Misses,
        out: &mut Outputs,
    ) {
        let labels = [("rule", rule.name.as_str())];
        let not_before_ms = self.said_ms.unwrap_or(i64::MIN);
        for (message, held) in held.iter().enumerate() {
            let rows = held.batch.num_rows();
            match row::anomalies(rule, plan, &held.batch, not_before_ms) {
                Ok(anomalies) => {
                    out.count(metrics::ROLLUP_ROWS_OUT, &labels, rows as u64);
                    out.count(metrics::ROLLUP_ANOMALIES, &labels, anomalies.len() as u64);
                    send_anomalies(&self.topics, &anomalies, out);
                }
                Err(_) => {
                    let all: Vec<u32> = (0..rows as u32).collect();
                    misses.add(Missed::Query, &rule.name, message, &all);
                    out.count(metrics::ROLLUP_ROWS_DROPPED, &labels, rows as u64);
                }
            }
        }
    }
}

/// A rule's pane in this chunk.
struct PaneOf<'a> {
    rule: &'a Compiled,
    windowed: &'a Windowed,
    pane_ms: i64,
    /// The largest receive time of the chunk.
    newest: i64,
}

/// All columns of a message; what was read of it where it cannot be read again.
fn whole(held: &Held) -> RecordBatch {
    let limits = model::ipc::Limits::default();
    let decode = |payload: &Bytes| model::ipc::decode(payload, limits).ok();
    held.payload.as_ref().and_then(decode).unwrap_or_else(|| held.batch.clone())
}

/// Anomalies as evidence of their domains.
pub fn send_anomalies(topics: &Topics, anomalies: &[Anomaly], out: &mut Outputs) {
    let times = || anomalies.iter().map(|anomaly| anomaly.time_ms);
    let (Some(min_ts_ms), Some(max_ts_ms)) = (times().min(), times().max()) else {
        return;
    };
    let batch = Anomaly::to_batch(anomalies).expect("rows of the schema make a batch of it");
    out.send(Out {
        topic: topics.evidence.clone(),
        schema: schema::anomalies().header(),
        schema_fp: schema::anomalies().fingerprint.clone(),
        batch,
        place: Place::ByColumn("domain".to_owned()),
        key: None,
        min_ts_ms,
        max_ts_ms,
        headers: Vec::new(),
        urgent: true,
    });
}

impl Engine for Rollup {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        self.hold(input)?;
        let least_ms = input.watermarks.least();
        if self.is_full(least_ms) {
            self.close(least_ms, out);
        }
        Ok(())
    }

    fn at_boundary(&self) -> bool {
        self.held.is_empty()
    }

    fn trial(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        self.hold(input)?;
        self.close(input.watermarks.least(), &mut Outputs::default());
        Ok(())
    }

    fn note(&self) -> Option<String> {
        Some(self.said_ms.map_or_else(String::new, |ms| ms.to_string()))
    }

    fn restore_note(&mut self, note: &str) -> Result<(), RestoreError> {
        self.said_ms = match note {
            "" => None,
            ms => Some(ms.parse().map_err(|_| RestoreError(format!("not a watermark: {ms:?}")))?),
        };
        Ok(())
    }
}
