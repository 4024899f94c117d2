//! Three small stages behind each other, shaped like the real ones: `roll` works in chunks and
//! keeps a note, `score` keeps windows in snapshots, `case` releases rows by time and keeps counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bus::TaskId;
use bytes::Bytes;
use runtime::task::{
    BadMessage, Block, Engine, Input, InputSpec, Out, Outputs, Place, RestoreError, SourceTasks,
    Stage, WriterPolicy,
};

/// A value on which `roll` panics.
pub const PANICS: i64 = -666;
/// What it says then.
pub const DISLIKES: &str = "the toy does not like";

/// A row of every topic: key, value, time in ms.
pub type Row = (String, i64, i64);

const WINDOW_MS: i64 = 5_000;

pub fn batch(rows: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, false),
        Field::new("at", DataType::Int64, false),
    ]);
    let keys = StringArray::from_iter_values(rows.iter().map(|r| r.0.as_str()));
    let values = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    let times = Int64Array::from_iter_values(rows.iter().map(|r| r.2));
    let columns = vec![Arc::new(keys) as _, Arc::new(values) as _, Arc::new(times) as _];
    RecordBatch::try_new(Arc::new(schema), columns).expect("the columns fit the schema")
}

pub fn rows(batch: &RecordBatch) -> Result<Vec<Row>, BadMessage> {
    let bad = || BadMessage::new("schema", "not a toy's");
    let column = |name| batch.column_by_name(name).ok_or_else(bad);
    let keys = column("key")?.as_string_opt::<i32>().ok_or_else(bad)?;
    let values = column("value")?.as_primitive_opt::<Int64Type>().ok_or_else(bad)?;
    let times = column("at")?.as_primitive_opt::<Int64Type>().ok_or_else(bad)?;
    let row = |i| (keys.value(i).to_owned(), values.value(i), times.value(i));
    Ok((0..batch.num_rows()).map(row).collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Roll,
    Score,
    Case,
}

/// One stage of the three, with the prefix of its topics.
#[derive(Clone, Debug)]
pub struct ToyStage {
    pub kind: Kind,
    pub prefix: String,
}

#[derive(Default)]
struct State {
    /// (window, key) to sum: the rows of an open chunk, of open windows, or not yet released.
    sums: BTreeMap<(i64, String), i64>,
    /// Per key, how many rows `case` has released.
    counts: BTreeMap<String, i64>,
    passed_ms: i64,
}

pub struct Toy {
    kind: Kind,
    topic: String,
    state: State,
    /// Rows of the chunk that is open, and whether it is.
    chunk: Vec<Row>,
    open: bool,
}

// === impl Toy ===

impl Toy {
    fn roll(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            self.chunk.extend(rows(&input.batch()?)?);
        }
        self.open = true;
        let wm = input.watermarks.least().unwrap_or(0);
        if wm.div_euclid(1_000) > self.state.passed_ms.div_euclid(1_000) {
            self.end_chunk(wm, out);
        }
        Ok(())
    }

    fn end_chunk(&mut self, wm: i64, out: &mut Outputs) {
        let mut sums: BTreeMap<(i64, String), i64> = BTreeMap::new();
        for (key, value, at) in std::mem::take(&mut self.chunk) {
            assert!(value != PANICS, "{DISLIKES} {PANICS}");
            *sums.entry((at - at.rem_euclid(WINDOW_MS), key)).or_default() += value;
        }
        let partials: Vec<Row> = sums.into_iter().map(|((w, key), sum)| (key, sum, w)).collect();
        self.send(&partials, wm, Place::ByColumn("key".to_owned()), out);
        out.count("gannet_task_toys_total", &[], partials.len() as u64);
        self.pass(wm, out);
        self.open = false;
    }

    fn score(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            for (key, value, window) in rows(&input.batch()?)? {
                *self.state.sums.entry((window, key)).or_default() += value;
            }
        }
        let Some(wm) = input.watermarks.least() else {
            return Ok(());
        };
        // A row of a window that ends at this very time was sent before the watermark.
        while let Some(((window, _), _)) = self.state.sums.first_key_value() {
            let window = *window;
            if window + WINDOW_MS > wm {
                break;
            }
            let rest = self.state.sums.split_off(&(window + 1, String::new()));
            let closed = std::mem::replace(&mut self.state.sums, rest);
            let points: Vec<Row> = closed.into_iter().map(|((w, k), sum)| (k, sum, w)).collect();
            self.send(&points, window + WINDOW_MS, Place::Fixed(0), out);
        }
        self.pass(wm, out);
        Ok(())
    }

    fn case(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            for (key, value, window) in rows(&input.batch()?)? {
                *self.state.sums.entry((window, key)).or_default() += value;
            }
        }
        let Some(wm) = input.watermarks.least() else {
            return Ok(());
        };
        while let Some(((window, key), value)) = self.state.sums.pop_first() {
            if window + WINDOW_MS > wm {
                self.state.sums.insert((window, key), value);
                break;
            }
            let count = self.state.counts.entry(key.clone()).or_default();
            *count += value;
            let row = (key, *count, window);
            self.send(&[row], window + WINDOW_MS, Place::ByColumn("key".to_owned()), out);
        }
        self.pass(wm, out);
        Ok(())
    }

    fn send(&self, rows: &[Row], at: i64, place: Place, out: &mut Outputs) {
        out.send(Out {
            topic: self.topic.clone(),
            schema: "toy/1".to_owned(),
            schema_fp: "00".to_owned(),
            batch: batch(rows),
            place,
            key: None,
            min_ts_ms: at,
            max_ts_ms: at,
            headers: vec![("toy".to_owned(), format!("{:?}", self.kind))],
            urgent: self.kind == Kind::Score,
        });
    }

    fn pass(&mut self, wm: i64, out: &mut Outputs) {
        self.state.passed_ms = self.state.passed_ms.max(wm);
        out.advance(wm);
    }
}

impl Engine for Toy {
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        match self.kind {
            Kind::Roll => self.roll(input, out),
            Kind::Score => self.score(input, out),
            Kind::Case => self.case(input, out),
        }
    }

    fn at_boundary(&self) -> bool {
        !self.open
    }

    fn trial(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        if !input.is_heartbeat() {
            self.chunk = rows(&input.batch()?)?;
        }
        self.end_chunk(0, &mut Outputs::default());
        Ok(())
    }

    fn snapshot(&self) -> Vec<Block> {
        let State { sums, counts, passed_ms } = &self.state;
        let sums: Vec<_> = sums.iter().collect();
        let block = |name: &str, data: Result<Vec<u8>, serde_json::Error>| Block {
            name: name.to_owned(),
            data: Bytes::from(data.expect("numbers and strings are JSON")),
        };
        vec![
            block("passed", serde_json::to_vec(passed_ms)),
            block("sums", serde_json::to_vec(&sums)),
            block("counts", serde_json::to_vec(counts)),
        ]
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        let bad = |e: serde_json::Error| RestoreError(e.to_string());
        for Block { name, data } in blocks {
            match name.as_str() {
                "passed" => self.state.passed_ms = serde_json::from_slice(data).map_err(bad)?,
                "sums" => {
                    let sums: Vec<((i64, String), i64)> =
                        serde_json::from_slice(data).map_err(bad)?;
                    self.state.sums = sums.into_iter().collect();
                }
                "counts" => self.state.counts = serde_json::from_slice(data).map_err(bad)?,
                other => return Err(RestoreError(format!("unexpected block {other}"))),
            }
        }
        Ok(())
    }

    fn note(&self) -> Option<String> {
        (self.kind == Kind::Roll).then(|| self.state.passed_ms.to_string())
    }

    fn restore_note(&mut self, note: &str) -> Result<(), RestoreError> {
        let parsed = note.parse();
        self.state.passed_ms = parsed.map_err(|_| RestoreError(format!("not a time: {note}")))?;
        Ok(())
    }
}

// === impl ToyStage ===

impl ToyStage {
    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Stage for ToyStage {
    type Engine = Toy;

    fn name(&self) -> &str {
        match self.kind {
            Kind::Roll => "roll",
            Kind::Score => "score",
            Kind::Case => "case",
        }
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let tasks = |stage: &str, topic: &str| WriterPolicy::Tasks {
            expected: vec![SourceTasks { stage: stage.to_owned(), topic: self.topic(topic) }],
        };
        let (topic, writers) = match self.kind {
            Kind::Roll => {
                ("flows", WriterPolicy::Instances { left_out_after: 10, grace_ms: 1_000 })
            }
            Kind::Score => ("partials", tasks("roll", "flows")),
            Kind::Case => ("evidence", tasks("score", "partials")),
        };
        vec![InputSpec { topic: self.topic(topic), writers }]
    }

    fn outputs(&self) -> Vec<String> {
        vec![match self.kind {
            Kind::Roll => self.topic("partials"),
            Kind::Score => self.topic("evidence"),
            Kind::Case => self.topic("incidents"),
        }]
    }

    fn engine(&self, _: &TaskId) -> Toy {
        let topic = self.outputs().remove(0);
        Toy { kind: self.kind, topic, state: State::default(), chunk: Vec::new(), open: false }
    }

    fn snapshots(&self) -> bool {
        self.kind != Kind::Roll
    }

    fn config_fp(&self) -> &str {
        "toy-config"
    }
}
