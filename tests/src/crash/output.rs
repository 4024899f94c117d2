//! What a run left on the log, in the form in which two runs are compared (DESIGN §4 "Same"): per
//! topic, partition and writer the sequence of payloads and headers, with or without names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::{Log, Name, ReadEvent, Record};
use bytes::Bytes;
use model::rows::Incident;
use model::schema;

/// One message, without what may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    /// All but those of `OFFSETS`, a line each.
    headers: String,
    /// What holds offsets: the same again only over a fixed input.
    offsets: Vec<(String, String)>,
    /// A heartbeat's names its producer.
    key: Option<String>,
    timestamp_ms: i64,
    payload: Option<Bytes>,
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
    pub fn read(log: &dyn Log, topics: &[String]) -> Result<Output> {
        let mut output = Output::default();
        let mut seen = BTreeSet::new();
        for topic in topics {
            for record in all(log, topic)? {
                let name = record.header("dlq-name").or_else(|| record.header("name"));
                let name: Name = name.context("an output without a name")?.parse()?;
                if !seen.insert((topic.clone(), record.partition, name.to_string())) {
                    output.doubled += 1;
                }
                let text = name.to_string();
                let writer = text.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
                let place = (topic.clone(), record.partition, writer);
                output.sequences.entry(place).or_default().push(Message::of(&record));
                output.messages += 1;
            }
        }
        Ok(output)
    }

    /// Messages by topic, heartbeats left out.
    pub fn by_topic(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for ((topic, ..), messages) in &self.sequences {
            let rows = messages.iter().filter(|m| !m.headers.contains("schema=heartbeat/"));
            *counts.entry(topic.as_str()).or_default() += rows.count();
        }
        counts
    }

    /// Every revision of every incident.
    pub fn incidents(&self) -> Result<Vec<Incident>> {
        let schema = format!("schema={}\n", schema::incidents().header());
        let messages = self.sequences.values().flatten();
        let mine = messages.filter(|message| message.headers.contains(&schema));
        let read = |message: &Message| -> Result<Vec<Incident>> {
            let payload = message.payload.as_deref().context("an incident without a payload")?;
            let batch = model::ipc::decode(payload, Default::default())?;
            Ok(Incident::from_batch(&batch)?)
        };
        Ok(mine.map(read).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Topics without their prefix, and in writers and names the source's topic instead of the id
    /// that the log gave it: for two runs on one broker. `ids` are the topics by id.
    pub fn without_prefix(self, prefix: &str, ids: &BTreeMap<String, String>) -> Output {
        let named = |text: &str| with_topic(text, ids).replace(prefix, "");
        let place = |(topic, partition, writer): Place| {
            let topic = topic.strip_prefix(prefix).map(str::to_owned).unwrap_or(topic);
            (topic, partition, named(&writer))
        };
        let message = |mut message: Message| {
            for (_, value) in &mut message.offsets {
                *value = named(value);
            }
            message.headers = message.headers.replace(prefix, "");
            message.key = message.key.map(|key| key.replace(prefix, ""));
            message
        };
        let sequences = self
            .sequences
            .into_iter()
            .map(|(at, messages)| (place(at), messages.into_iter().map(message).collect()));
        Output { sequences: sequences.collect(), ..self }
    }

    /// The first difference to another output, if there is one. The writers of the stage `exact`
    /// had the same input offset by offset: their names are compared too.
    pub fn difference(&self, other: &Output, exact: &str) -> Option<String> {
        let places: BTreeSet<&Place> =
            self.sequences.keys().chain(other.sequences.keys()).collect();
        let none = Vec::new();
        for place in places {
            let here = self.sequences.get(place).unwrap_or(&none);
            let there = other.sequences.get(place).unwrap_or(&none);
            let is_exact = place.2.split('/').nth(1) == Some(exact);
            let same = |(a, b): &(&Message, &Message)| match is_exact {
                true => a == b,
                false => a.is_like(b),
            };
            let at = here.iter().zip(there).take_while(same).count();
            if at == here.len() && at == there.len() {
                continue;
            }
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
    fn of(record: &Record) -> Message {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let (mut headers, mut offsets) = (String::new(), Vec::new());
        for (name, value) in &record.headers {
            match OFFSETS.contains(&&**name) {
                true => offsets.push((name.to_string(), text(value))),
                false => headers.push_str(&format!("{name}={}\n", text(value))),
            }
        }
        let (key, payload) = (record.key.as_deref().map(text), record.payload.clone());
        Message { headers, offsets, key, timestamp_ms: record.timestamp_ms, payload }
    }

    fn is_like(&self, other: &Message) -> bool {
        let of = |m: &Message| (m.timestamp_ms, m.key.clone(), m.payload.clone());
        self.headers == other.headers && of(self) == of(other)
    }

    fn brief(&self) -> String {
        let told = ["schema=", "wm=", "rows=", "max-ts=", "dlq-kind=", "rule=", "pane="];
        let is_told = |line: &&str| told.iter().any(|name| line.starts_with(name));
        let headers: Vec<&str> = self.headers.lines().filter(is_told).collect();
        format!("{} {:?}", headers.join(" "), self.offsets)
    }
}

/// `task/STAGE/ID/PARTITION...` with the id's topic in its place.
fn with_topic(name: &str, ids: &BTreeMap<String, String>) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if let Some(id) = parts.get_mut(2) {
        *id = ids.get(*id).map_or(*id, String::as_str);
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
