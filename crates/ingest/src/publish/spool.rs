//! Messages that wait while the log is away, in order, bounded, on disk or in memory. On disk they
//! survive the process: what an earlier run left is read first. They are not synced: a power cut
//! may take the last ones, a kill does not.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus::OutRecord;
use bytes::Bytes;

/// A segment is deleted when all of its messages are delivered.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Memory that waiting messages take where no directory is given.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Numbers rise from here; what goes in front of everything gets one below.
const FIRST_NUMBER: u64 = 1 << 30;
/// Longer than any message.
const RECORD_MAX: usize = 4 << 20;

/// Messages in the order in which they came.
#[derive(Debug)]
pub struct Spool {
    directory: Option<PathBuf>,
    bytes_max: u64,
    bytes: u64,
    /// In memory: those of the segment being read, or all where there is no directory.
    ready: VecDeque<(u64, OutRecord)>,
    /// Not read yet, oldest first: number and size.
    segments: VecDeque<(u64, u64)>,
    /// Read and not all delivered: number, size, messages not delivered.
    reading: Vec<(u64, u64, usize)>,
    writing: Option<(u64, File, u64)>,
    next_number: u64,
    /// Bytes at the end of a segment that are no whole message: a kill while it was written.
    pub torn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Kept,
    Full,
}

// === impl Spool ===

impl Spool {
    /// With what an earlier run left in the directory.
    pub fn open(directory: Option<&Path>, bytes_max: u64) -> io::Result<Spool> {
        let mut spool = Spool {
            directory: directory.map(Path::to_owned),
            bytes_max: if directory.is_some() {
                bytes_max
            } else {
                bytes_max.min(MEMORY_BYTES_MAX)
            },
            bytes: 0,
            ready: VecDeque::new(),
            segments: VecDeque::new(),
            reading: Vec::new(),
            writing: None,
            next_number: FIRST_NUMBER,
            torn: 0,
        };
        if let Some(directory) = directory {
            fs::create_dir_all(directory)?;
            spool.find(directory)?;
        }
        Ok(spool)
    }

    fn find(&mut self, directory: &Path) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_suffix(".spool").and_then(|n| n.parse::<u64>().ok());
            if let Some(number) = number {
                found.push((number, entry.metadata()?.len()));
            }
        }
        found.sort_unstable();
        self.next_number = found.last().map_or(FIRST_NUMBER, |(number, _)| number + 1);
        self.bytes = found.iter().map(|(_, size)| size).sum();
        self.segments = found.into();
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.segments.is_empty() && self.writing.is_none()
    }

    /// Bytes that wait, those read but not delivered included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_durable(&self) -> bool {
        self.directory.is_some()
    }

    pub fn push(&mut self, record: &OutRecord) -> io::Result<Pushed> {
        let framed = framed(record);
        let size = framed.len() as u64;
        if self.bytes + size > self.bytes_max {
            return Ok(Pushed::Full);
        }
        let Some(directory) = self.directory.clone() else {
            self.bytes += size;
            self.ready.push_back((u64::MAX, record.clone()));
            return Ok(Pushed::Kept);
        };
        if self.writing.as_ref().is_some_and(|(_, _, written)| *written >= SEGMENT_BYTES) {
            self.close();
        }
        let (number, mut file, written) = match self.writing.take() {
            Some(writing) => writing,
            None => self.create(&directory, self.next_number)?,
        };
        file.write_all(&framed)?;
        self.bytes += size;
        self.writing = Some((number, file, written + size));
        Ok(Pushed::Kept)
    }

    /// For the next run, in front of all that is on disk.
    pub fn put_back(&mut self, records: &[OutRecord]) -> io::Result<()> {
        let Some(directory) = self.directory.clone() else {
            return Ok(());
        };
        self.close();
        let read = self.reading.iter().map(|(number, ..)| *number);
        let least = self.segments.iter().map(|(number, _)| *number).chain(read).min();
        let first = least.unwrap_or(self.next_number).saturating_sub(1);
        let mut file = self.create(&directory, first)?.1;
        for record in records {
            file.write_all(&framed(record))?;
        }
        Ok(())
    }

    fn create(&mut self, directory: &Path, number: u64) -> io::Result<(u64, File, u64)> {
        self.next_number = self.next_number.max(number + 1);
        let path = segment_path(directory, number);
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        Ok((number, file, 0))
    }

    /// What comes next begins a new segment.
    pub fn close(&mut self) {
        if let Some((number, _, written)) = self.writing.take() {
            self.segments.push_back((number, written));
        }
    }

    /// The oldest message, with the token that `delivered` wants. Its bytes are free then.
    pub fn pop(&mut self) -> io::Result<Option<(u64, OutRecord)>> {
        while self.ready.is_empty() {
            if self.segments.is_empty() {
                self.close();
            }
            let (Some((number, size)), Some(directory)) =
                (self.segments.pop_front(), self.directory.clone())
            else {
                return Ok(None);
            };
            self.read(&directory, number, size)?;
        }
        let Some((number, record)) = self.ready.pop_front() else {
            return Ok(None);
        };
        if number == u64::MAX {
            self.bytes = self.bytes.saturating_sub(framed(&record).len() as u64);
        }
        Ok(Some((number, record)))
    }

    /// Shows what waits and was not read yet, in its order, without taking it.
    pub fn each(&self, mut each: impl FnMut(OutRecord)) -> io::Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        for (number, _) in &self.segments {
            let bytes = fs::read(segment_path(directory, *number))?;
            let mut rest = bytes.as_slice();
            while let Some((record, behind)) = next(rest) {
                each(record);
                rest = behind;
            }
        }
        Ok(())
    }

    fn read(&mut self, directory: &Path, number: u64, size: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        File::open(segment_path(directory, number))?.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some((record, behind)) = next(rest) {
            self.ready.push_back((number, record));
            rest = behind;
        }
        self.torn += rest.len() as u64;
        self.reading.push((number, size, self.ready.len()));
        if self.ready.is_empty() {
            self.remove(number);
        }
        Ok(())
    }

    /// A message that `pop` gave is on the log.
    pub fn delivered(&mut self, token: u64) {
        let Some(segment) = self.reading.iter_mut().find(|(number, ..)| *number == token) else {
            return;
        };
        segment.2 -= 1;
        if segment.2 == 0 {
            self.remove(token);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(at) = self.reading.iter().position(|(n, ..)| *n == number) else {
            return;
        };
        let (_, size, _) = self.reading.remove(at);
        self.bytes = self.bytes.saturating_sub(size);
        if let Some(directory) = &self.directory {
            // Left there, it is sent again by the next run under the same names, and recognized.
            let _ = fs::remove_file(segment_path(directory, number));
        }
    }
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.spool"))
}

/// The next message of a segment; `None` where what is left is none.
fn next(bytes: &[u8]) -> Option<(OutRecord, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (digest, rest) = rest.split_first_chunk::<8>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (body, behind) = rest.split_at_checked(len).filter(|_| len <= RECORD_MAX)?;
    if crate::engine::digest(body) != u64::from_le_bytes(*digest) {
        return None;
    }
    Some((decode(body)?, behind))
}

/// Length, digest and message.
fn framed(record: &OutRecord) -> Vec<u8> {
    let body = encode(record);
    let mut framed = Vec::with_capacity(body.len() + 12);
    framed.extend_from_slice(&(body.len() as u32).to_le_bytes());
    framed.extend_from_slice(&crate::engine::digest(&body).to_le_bytes());
    framed.extend_from_slice(&body);
    framed
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&Bytes>) {
    out.push(u8::from(bytes.is_some()));
    put(out, bytes.map_or(&[], |bytes| bytes));
}

fn encode(record: &OutRecord) -> Vec<u8> {
    let payload = record.payload.as_ref().map_or(0, Bytes::len);
    let mut out = Vec::with_capacity(payload + 512);
    put(&mut out, record.topic.as_bytes());
    out.extend_from_slice(&record.partition.to_le_bytes());
    out.extend_from_slice(&record.timestamp_ms.to_le_bytes());
    put_optional(&mut out, record.key.as_ref());
    put_optional(&mut out, record.payload.as_ref());
    for (name, value) in &record.headers {
        put(&mut out, name.as_bytes());
        put(&mut out, value);
    }
    out
}

/// Reads what `encode` wrote.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Arc::from)
    }

    fn optional(&mut self) -> Option<Option<Bytes>> {
        let [there] = self.array()?;
        let bytes = Bytes::copy_from_slice(self.bytes()?);
        Some((there == 1).then_some(bytes))
    }
}

fn decode(body: &[u8]) -> Option<OutRecord> {
    let mut body = Body(body);
    let topic = body.text()?;
    let partition = u32::from_le_bytes(body.array()?);
    let timestamp_ms = i64::from_le_bytes(body.array()?);
    let key = body.optional()?;
    let payload = body.optional()?;
    let mut headers = Vec::new();
    while !body.0.is_empty() {
        headers.push((body.text()?, Bytes::copy_from_slice(body.bytes()?)));
    }
    Some(OutRecord { topic, partition, timestamp_ms, key, headers, payload })
}
