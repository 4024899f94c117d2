//! Reading partitions of the embedded log from given offsets. Whole fetches are taken from the
//! store and handed out one by one, the partitions in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::TopicState;
use super::store::{self, FetchSize, signed};
use super::writer::Core;
use crate::log::{LogError, ReadEvent, Reader};
use crate::record::Record;

/// What one fetch takes: enough to keep the store's part small, little enough for many readers.
pub const FETCH: FetchSize = FetchSize { bytes: 1 << 20, records: 500 };

pub struct EmbeddedReader {
    core: Arc<Core>,
    parts: Vec<Assigned>,
    buffer: VecDeque<Record>,
    /// Whose turn it is.
    turn: usize,
}

struct Assigned {
    topic: Arc<TopicState>,
    partition: u32,
    next: u64,
    /// The end at which `End` was said last.
    told: Option<u64>,
}

// === impl EmbeddedReader ===

impl EmbeddedReader {
    pub fn new(core: &Arc<Core>) -> EmbeddedReader {
        let (parts, buffer) = (Vec::new(), VecDeque::new());
        EmbeddedReader { core: Arc::clone(core), parts, buffer, turn: 0 }
    }

    /// What is to say without waiting, if there is anything.
    fn ready(&mut self) -> Result<Option<ReadEvent>, LogError> {
        if let Some(record) = self.buffer.pop_front() {
            return Ok(Some(ReadEvent::Record(record)));
        }
        for _ in 0..self.parts.len() {
            self.turn = (self.turn + 1) % self.parts.len();
            let part = &mut self.parts[self.turn];
            if let Some(event) = part.fetch(&self.core, &mut self.buffer)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn idle(&self, state: &super::shared::State) -> bool {
        self.parts.iter().all(|part| {
            let end = state.end(part.topic.topic.number, part.partition);
            end == Some(part.next) && part.told == end
        })
    }
}

impl Reader for EmbeddedReader {
    fn assign(&mut self, from: &[(String, u32, i64)]) -> Result<(), LogError> {
        let state = self.core.shared.state();
        let mut parts = Vec::with_capacity(from.len());
        for (name, partition, offset) in from {
            let (topic, part) = state.part(name, *partition)?;
            let next = check_offset(name, *partition, *offset, part)?;
            parts.push(Assigned { topic, partition: *partition, next, told: None });
        }
        drop(state);
        self.parts = parts;
        self.buffer.clear();
        self.turn = 0;
        Ok(())
    }

    fn poll(&mut self, timeout: Duration) -> Result<ReadEvent, LogError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.ready()? {
                return Ok(event);
            }
            let shared = &self.core.shared;
            let mut state = shared.state();
            while self.idle(&state) {
                if Instant::now() >= deadline {
                    return Ok(ReadEvent::Idle);
                }
                state = shared.wait(state, deadline);
            }
        }
    }

    fn range(&mut self, topic: &str, partition: u32) -> Result<(i64, i64), LogError> {
        let state = self.core.shared.state();
        let (_, part) = state.part(topic, partition)?;
        Ok((signed(part.start), signed(part.end)))
    }

    fn offset_at(
        &mut self,
        topic: &str,
        partition: u32,
        timestamp_ms: i64,
    ) -> Result<i64, LogError> {
        let (number, part) = {
            let state = self.core.shared.state();
            let (topic, part) = state.part(topic, partition)?;
            (topic.topic.number, part.clone())
        };
        let found = store::offset_at(&self.core.shared.db, number, partition, &part, timestamp_ms);
        found.map(signed).map_err(|e| LogError::call("offset_at", e))
    }
}

// === impl Assigned ===

impl Assigned {
    /// Takes records into an empty buffer; the first of them, or the news that there are none.
    fn fetch(
        &mut self,
        core: &Core,
        buffer: &mut VecDeque<Record>,
    ) -> Result<Option<ReadEvent>, LogError> {
        let (number, name) = (self.topic.topic.number, &self.topic.topic.name);
        let (start, end) = match core.shared.state().parts.get(&(number, self.partition)) {
            Some(part) => (part.start, part.end),
            None => return Err(LogError::NoTopic(name.to_string())),
        };
        if self.next < start {
            return Err(truncated(name, self.partition, self.next, start));
        }
        if self.next < end {
            let db = &core.shared.db;
            let found = store::fetch(db, &self.topic.topic, self.partition, self.next, FETCH)?;
            // Nothing up to the end: the rest was compacted away.
            self.next = found.last().map_or(end, |record| record.offset as u64 + 1);
            buffer.extend(found);
            if let Some(record) = buffer.pop_front() {
                return Ok(Some(ReadEvent::Record(record)));
            }
        }
        if self.told == Some(end) {
            return Ok(None);
        }
        self.told = Some(end);
        let (topic, next) = (Arc::clone(name), signed(end));
        Ok(Some(ReadEvent::End { topic, partition: self.partition, next }))
    }
}

/// An offset that can be read from: not below the start, not past the end.
pub fn check_offset(
    topic: &str,
    partition: u32,
    offset: i64,
    part: &store::Part,
) -> Result<u64, LogError> {
    match u64::try_from(offset) {
        Ok(wanted) if (part.start..=part.end).contains(&wanted) => Ok(wanted),
        Ok(wanted) if wanted > part.end => Err(LogError::Call {
            call: "start",
            reason: format!(
                "offset {offset} of {topic}/{partition} is past its end at {}",
                part.end
            ),
        }),
        _ => Err(LogError::Truncated {
            topic: topic.to_owned(),
            partition,
            wanted: offset,
            start: signed(part.start),
        }),
    }
}

pub fn truncated(topic: &str, partition: u32, wanted: u64, start: u64) -> LogError {
    let (wanted, start) = (signed(wanted), signed(start));
    LogError::Truncated { topic: topic.to_owned(), partition, wanted, start }
}
