//! Rollup and score in miniature: instances that plan on their own, states as messages of Arrow
//! IPC, arrival in any order between source partitions, groups spread over score tasks, and the
//! order rule of DESIGN §5.

use std::collections::BTreeMap;
use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sql::CutPlan;

use super::Mutation;
use super::data::Log;

pub struct Cluster<'a> {
    pub sql: &'a str,
    pub instances: usize,
    pub seed: u64,
    pub mutation: Option<Mutation>,
}

/// A message on the partials topic.
#[derive(Clone)]
struct Message {
    source: usize,
    task: usize,
    ipc: Vec<u8>,
}

impl Cluster<'_> {
    pub fn run(&self, log: &Log, schema: SchemaRef) -> Result<RecordBatch> {
        let plan = || super::plan(self.sql, schema.clone(), self.mutation).context("plan");
        let rollups = (0..self.instances).map(|_| plan()).collect::<Result<Vec<_>>>()?;
        let scores = (0..self.instances).map(|_| plan()).collect::<Result<Vec<_>>>()?;
        let same = rollups.iter().all(|p| p.fingerprint() == scores[0].fingerprint());
        ensure!(same, "one SQL, two fingerprints");
        let mut queues = vec![];
        for (source, chunks) in log.iter().enumerate() {
            queues.push(self.rollup(&rollups[source % self.instances], source, chunks)?);
        }
        let arrived = self.shuffled(queues);
        let mut results = vec![];
        for (task, score) in scores.iter().enumerate() {
            let mine = arrived.iter().filter(|m| m.task == task);
            if let Some(result) = finish(score, mine)? {
                results.push(result);
            }
        }
        let schema = scores[0].output_schema();
        Ok(concat_batches(&schema, &results)?)
    }

    fn rollup(
        &self,
        plan: &CutPlan,
        source: usize,
        chunks: &[Vec<RecordBatch>],
    ) -> Result<Vec<Message>> {
        let mut messages = vec![];
        for chunk in chunks {
            let state = plan.partial(chunk)?;
            for (task, part) in sharded(plan, &state, self.instances)? {
                messages.push(Message { source, task, ipc: written(&part)? });
            }
        }
        if self.mutation == Some(Mutation::StateTwice)
            && let Some(first) = messages.first().cloned()
        {
            messages.insert(0, first);
        }
        Ok(messages)
    }

    /// Each queue in its order, the queues interleaved at random.
    fn shuffled(&self, queues: Vec<Vec<Message>>) -> Vec<Message> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut queues: Vec<_> = queues.into_iter().map(|q| q.into_iter().peekable()).collect();
        let mut arrived = vec![];
        while !queues.is_empty() {
            let at = rng.random_range(0..queues.len());
            match queues[at].next() {
                Some(message) => arrived.push(message),
                None => drop(queues.swap_remove(at)),
            }
        }
        arrived
    }
}

/// One accumulator where merging is exact, else one per source partition, merged in its order.
fn finish<'a>(
    plan: &CutPlan,
    messages: impl Iterator<Item = &'a Message>,
) -> Result<Option<RecordBatch>> {
    let mut held: BTreeMap<usize, RecordBatch> = BTreeMap::new();
    for message in messages {
        let state = read(&message.ipc)?;
        let slot = if plan.exact_merge() { 0 } else { message.source };
        let merged = match held.remove(&slot) {
            Some(before) => plan.merge(&[before, state])?,
            None => plan.merge(&[state])?,
        };
        held.insert(slot, merged);
    }
    if held.is_empty() {
        return Ok(None);
    }
    let states: Vec<RecordBatch> = held.into_values().collect();
    Ok(Some(plan.finish(&states)?))
}

/// State rows by the score task that their group belongs to; without groups all go to the first.
fn sharded(plan: &CutPlan, state: &RecordBatch, tasks: usize) -> Result<Vec<(usize, RecordBatch)>> {
    let keys = &state.columns()[..plan.group_columns()];
    if keys.is_empty() || tasks == 1 {
        return Ok(vec![(0, state.clone())]);
    }
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(keys)?;
    let task_of = |row: usize| {
        let bytes = rows.row(row);
        let sum = bytes.as_ref().iter().fold(7u64, |h, b| h.wrapping_mul(31) ^ u64::from(*b));
        (sum % tasks as u64) as usize
    };
    let mut shards: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for row in 0..state.num_rows() {
        shards.entry(task_of(row)).or_default().push(row as u32);
    }
    let taken = shards
        .into_iter()
        .map(|(task, rows)| Ok((task, take_record_batch(state, &UInt32Array::from(rows))?)));
    taken.collect()
}

fn written(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(vec![], &batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner()?)
}

fn read(ipc: &[u8]) -> Result<RecordBatch> {
    let mut reader = StreamReader::try_new(Cursor::new(ipc), None)?;
    Ok(reader.next().context("a message has one batch")??)
}
