//! What a run left on the log, in the form in which two runs are compared (DESIGN §4 "Same"): per
//! topic, partition and writer the sequence of payloads and headers, with or without names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::{Log, Name, ReadEvent, Record};

/// Whether names (and what else holds offsets) are part of the comparison: only over a fixed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Compared,
    LeftOut,
}

/// One message, without what may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    headers: Vec<(String, String)>,
    key: Option<Vec<u8>>,
    timestamp_ms: i64,
    payload: Option<Vec<u8>>,
}

/// Topic, partition, writer.
type Place = (String, u32, String);

#[derive(Clone, Debug, Default)]
pub struct Output {
    sequences: BTreeMap<Place, Vec<Message>>,
    pub messages: usize,
    /// Names that stand on the log more than once.
    pub doubled: usize,
}

const OFFSETS: [&str; 3] = ["name", "dlq-name", "dlq-offset"];

// === impl Output ===

impl Output {
    /// Reads committed outputs of the given topics.
    pub fn read(log: &dyn Log, topics: &[(String, Names)]) -> Result<Output> {
        let mut output = Output::default();
        let mut seen = BTreeSet::new();
        for (topic, names) in topics {
            for record in all(log, topic)? {
                let name = record.header("dlq-name").or_else(|| record.header("name"));
                let name: Name = name.context("an output without a name")?.parse()?;
                if !seen.insert((topic.clone(), record.partition, name.to_string())) {
                    output.doubled += 1;
                }
                let text = name.to_string();
                let writer = text.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
                let place = (topic.clone(), record.partition, writer);
                output.sequences.entry(place).or_default().push(Message::of(&record, *names));
                output.messages += 1;
            }
        }
        Ok(output)
    }

    /// Topics without their prefix, and writers and names without the id that the log gave their
    /// source: for two runs on one broker.
    pub fn without_prefix(self, prefix: &str) -> Output {
        let place = |(topic, partition, writer): Place| {
            let topic = topic.strip_prefix(prefix).map(str::to_owned).unwrap_or(topic);
            (topic, partition, without_id(&writer))
        };
        let message = |mut message: Message| {
            for (name, value) in &mut message.headers {
                if matches!(name.as_str(), "name" | "dlq-name") {
                    *value = without_id(value);
                }
                *value = value.replace(prefix, "");
            }
            message
        };
        let sequences = self
            .sequences
            .into_iter()
            .map(|(at, messages)| (place(at), messages.into_iter().map(message).collect()));
        Output { sequences: sequences.collect(), ..self }
    }

    /// The first difference to another output, if there is one.
    pub fn difference(&self, other: &Output) -> Option<String> {
        let places: BTreeSet<&Place> =
            self.sequences.keys().chain(other.sequences.keys()).collect();
        let none = Vec::new();
        for place in places {
            let here = self.sequences.get(place).unwrap_or(&none);
            let there = other.sequences.get(place).unwrap_or(&none);
            if here == there {
                continue;
            }
            let at = here.iter().zip(there).take_while(|(a, b)| a == b).count();
            return Some(format!(
                "{place:?}: {} and {} messages, the first difference at {at}: {:?} and {:?}",
                here.len(),
                there.len(),
                here.get(at).map(Message::brief),
                there.get(at).map(Message::brief)
            ));
        }
        None
    }

    /// Messages of `self` that the other lacks, and that it has too many of, by count per place.
    pub fn lost_and_doubled(&self, other: &Output) -> (usize, usize) {
        let count =
            |output: &Output, place: &Place| output.sequences.get(place).map_or(0, Vec::len);
        let places: BTreeSet<&Place> =
            self.sequences.keys().chain(other.sequences.keys()).collect();
        places.into_iter().fold((0, 0), |(lost, doubled), place| {
            let (here, there) = (count(self, place), count(other, place));
            (lost + here.saturating_sub(there), doubled + there.saturating_sub(here))
        })
    }
}

// === impl Message ===

impl Message {
    fn of(record: &Record, names: Names) -> Message {
        let kept = |name: &str| names == Names::Compared || !OFFSETS.contains(&name);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = record.headers.iter().filter(|(name, _)| kept(name));
        Message {
            headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
            key: record.key.as_ref().map(|key| key.to_vec()),
            timestamp_ms: record.timestamp_ms,
            payload: record.payload.as_ref().map(|payload| payload.to_vec()),
        }
    }

    fn brief(&self) -> String {
        let told = ["schema", "wm", "name", "rows", "max-ts", "dlq-kind"];
        let headers = self.headers.iter().filter(|(name, _)| told.contains(&name.as_str()));
        headers.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }
}

/// `task/STAGE/ID/PARTITION...` with the id left out.
fn without_id(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if let Some(id) = parts.get_mut(2) {
        *id = "-";
    }
    parts.join("/")
}

/// All committed records of a topic, partition by partition.
pub fn all(log: &dyn Log, topic: &str) -> Result<Vec<Record>> {
    let info = log.admin().describe(topic)?.with_context(|| format!("no topic {topic}"))?;
    let mut reader = log.reader()?;
    let mut records = Vec::new();
    for partition in 0..info.partitions {
        let (start, _) = reader.range(topic, partition)?;
        reader.assign(&[(topic.to_owned(), partition, start)])?;
        let mut idles = 0;
        loop {
            match reader.poll(Duration::from_secs(1))? {
                ReadEvent::Record(record) => records.push(record),
                ReadEvent::End { .. } => break,
                ReadEvent::Idle if idles > 60 => bail!("the end of {topic}/{partition} is missing"),
                ReadEvent::Idle => idles += 1,
            }
        }
    }
    Ok(records)
}
