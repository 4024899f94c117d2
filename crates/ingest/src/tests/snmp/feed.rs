//! The way of a poll to the log: rows in ingest's own time, interfaces by their keys, and the
//! inventory as the poller's plan, in simulated time and by the group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusConfig, Log, Name, OutRecord, Outgoing, Time, Where, Writer, frame};
use model::rows::{Device, Interface, Metric};
use model::schema;
use model::snmp::Value;

use super::super::service::{batches, log};
use super::agent::{Agent, Quirk};
use super::poller::{INTERVAL, START, config, device};
use crate::config::IngestConfig;
use crate::service::IngestFeed;
use crate::snmp::mib::Column;

const LIMIT: Duration = Duration::from_secs(20);

/// Puts a device into the inventory, as `gannet inventory apply` does.
pub fn apply(log: &dyn Log, bus: &BusConfig, device: &Device) {
    let meta = bus::Meta {
        schema: schema::inventory().header(),
        schema_fp: schema::inventory().fingerprint.clone(),
        producer: "test".to_owned(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name {
            writer: Writer::Instance {
                stage: "test".to_owned(),
                instance: "test".to_owned(),
                epoch: 1,
            },
            offset: 1,
            index: 0,
        },
        config_fp: None,
        replay_id: None,
        extra: Vec::new(),
    };
    let topic: Arc<str> = bus.topic("inventory.v1").into();
    let partitions = log.admin().describe(&topic).expect("a topic").expect("a topic").partitions;
    let key = Some(device.record_key().into_bytes().into());
    let batch = Device::to_batch(std::slice::from_ref(device)).expect("a row");
    let (to, time) = (Where::ByColumn("device".to_owned()), Time::At(device.updated_ms));
    let outgoing = Outgoing { topic, to, batch, key, time, meta };
    let framed = frame(outgoing, partitions, &bus.limits).expect("a message");
    send(log, framed.records);
}

fn send(log: &dyn Log, records: Vec<OutRecord>) {
    let mut producer = log.producer("test", "test").expect("a producer");
    for record in &records {
        producer.send(record).expect("a log").expect("room");
    }
    while producer.in_flight() > 0 {
        producer.poll(Duration::from_millis(10));
    }
}

fn feed(log: &dyn Log, bus: &BusConfig) -> IngestFeed {
    let config = IngestConfig { snmp: config(), ..IngestConfig::default() };
    IngestFeed::new(&config, log, bus, "one", 1, START).expect("a feed")
}

pub fn metrics(log: &dyn Log, bus: &BusConfig) -> Vec<Metric> {
    let all = batches(log, bus, "metrics.v1").into_iter();
    let rows = all.filter(|(_, meta, _)| !meta.is_heartbeat());
    rows.flat_map(|(.., batch)| Metric::from_batch(&batch).expect("rows")).collect()
}

fn interfaces(log: &dyn Log, bus: &BusConfig) -> BTreeMap<String, Interface> {
    let mut found = BTreeMap::new();
    for record in super::super::service::records(log, &bus.topic("interfaces.v1")) {
        let key = String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned();
        if record.payload.is_none() {
            found.remove(&key);
            continue;
        }
        let (_, batch) = bus::frame::read(&record, &bus.limits).expect("a message");
        found.insert(key, Interface::from_batch(&batch).expect("a row").remove(0));
    }
    found
}

#[test]
fn an_hour_of_polls_goes_to_the_log_in_order() {
    let (log, bus) = log();
    apply(log.as_ref(), &bus, &device("edge1"));
    apply(log.as_ref(), &bus, &device("edge2"));
    let mut feed = feed(log.as_ref(), &bus);
    let mut agent = Agent::with_interfaces(2);
    let mut now_ms = START;
    while now_ms < START + 3_600_000 {
        now_ms += 1_000;
        let mut ask = |name: &str, at_ms: i64, request: &_| {
            let seconds = (at_ms - START) / 1_000;
            agent.set_uptime(360_000 + seconds as u32 * 100);
            agent.set(Column::In64, 1, Value::Counter64(seconds as u64 * 1_250_000));
            (name == "edge1").then(|| agent.ask(request)).flatten()
        };
        feed.poll_devices(now_ms, &mut ask).expect("polled");
    }
    let report = feed.finish(LIMIT).expect("a report");
    assert_eq!(report.stored.lost, 0);
    super::super::service::check_order(log.as_ref(), &bus);
    let rows = metrics(log.as_ref(), &bus);
    let count = |device: &str, metric: &str| {
        rows.iter().filter(|row| row.device == device && row.metric == metric).count()
    };
    assert_eq!((count("edge1", "snmp_up"), count("edge2", "snmp_up")), (360, 360));
    let up = |device: &str| {
        let rows = rows.iter().filter(|row| row.metric == "snmp_up" && row.device == device);
        rows.map(|row| row.value).sum::<f64>()
    };
    assert_eq!((up("edge1"), up("edge2")), (360.0, 0.0));
    let busy = rows
        .iter()
        .filter(|row| row.metric == "if_in_utilization" && row.entity.as_deref() == Some("Gi0/1"));
    let percents: Vec<f64> = busy.map(|row| row.value).collect();
    assert_eq!(percents.len(), 359);
    assert!(percents.iter().all(|percent| (percent - 1.0).abs() < 1e-9), "{percents:?}");
    let found = interfaces(log.as_ref(), &bus);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["default/edge1/Gi0/1", "default/edge1/Gi0/2"]);
}

#[test]
fn a_new_poller_goes_on_with_what_was_told() {
    let (log, bus) = log();
    apply(log.as_ref(), &bus, &device("edge1"));
    let mut agent = Agent::with_interfaces(2);
    let mut told = Vec::new();
    for run in 0..2_i64 {
        let config = IngestConfig { snmp: config(), ..IngestConfig::default() };
        let start_ms = START + run * 10 * INTERVAL;
        let epoch = 1 + run as u64;
        let mut feed =
            IngestFeed::new(&config, log.as_ref(), &bus, "one", epoch, start_ms).expect("a feed");
        let mut ask = |_: &str, _, request: &_| agent.ask(request);
        feed.poll_devices(start_ms + INTERVAL, &mut ask).expect("polled");
        feed.finish(LIMIT).expect("a report");
        told.push(interfaces(log.as_ref(), &bus));
    }
    assert_eq!(told[0].len(), 2);
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_device_that_leaves_the_inventory_is_asked_no_more() {
    let (log, bus) = log();
    let edge = device("edge1");
    apply(log.as_ref(), &bus, &edge);
    let mut feed = feed(log.as_ref(), &bus);
    let mut agent = Agent::with_interfaces(1);
    agent.quirk = Some(Quirk::Truncates(50));
    feed.poll_devices(START + INTERVAL, &mut |_, _, request| agent.ask(request)).expect("polled");
    let asked = agent.asked.len();
    assert!(asked > 0);
    feed.devices().remove(&edge.record_key());
    let later = START + 5 * INTERVAL;
    feed.poll_devices(later, &mut |_, _, request| agent.ask(request)).expect("polled");
    assert_eq!(agent.asked.len(), asked);
    feed.finish(LIMIT).expect("a report");
}

#[test]
fn a_poll_tells_of_a_link_what_its_device_has_not_said() {
    let (log, bus) = log();
    apply(log.as_ref(), &bus, &device("edge1"));
    let mut feed = feed(log.as_ref(), &bus);
    let mut agent = Agent::with_interfaces(2);
    let from = std::net::IpAddr::from([192, 0, 2, 1]);
    let down = b"<187>Nov 26 10:00:00: %LINK-3-UPDOWN: Interface Gi0/1, changed state to down";
    // Said and polled; back, polled only; down again, polled only.
    for (step, oper) in (1_i64..).zip([1, 2, 1, 2]) {
        if step == 2 {
            feed.syslog(START + 15_000, from, down).expect("heard");
        }
        agent.set(Column::Oper, 1, Value::Integer(oper));
        let mut ask = |_: &str, _, request: &_| agent.ask(request);
        feed.poll_devices(START + step * INTERVAL, &mut ask).expect("polled");
    }
    feed.finish(LIMIT).expect("a report");
    let rows = batches(log.as_ref(), &bus, "events.v1").into_iter();
    let rows = rows.filter(|(_, meta, _)| !meta.is_heartbeat());
    let rows = rows.flat_map(|(.., batch)| model::rows::Event::from_batch(&batch).expect("rows"));
    let said: Vec<_> = rows.map(|row| (row.kind, row.state.unwrap_or_default())).collect();
    let wanted = [("link", "down"), ("interface", "up"), ("interface", "down")];
    let wanted = wanted.map(|(kind, state)| (kind.to_owned(), state.to_owned()));
    assert_eq!(said, wanted);
}
