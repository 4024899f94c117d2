//! Bad input over all stages of the running product: junk datagrams into ingest, junk messages on
//! every topic that a stage reads, then real flows with a flood. Each bad thing is counted and lies
//! whole in the dead letters with its reason; nothing stops, nothing real is lost, and the incident
//! still comes.

mod junk;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bus::{OutRecord, Record};
use bytes::Bytes;
use ingest::{IngestConfig, IngestFeed};
use model::schema;
use sim::{Kind, Pace, Params, Scenario};

use crate::e2e::log::{self, Topics};
use crate::process::Gannet;
use crate::process::site::{CONFIG, Site};
use junk::{Form, Junk, MARK, with_pane};

const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);
const INSTANCE: &str = "one";
/// The flood rule is usable after a minute.
const PAST_S: i64 = 120;
/// Where the junk datagrams come from: an exporter of its own.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// Waits until there is something to give.
fn until<T>(what: &str, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = found()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(POLL);
    }
}

/// The product's processes.
struct Stages {
    all: Vec<Gannet>,
}

impl Stages {
    fn start(site: &Site) -> Result<Stages> {
        let start = |stage: &&str| site.start(stage, INSTANCE, CONFIG);
        let all = ["correlate", "detect", "ingest"].iter().map(start).collect::<Result<_>>()?;
        let mut stages = Stages { all };
        stages.all.iter_mut().try_for_each(Gannet::wait_until_ready)?;
        Ok(stages)
    }

    fn check(&mut self) -> Result<()> {
        self.all.iter_mut().try_for_each(Gannet::check)
    }

    /// The sum of a metric over all processes.
    fn metric(&self, name: &str, words: &[&str]) -> Result<f64> {
        self.all.iter().map(|stage| stage.metric(name, words)).sum()
    }
}

#[test]
fn bad_input_stops_nothing_and_lies_in_the_dead_letters() -> Result<()> {
    let Some(site) = Site::of_test("hostile", junk::PARTITIONS)? else { return Ok(()) };
    site.apply_topics()?;
    let mut sent = past(&site)?;
    send(&site, &junk_on_compacted_topics(&site)?)?;
    let mut stages = Stages::start(&site)?;
    let partial = until("a partial", || {
        stages.check()?;
        let all = site.records("partials.v1")?;
        Ok(all.into_iter().find(|record| record.header("rows") != Some("0")))
    })?;
    let mut junk = junk::messages(&forms(&site, &partial)?, now_ms()?)?;
    junk.extend(junk::extreme_panes(&partial, now_ms()?)?);
    send(&site, &junk.iter().map(|junk| junk.record.clone()).collect::<Vec<_>>())?;
    dead_letters(&site, &mut stages, &junk)?;
    bad_datagrams(&site, &mut stages)?;

    let live = flood(&site, &mut stages)?;
    for (exporter, counts) in &live.exporters {
        *sent.entry(*exporter).or_insert(0) += counts.flows;
    }
    stored(&site, &stages, &sent)?;
    stages.check()?;
    for stage in stages.all {
        let name = stage.name.clone();
        ensure!(stage.stop()? == 0, "{name} did not drain");
    }
    Ok(())
}

fn traffic(start_ms: i64, kind: Kind) -> Scenario {
    let params = Params { start_ms, flows_per_s: 200.0, event_after_s: 3, ..Params::default() };
    Scenario::new(1, kind, params)
}

/// Two minutes of benign flows in simulated receive time; how many of each exporter.
fn past(site: &Site) -> Result<BTreeMap<Ipv4Addr, u64>> {
    let now_ms = now_ms()?;
    let start_ms = now_ms - PAST_S * 1_000;
    let config = IngestConfig { heartbeat_ms: 10_000, ..IngestConfig::default() };
    let mut feed = IngestFeed::new(&config, &*site.log, &site.bus, INSTANCE, 1, start_ms)?;
    let mut sent = BTreeMap::new();
    let scenario = traffic(start_ms, Kind::Benign);
    for datagram in scenario.datagrams().take_while(|datagram| datagram.time_ms < now_ms) {
        feed.datagram(datagram.time_ms, IpAddr::V4(datagram.exporter), &datagram.bytes)?;
        *sent.entry(datagram.exporter).or_insert(0) += u64::from(datagram.flows);
    }
    feed.finish(LIMIT)?;
    Ok(sent)
}

/// What stages read back at their start: elements that are not.
fn junk_on_compacted_topics(site: &Site) -> Result<Vec<OutRecord>> {
    let form = |topic: &str| Form {
        topic: site.bus.topic(topic),
        schema: format!("{}/1", topic.trim_end_matches(".v1")),
        extra: Vec::new(),
        foreign: "",
    };
    let junk = junk::messages(&[form("templates.v1"), form("config.v1")], now_ms()?)?;
    Ok(junk.into_iter().map(|junk| junk.record).collect())
}

/// Every topic that a task reads.
fn forms(site: &Site, partial: &Record) -> Result<Vec<Form>> {
    let form = |topic: &str, schema: &schema::TopicSchema, foreign| Form {
        topic: site.bus.topic(topic),
        schema: schema.header(),
        extra: Vec::new(),
        foreign,
    };
    // The start of a pane of any rule, and of one that has not closed.
    let tomorrow_ms = (now_ms()? / 600_000 + 144) * 600_000;
    Ok(vec![
        form("flows.v1", schema::flows(), "schema"),
        form("metrics.v1", schema::metrics(), "schema"),
        form("events.v1", schema::events(), "schema"),
        Form {
            topic: partial.topic.to_string(),
            schema: "partials/1".to_owned(),
            extra: with_pane(bus::Meta::parse(partial)?.extra, tomorrow_ms),
            foreign: "state",
        },
        form("evidence.v1", schema::anomalies(), "rows"),
    ])
}

fn send(site: &Site, records: &[OutRecord]) -> Result<()> {
    let mut producer = site.log.producer(MARK, "nobody")?;
    for record in records {
        ensure!(producer.send(record)?.is_some(), "the queue is full");
    }
    until("deliveries", || {
        for delivery in producer.poll(POLL) {
            ensure!(delivery.result.is_ok(), "{:?}", delivery.result);
        }
        Ok((producer.in_flight() == 0).then_some(()))
    })
}

/// Each message once, whole, with its reason; and as many on the counters.
fn dead_letters(site: &Site, stages: &mut Stages, junk: &[Junk]) -> Result<()> {
    let topics = ["flows.v1", "metrics.v1", "events.v1", "partials.v1", "evidence.v1"];
    let letters = until("all dead letters", || {
        stages.check()?;
        let mut all = Vec::new();
        for topic in topics {
            all.extend(site.records(&format!("{topic}.dlq"))?);
        }
        Ok((all.len() >= junk.len()).then_some(all))
    })?;
    ensure!(letters.len() == junk.len(), "{} letters of {}", letters.len(), junk.len());
    for Junk { mark, record, kind, reason } in junk {
        let letter = letters.iter().find(|letter| letter.header(MARK) == Some(mark.as_str()));
        let letter = letter.with_context(|| format!("no dead letter of {mark}"))?;
        let said = (letter.header("dlq-kind"), letter.header("dlq-reason").unwrap_or_default());
        let is_known = kind.is_empty() || said.0 == Some(*kind);
        ensure!(is_known && said.1.contains(reason) && !said.1.is_empty(), "{mark}: {said:?}");
        ensure!(letter.payload == record.payload && letter.key == record.key, "{mark}: not whole");
        let kept = record.headers.iter().all(|header| letter.headers.contains(header));
        ensure!(kept, "{mark}: headers are lost");
    }
    // Counted once the commit that holds them stands.
    until("counted dead letters", || {
        let counted = stages.metric("gannet_task_dead_letters_total", &[])?;
        ensure!(counted <= junk.len() as f64, "{counted} dead letters of {}", junk.len());
        Ok((counted == junk.len() as f64).then_some(()))
    })
}

fn bad_datagrams(site: &Site, stages: &mut Stages) -> Result<()> {
    let socket = UdpSocket::bind((NOBODY, 0))?;
    let all = junk::datagrams();
    for (datagram, _) in &all {
        socket.send_to(datagram, site.flows)?;
    }
    let of_ingest = |letter: &Record| letter.header("dlq-stage") == Some("ingest");
    let letters = until("dead letters of datagrams", || {
        stages.check()?;
        let mut letters = site.records("flows.v1.dlq")?;
        letters.retain(of_ingest);
        Ok((letters.len() >= all.len()).then_some(letters))
    })?;
    for (datagram, reason) in &all {
        let bytes = Some(Bytes::copy_from_slice(datagram));
        let letter = letters.iter().find(|letter| letter.payload == bytes);
        let letter = letter.with_context(|| format!("no dead letter: {reason}"))?;
        let said = letter.header("dlq-reason");
        ensure!(said == Some(*reason), "{said:?}, not {reason}");
        let label = format!("reason=\"{reason}\"");
        let counted = stages.metric("gannet_ingest_decode_problems_total", &[label.as_str()])?;
        ensure!(counted >= 1.0, "{reason} is not counted");
    }
    Ok(())
}

/// Live flows until the incident names the victim.
fn flood(site: &Site, stages: &mut Stages) -> Result<sim::Sent> {
    let scenario = traffic(now_ms()?, Kind::Flood);
    let victim = scenario.params().victim.to_string();
    let pace = Pace { origin_ms: scenario.params().start_ms, speed: 1.0 };
    let (topics, stop) = (Topics::open(&site.bus)?, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| sim::send(scenario.datagrams(), site.flows, pace, &stop));
        let found = until("the incident", || {
            stages.check()?;
            let named = |incident: &model::rows::Incident| {
                incident.entity.as_ref().is_some_and(|entity| entity.name == victim)
            };
            Ok(topics.incidents()?.into_iter().find(named))
        });
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().expect("the simulator does not panic")?;
        found.map(|incident| println!("{}", incident.headline)).map(|()| sent)
    })
}

/// Every flow that was sent stands on its topic, once.
fn stored(site: &Site, stages: &Stages, sent: &BTreeMap<Ipv4Addr, u64>) -> Result<()> {
    let total: u64 = sent.values().sum();
    let dropped = stages.metric("gannet_ingest_datagrams_dropped_total", &[])?;
    ensure!(dropped == 0.0, "{dropped} datagrams were dropped: the machine is too busy");
    let stored = until("all flows", || {
        let mut stored = BTreeMap::new();
        let records = site.records("flows.v1")?.into_iter();
        for record in records.filter(|record| record.header(MARK).is_none()) {
            log::count(&record, &mut stored)?;
        }
        // What is whole of a bad datagram is stored too.
        stored.remove(&NOBODY);
        Ok((stored.values().sum::<u64>() >= total).then_some(stored))
    })?;
    ensure!(stored == *sent, "stored {stored:?}, sent {sent:?}");
    Ok(())
}
