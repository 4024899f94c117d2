//! An engine that sums values per key and window, and a stage of it. Some values misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bus::TaskId;
use bytes::Bytes;

use crate::task::{
    BadMessage, Block, Dead, Engine, Input, InputSpec, Late, Out, Outputs, Place, ROW_TOO_LARGE,
    RestoreError, Stage, WriterPolicy,
};

/// A value on which the engine panics.
pub const PANICS: i64 = 666;
/// A value whose output no message can carry.
pub const TOO_LARGE: i64 = 668;
/// A value that the engine refuses.
pub const REFUSED: i64 = 667;
/// A value that somebody waits for.
pub const SOON: i64 = 669;

const WINDOW_MS: i64 = 2_000;

/// What kind of engine: one message at a time with snapshots, or chunks with a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Snapshots,
    Chunks,
}

pub fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, false),
        Field::new("at", DataType::Int64, false),
    ]);
    let keys = StringArray::from_iter_values(rows.iter().map(|r| r.0));
    let values = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    let times = Int64Array::from_iter_values(rows.iter().map(|r| r.2));
    let columns = vec![Arc::new(keys) as _, Arc::new(values) as _, Arc::new(times) as _];
    RecordBatch::try_new(Arc::new(schema), columns).expect("the columns fit")
}

pub fn rows(batch: &RecordBatch) -> Vec<(String, i64, i64)> {
    let keys = batch.column(0).as_string::<i32>();
    let values = batch.column(1).as_primitive::<Int64Type>();
    let times = batch.column(2).as_primitive::<Int64Type>();
    let row = |i| (keys.value(i).to_owned(), values.value(i), times.value(i));
    (0..batch.num_rows()).map(row).collect()
}

pub struct Toy {
    kind: Kind,
    /// Open windows: (start, key) to sum.
    sums: BTreeMap<(i64, String), i64>,
    closed_ms: i64,
    /// Rows of the chunk that is open, and whether it is.
    chunk: Vec<(String, i64, i64)>,
    open: bool,
}

// === impl Toy ===

impl Toy {
    fn add(&mut self, rows: Vec<(String, i64, i64)>, input: &Input<'_>, out: &mut Outputs) {
        let mut late = Vec::new();
        for (key, value, at) in rows {
            assert!(value != PANICS, "the toy does not like {PANICS}");
            let window = at - at.rem_euclid(WINDOW_MS);
            if window + WINDOW_MS <= self.closed_ms {
                late.push((key, value, at));
            } else {
                *self.sums.entry((window, key)).or_default() += value;
            }
        }
        let late: Vec<(&str, i64, i64)> = late.iter().map(|r| (r.0.as_str(), r.1, r.2)).collect();
        let (batch, meta) = (batch(&late), input.meta.clone());
        out.late(Late { batch, meta, rules: vec!["toy".to_owned()], reason: "closed" });
        if let Some(wm) = input.watermarks.least() {
            self.close(wm, out);
        }
    }

    fn close(&mut self, wm: i64, out: &mut Outputs) {
        let is_closed = |window: &i64| window + WINDOW_MS <= wm;
        let closed: Vec<((i64, String), i64)> = self
            .sums
            .iter()
            .filter(|((w, _), _)| is_closed(w))
            .map(|(k, v)| (k.clone(), *v))
            .collect();
        for ((window, key), sum) in closed {
            self.sums.remove(&(window, key.clone()));
            out.count("gannet_task_toys_total", &[], 1);
            let made = Out {
                topic: "out".to_owned(),
                schema: "toy/1".to_owned(),
                schema_fp: "00".to_owned(),
                batch: batch(&[(&key, sum, window)]),
                place: Place::ByColumn("key".to_owned()),
                key: None,
                min_ts_ms: window,
                max_ts_ms: window,
                headers: Vec::new(),
                urgent: false,
            };
            match sum {
                TOO_LARGE => {
                    out.dead(Dead { out: made, kind: ROW_TOO_LARGE, reason: "too large".into() });
                }
                _ => out.send(made),
            }
        }
        self.closed_ms = self.closed_ms.max(wm);
        out.advance(wm);
    }
}

impl Engine for Toy {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        let rows = if input.is_heartbeat() { Vec::new() } else { rows(&input.batch()?) };
        if rows.iter().any(|row| row.1 == REFUSED) {
            return Err(BadMessage::new("value", REFUSED));
        }
        if rows.iter().any(|row| row.1 == SOON) {
            out.soon();
        }
        if self.kind == Kind::Snapshots {
            self.add(rows, input, out);
            return Ok(());
        }
        self.chunk.extend(rows);
        self.open = true;
        // A chunk ends where time enters a new second.
        let wm = input.watermarks.least().unwrap_or(0);
        if wm.div_euclid(1_000) > self.closed_ms.div_euclid(1_000) {
            let chunk = std::mem::take(&mut self.chunk);
            self.add(chunk, input, out);
            self.open = false;
        }
        Ok(())
    }

    fn at_boundary(&self) -> bool {
        !self.open
    }

    fn trial(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        let rows = if input.is_heartbeat() { Vec::new() } else { rows(&input.batch()?) };
        self.add(rows, input, &mut Outputs::default());
        Ok(())
    }

    fn snapshot(&self) -> Vec<Block> {
        let mut windows: BTreeMap<i64, Vec<(&str, i64)>> = BTreeMap::new();
        for ((window, key), sum) in &self.sums {
            windows.entry(*window).or_default().push((key, *sum));
        }
        let time = Block { name: "time".to_owned(), data: Bytes::from(self.closed_ms.to_string()) };
        let blocks = windows.iter().map(|(window, sums)| Block {
            name: format!("window-{window}"),
            data: Bytes::from(serde_json::to_vec(sums).expect("it is JSON")),
        });
        std::iter::once(time).chain(blocks).collect()
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        let bad = |e: &dyn std::fmt::Display| RestoreError(e.to_string());
        for block in blocks {
            match block.name.strip_prefix("window-") {
                None => {
                    let text = std::str::from_utf8(&block.data).map_err(|e| bad(&e))?;
                    self.closed_ms = text.parse().map_err(|e| bad(&e))?;
                }
                Some(window) => {
                    let window: i64 = window.parse().map_err(|e| bad(&e))?;
                    let sums: Vec<(String, i64)> =
                        serde_json::from_slice(&block.data).map_err(|e| bad(&e))?;
                    self.sums.extend(sums.into_iter().map(|(key, sum)| ((window, key), sum)));
                }
            }
        }
        Ok(())
    }

    fn note(&self) -> Option<String> {
        let sums: Vec<(i64, &str, i64)> =
            self.sums.iter().map(|((w, k), v)| (*w, k.as_str(), *v)).collect();
        let note = || serde_json::to_string(&(self.closed_ms, sums)).expect("it is JSON");
        (self.kind == Kind::Chunks).then(note)
    }

    fn restore_note(&mut self, note: &str) -> Result<(), RestoreError> {
        let parsed: Result<(i64, Vec<(i64, String, i64)>), _> = serde_json::from_str(note);
        let (closed_ms, sums) = parsed.map_err(|e| RestoreError(e.to_string()))?;
        self.closed_ms = closed_ms;
        self.sums = sums.into_iter().map(|(w, k, v)| ((w, k), v)).collect();
        Ok(())
    }
}

/// A stage of toys from `in` to `out`.
#[derive(Clone)]
pub struct ToyStage(pub Kind);

impl Stage for ToyStage {
    type Engine = Toy;

    fn name(&self) -> &str {
        "toy"
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let writers = WriterPolicy::Instances { left_out_after: 10, grace_ms: 0 };
        vec![InputSpec { topic: "in".to_owned(), writers }]
    }

    fn outputs(&self) -> Vec<String> {
        vec!["out".to_owned()]
    }

    fn engine(&self, _: &TaskId) -> Toy {
        let kind = self.0;
        Toy { kind, sums: BTreeMap::new(), closed_ms: 0, chunk: Vec::new(), open: false }
    }

    fn snapshots(&self) -> bool {
        self.0 == Kind::Snapshots
    }

    fn config_fp(&self) -> &str {
        "cfg"
    }
}
