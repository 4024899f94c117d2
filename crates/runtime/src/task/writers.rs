//! The writers of one input partition: which outputs of theirs were seen (duplicates), how far each
//! one's time is, and who is waited for (DESIGN §4 "Time is data"). All of it follows from the log
//! alone, so a replay decides alike.

use bus::{Name, Writer};
use serde::{Deserialize, Serialize};

use super::watermarks::Watermarks;

/// Whose time counts, with the log's topic ids filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    Instances {
        left_out_after: u8,
        grace_ms: i64,
    },
    /// Per source topic its tasks, sorted.
    Tasks {
        sources: Vec<(String, Vec<Writer>)>,
    },
}

/// A message of a writer with a longer name (or one beyond plain ASCII) is read, but the writer is
/// not remembered: 16 of them must fit a commit's metadata.
pub const WRITER_BYTES_MAX: usize = 96;

/// What a message is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    New,
    /// Named before: a resend, or the rest of a torn commit.
    Duplicate,
    /// New, but its writer could not be remembered: the table is full of writers that live.
    Refused,
}

/// What changed beside the watermarks, to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Writers that are not waited for any more.
    pub left_out: u32,
    /// Writers that were forgotten to make room.
    pub evicted: u32,
    /// Messages whose writer could not be remembered.
    pub refused: u32,
}

#[derive(Clone, Debug)]
pub struct Writers {
    waiting: Waiting,
    writers_max: usize,
    /// Sorted by writer.
    entries: Vec<Entry>,
    watermarks: Watermarks,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    writer: Writer,
    last: (i64, u32),
    wm: Option<i64>,
    left_out: bool,
    /// Input offset of its last message: who is evicted first.
    spoke_at: i64,
    /// Heartbeats of each other entry (by its place) since this one's last message.
    missed: Vec<u8>,
}

/// The table as it stands in snapshots and notes: short, and readable in an offset's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    #[serde(rename = "wm")]
    least: Option<i64>,
    #[serde(rename = "w")]
    entries: Vec<SavedEntry>,
}

/// Writer (its name without offset and index), offset, index, watermark, left out, spoke at,
/// missed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedEntry(String, i64, u32, Option<i64>, u8, i64, String);

// === impl Writers ===

impl Writers {
    pub fn new(waiting: Waiting, writers_max: usize) -> Writers {
        let topics: Vec<&str> = match &waiting {
            Waiting::Instances { .. } => Vec::new(),
            Waiting::Tasks { sources } => sources.iter().map(|(topic, _)| topic.as_str()).collect(),
        };
        let watermarks = Watermarks::of_topics(topics.into_iter());
        Writers { waiting, writers_max, entries: Vec::new(), watermarks }
    }

    pub fn watermarks(&self) -> &Watermarks {
        &self.watermarks
    }

    /// Writers in the table.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts a message in: `at` is its offset in the input, `wm` its watermark.
    pub fn see(
        &mut self,
        name: &Name,
        wm: Option<i64>,
        beat: Beat,
        at: i64,
        changes: &mut Changes,
    ) -> Seen {
        let Some(place) = self.place(&name.writer, changes) else {
            return Seen::Refused;
        };
        let entry = &mut self.entries[place];
        if (name.offset, name.index) <= entry.last {
            return Seen::Duplicate;
        }
        entry.last = (name.offset, name.index);
        entry.wm = entry.wm.max(wm);
        entry.spoke_at = at;
        entry.left_out = false;
        entry.missed.fill(0);
        if beat == Beat::Heartbeat {
            self.beat(place, changes);
        }
        self.tell_time();
        Seen::New
    }

    /// A heartbeat of one writer is one missed by each other one.
    fn beat(&mut self, of: usize, changes: &mut Changes) {
        let Waiting::Instances { left_out_after, .. } = self.waiting else {
            return;
        };
        if self.is_superseded(of) {
            return;
        }
        for place in (0..self.entries.len()).filter(|place| *place != of) {
            let entry = &mut self.entries[place];
            if entry.left_out {
                continue;
            }
            entry.missed[of] = entry.missed[of].saturating_add(1);
            if entry.missed[of] >= left_out_after {
                entry.left_out = true;
                entry.missed.fill(0);
                // A replaced epoch was not waited for: leaving it out changes nothing.
                changes.left_out += u32::from(!self.is_superseded(place));
            }
        }
    }

    fn tell_time(&mut self) {
        match &self.waiting {
            Waiting::Instances { grace_ms, .. } => {
                let live = (0..self.entries.len())
                    .filter(|place| !self.entries[*place].left_out && !self.is_superseded(*place));
                let least = live.filter_map(|place| self.entries[place].wm).min();
                self.watermarks.raise_least(least.map(|wm| wm.saturating_sub(*grace_ms)));
            }
            Waiting::Tasks { sources } => {
                let mut all = Vec::with_capacity(sources.len());
                for (topic, tasks) in sources {
                    let wm = least_of(&self.entries, tasks);
                    self.watermarks.raise_source(topic, wm);
                    all.push(wm);
                }
                // `None` is the least of all options, as it should be.
                self.watermarks.raise_least(all.into_iter().min().flatten());
            }
        }
    }

    /// Whether a higher epoch of the same instance has spoken.
    fn is_superseded(&self, place: usize) -> bool {
        let writer = &self.entries[place].writer;
        // Entries are sorted, so higher epochs stand right behind.
        self.entries.get(place + 1).is_some_and(|next| same_instance(writer, &next.writer))
    }

    /// The place of a writer in the table, made where there is none; `None` where it cannot be.
    fn place(&mut self, writer: &Writer, changes: &mut Changes) -> Option<usize> {
        let found = self.entries.binary_search_by(|entry| entry.writer.cmp(writer));
        if let Ok(place) = found {
            return Some(place);
        }
        if !is_plain(writer) && !self.is_expected(writer) {
            return None;
        }
        if self.entries.len() >= self.writers_max && !self.is_expected(writer) {
            let least_missed = self.evictable()?;
            self.remove(least_missed);
            changes.evicted += 1;
        }
        let place = self.entries.partition_point(|entry| entry.writer < *writer);
        for entry in &mut self.entries {
            entry.missed.insert(place, 0);
        }
        let missed = vec![0; self.entries.len() + 1];
        let last = (i64::MIN, 0);
        let entry =
            Entry { writer: writer.clone(), last, wm: None, left_out: false, spoke_at: 0, missed };
        self.entries.insert(place, entry);
        Some(place)
    }

    /// Who is forgotten first: nobody waits for it, and it is silent for longest.
    fn evictable(&self) -> Option<usize> {
        let unwaited = |place: &usize| match &self.waiting {
            Waiting::Instances { .. } => {
                self.entries[*place].left_out || self.is_superseded(*place)
            }
            Waiting::Tasks { .. } => !self.is_expected(&self.entries[*place].writer),
        };
        let places = (0..self.entries.len()).filter(unwaited);
        places.min_by_key(|place| self.entries[*place].spoke_at)
    }

    fn is_expected(&self, writer: &Writer) -> bool {
        match &self.waiting {
            Waiting::Instances { .. } => false,
            Waiting::Tasks { sources } => {
                sources.iter().any(|(_, tasks)| tasks.binary_search(writer).is_ok())
            }
        }
    }

    fn remove(&mut self, place: usize) {
        self.entries.remove(place);
        for entry in &mut self.entries {
            entry.missed.remove(place);
        }
    }

    // --- saving

    pub fn save(&self) -> Saved {
        let entries = self.entries.iter().map(|e| {
            let missed = e.missed.iter().map(|count| format!("{count:02x}")).collect();
            let left_out = u8::from(e.left_out);
            let (offset, index) = e.last;
            SavedEntry(writer_text(&e.writer), offset, index, e.wm, left_out, e.spoke_at, missed)
        });
        Saved { least: self.watermarks.least(), entries: entries.collect() }
    }

    /// The table of `save`; says what is wrong with one that is not.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), String> {
        let entries: Result<Vec<Entry>, String> =
            saved.entries.iter().map(|entry| entry.read(saved.entries.len())).collect();
        self.entries = entries?;
        if !self.entries.is_sorted_by(|a, b| a.writer < b.writer) {
            return Err("writers are not in order".to_owned());
        }
        self.watermarks.raise_least(saved.least);
        self.tell_time();
        Ok(())
    }
}

/// Whether a message is only time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Heartbeat,
    Rows,
}

// === impl SavedEntry ===

impl SavedEntry {
    fn read(&self, entries: usize) -> Result<Entry, String> {
        let SavedEntry(writer, offset, index, wm, left_out, spoke_at, missed) = self;
        let name: Name = format!("{writer}/0/0").parse().map_err(|e| format!("{e}"))?;
        let missed = hex_bytes(missed).filter(|m| m.len() == entries);
        let missed = missed.ok_or_else(|| format!("bad counts of {writer}"))?;
        let (last, left_out, spoke_at) = ((*offset, *index), *left_out != 0, *spoke_at);
        Ok(Entry { writer: name.writer, last, wm: *wm, left_out, spoke_at, missed })
    }
}

fn least_of(entries: &[Entry], tasks: &[Writer]) -> Option<i64> {
    let of = |task: &Writer| {
        let place = entries.binary_search_by(|entry| entry.writer.cmp(task)).ok()?;
        entries[place].wm
    };
    tasks.iter().map(of).min().flatten()
}

fn same_instance(a: &Writer, b: &Writer) -> bool {
    match (a, b) {
        (
            Writer::Instance { stage: a_stage, instance: a_instance, .. },
            Writer::Instance { stage: b_stage, instance: b_instance, .. },
        ) => a_stage == b_stage && a_instance == b_instance,
        _ => false,
    }
}

/// A name without its offset and index.
fn writer_text(writer: &Writer) -> String {
    let name = Name { writer: writer.clone(), offset: 0, index: 0 };
    let text = name.to_string();
    text.strip_suffix("/0/0").map(str::to_owned).unwrap_or(text)
}

/// Whether a writer's name is short, and as long in JSON as it is.
fn is_plain(writer: &Writer) -> bool {
    let text = writer_text(writer);
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    text.len() <= WRITER_BYTES_MAX && text.bytes().all(plain)
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}
