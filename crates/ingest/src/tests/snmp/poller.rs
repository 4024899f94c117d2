//! The poller against agents in memory: what it asks, what it makes of quirks, and its schedule.

use std::collections::BTreeMap;

use model::rows::{Device, Metric, Quality};
use model::snmp::{Request, Value};

use super::agent::{Agent, Quirk};
use crate::snmp::mib::Column;
use crate::snmp::{Credential, Polled, Poller, Secret, SnmpConfig};

pub const START: i64 = 1_700_000_000_000;
pub const INTERVAL: i64 = 10_000;

pub fn device(name: &str) -> Device {
    Device {
        domain: "default".to_owned(),
        device: name.to_owned(),
        address: "192.0.2.1".to_owned(),
        exporter: None,
        role: "router".to_owned(),
        class: None,
        site: None,
        snmp_port: Some(161),
        snmp_credential: Some("lab".to_owned()),
        updated_ms: 1,
    }
}

pub fn config() -> SnmpConfig {
    let credential = Credential { community: Secret::new("public") };
    let credentials = BTreeMap::from([("lab".to_owned(), credential)]);
    SnmpConfig { credentials, ..SnmpConfig::default() }
}

fn poller(config: SnmpConfig) -> Poller {
    let mut poller = Poller::new(config, "one");
    poller.put(device("edge1"), START, Vec::new);
    poller
}

/// One poll of all devices that are due next, answered by one agent.
fn poll(poller: &mut Poller, agent: &mut Agent) -> (i64, Polled) {
    let at_ms = poller.next_due().expect("a device");
    for first in poller.due(at_ms) {
        let mut next = Some(first);
        while let Some(ask) = next {
            let response = agent.ask(&ask.request);
            next = poller.answer(&ask, at_ms, response.as_ref());
        }
    }
    let mut polled = poller.take();
    assert_eq!(polled.len(), 1);
    (at_ms, polled.remove(0))
}

fn value(polled: &Polled, entity: Option<&str>, metric: &str) -> Option<f64> {
    row(polled, entity, metric).map(|row| row.value)
}

fn row<'a>(polled: &'a Polled, entity: Option<&str>, metric: &str) -> Option<&'a Metric> {
    polled.metrics.iter().find(|row| row.entity.as_deref() == entity && row.metric == metric)
}

/// Names of interfaces with both counters in a poll.
fn whole(polled: &Polled) -> usize {
    let has = |row: &&Metric| row.metric == "ifHCInOctets" || row.metric == "ifInOctets";
    polled.metrics.iter().filter(has).count()
}

#[test]
fn a_poll_tells_all_of_an_interface() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(3);
    let (at_ms, first) = poll(&mut poller, &mut agent);
    assert_eq!(value(&first, None, "snmp_up"), Some(1.0));
    assert_eq!(value(&first, None, "sysUpTime"), Some(3_600.0));
    assert_eq!(value(&first, Some("Gi0/2"), "ifHCInOctets"), Some(2_000.0));
    let untold = row(&first, Some("Gi0/2"), "ifHCInOctets").expect("a row");
    assert_eq!((untold.rate, untold.quality), (None, Quality::Gap));
    assert_eq!(first.interfaces.len(), 3);
    let told = &first.interfaces[1];
    assert_eq!((told.name.as_str(), told.if_index, told.from_ms), ("Gi0/2", 2, at_ms));
    assert_eq!((told.speed_bps, told.oper_up), (Some(1_000_000_000), Some(true)));
    assert_eq!(told.address.as_deref(), Some("192.0.2.1"));
    assert_eq!(told.alias.as_deref(), Some("to core"));

    agent.set_uptime(361_000);
    agent.set(Column::Out64, 2, Value::Counter64(2_000 + 625_000_000));
    agent.set(Column::Oper, 3, Value::Integer(2));
    let (later_ms, second) = poll(&mut poller, &mut agent);
    assert_eq!(later_ms - at_ms, INTERVAL);
    let out = row(&second, Some("Gi0/2"), "ifHCOutOctets").expect("a row");
    assert_eq!((out.rate, out.quality), (Some(62_500_000.0), Quality::Ok));
    assert_eq!(value(&second, Some("Gi0/2"), "if_out_utilization"), Some(50.0));
    assert_eq!(value(&second, Some("Gi0/2"), "if_in_utilization"), Some(0.0));
    assert_eq!(value(&second, Some("Gi0/3"), "ifOperStatus"), Some(2.0));
    assert!(first.events.is_empty(), "what is seen first is no change");
    let [event] = &second.events[..] else { panic!("{:?}", second.events) };
    assert_eq!((event.kind.as_str(), event.state.as_deref()), ("interface", Some("down")));
    assert_eq!((event.device.as_str(), event.entity.as_deref()), ("edge1", Some("Gi0/3")));
    // Only what has changed is told again.
    assert_eq!(second.interfaces.len(), 1);
    assert_eq!(
        (second.interfaces[0].name.as_str(), second.interfaces[0].oper_up),
        ("Gi0/3", Some(false))
    );
}

#[test]
fn each_change_of_a_links_state_is_one_event() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(2);
    let mut states = Vec::new();
    // ifAdminStatus and ifOperStatus of the first of them; 7 is lowerLayerDown.
    for (admin, oper) in [(1, 1), (1, 7), (1, 2), (2, 2), (2, 2), (1, 2), (1, 1), (1, 1)] {
        agent.set(Column::Admin, 1, Value::Integer(admin));
        agent.set(Column::Oper, 1, Value::Integer(oper));
        let (_, polled) = poll(&mut poller, &mut agent);
        states.push(polled.events.into_iter().filter_map(|event| event.state).collect::<Vec<_>>());
    }
    let none = || Vec::new();
    let one = |state: &str| vec![state.to_owned()];
    let wanted = [none(), one("down"), none(), one("admin-down"), none(), one("down"), one("up")];
    assert_eq!(states[..7], wanted);
    assert!(states[7].is_empty());
}

#[test]
fn a_link_that_went_down_between_two_pollers_is_an_event_of_the_second() {
    let mut first = poller(config());
    let mut agent = Agent::with_interfaces(2);
    let (_, told) = poll(&mut first, &mut agent);
    agent.set(Column::Oper, 2, Value::Integer(2));
    let mut second = Poller::new(config(), "two");
    second.put(device("edge1"), START + INTERVAL, || told.interfaces);
    let (_, polled) = poll(&mut second, &mut agent);
    let [event] = &polled.events[..] else { panic!("{:?}", polled.events) };
    assert_eq!((event.entity.as_deref(), event.state.as_deref()), (Some("Gi0/2"), Some("down")));
}

#[test]
fn a_small_device_is_one_request_a_poll() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(4);
    for i in 1..=4 {
        agent.set(Column::Cpu5s, i, Value::Gauge32(7));
    }
    poll(&mut poller, &mut agent);
    agent.asked.clear();
    poll(&mut poller, &mut agent);
    assert_eq!(agent.asked.len(), 1, "{:?}", agent.asked);
    assert!(matches!(agent.asked[0], Request::GetBulk { max_repetitions: 5, .. }));
}

#[test]
fn every_quirk_leaves_the_rows_whole_or_the_device_said_to_be_away() {
    for (quirk, interfaces) in [
        (None, 30),
        (Some(Quirk::Truncates(40)), 30),
        (Some(Quirk::Truncates(13)), 30),
        (Some(Quirk::TooBig(40)), 30),
        (Some(Quirk::TooBig(12)), 30),
        (Some(Quirk::TooBig(4)), 30),
        (Some(Quirk::NoBulk), 30),
        (Some(Quirk::Circles), 30),
        (Some(Quirk::EmptyBulk), 30),
        (Some(Quirk::Loses(7)), 30),
        (Some(Quirk::Same), 0),
        (Some(Quirk::ErrorAt(1)), 0),
        (Some(Quirk::ErrorAt(0)), 0),
        (Some(Quirk::ErrorAt(5)), 0),
        (Some(Quirk::Silent), 0),
    ] {
        let mut config = config();
        config.breaker_failures = 1_000;
        let mut poller = poller(config);
        let mut agent = Agent::with_interfaces(30);
        agent.quirk = quirk;
        let (_, polled) = poll(&mut poller, &mut agent);
        assert_eq!(whole(&polled), interfaces, "{quirk:?}");
        let is_up = f64::from(u8::from(quirk != Some(Quirk::Silent)));
        assert_eq!(value(&polled, None, "snmp_up"), Some(is_up), "{quirk:?}");
        assert!(agent.asked.len() < 400, "{quirk:?}: {} requests", agent.asked.len());
    }
}

#[test]
fn a_device_without_wide_counters_is_polled_by_its_narrow_ones() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(3);
    agent.remove(Column::In64);
    agent.remove(Column::Out64);
    agent.remove(Column::Discontinuity);
    poll(&mut poller, &mut agent);
    agent.set_uptime(361_000);
    agent.set(Column::In32, 1, Value::Counter32(51_000));
    let (_, polled) = poll(&mut poller, &mut agent);
    let row = row(&polled, Some("Gi0/1"), "ifInOctets").expect("a row");
    assert_eq!((row.rate, row.quality), (Some(5_000.0), Quality::Ok));
    let percent = value(&polled, Some("Gi0/1"), "if_in_utilization").expect("a percentage");
    assert!((percent - 0.004).abs() < 1e-9);
}

#[test]
fn a_load_is_told_as_of_the_device_and_of_its_processors() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(1);
    agent.set(Column::Cpu1m, 1, Value::Gauge32(41));
    let (_, polled) = poll(&mut poller, &mut agent);
    assert_eq!(value(&polled, None, "cpu_usage"), Some(41.0));
    agent.set(Column::Cpu5s, 1, Value::Gauge32(97));
    agent.set(Column::Cpu5s, 2, Value::Gauge32(12));
    let mut fresh = self::poller(config());
    let (_, polled) = poll(&mut fresh, &mut agent);
    assert_eq!(value(&polled, Some("cpu 1"), "cpu_usage"), Some(97.0));
    assert_eq!(value(&polled, Some("cpu 2"), "cpu_usage"), Some(12.0));
}

#[test]
fn a_restart_that_renumbers_is_read_again_at_once() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(2);
    poll(&mut poller, &mut agent);
    agent.set_uptime(100);
    agent.set(Column::Name, 1, Value::OctetString(b"Gi0/2".to_vec()));
    agent.set(Column::Name, 2, Value::OctetString(b"Gi0/1".to_vec()));
    let (at_ms, polled) = poll(&mut poller, &mut agent);
    let told: Vec<_> =
        polled.interfaces.iter().map(|r| (r.name.as_str(), r.if_index, r.from_ms)).collect();
    assert_eq!(told, [("Gi0/1", 2, at_ms), ("Gi0/2", 1, at_ms)]);
    let row = row(&polled, Some("Gi0/1"), "ifHCInOctets").expect("a row");
    assert_eq!((row.value, row.rate, row.quality), (2_000.0, None, Quality::Reset));
}

#[test]
fn an_interface_that_comes_is_named_and_one_that_goes_is_gone() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(2);
    poll(&mut poller, &mut agent);
    let mut larger = Agent::with_interfaces(3);
    let (_, polled) = poll(&mut poller, &mut larger);
    assert_eq!(
        polled.interfaces.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["Gi0/3"]
    );
    agent.set_uptime(100);
    let (_, polled) = poll(&mut poller, &mut agent);
    assert_eq!(polled.gone.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Gi0/3"]);
}

#[test]
fn hostile_names_are_kept_apart_and_short() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(3);
    let long = vec![b'<'; 60_000];
    agent.set(Column::Name, 1, Value::OctetString(long));
    agent.set(Column::Name, 2, Value::OctetString(b"a\x1b[2J\0".to_vec()));
    agent.set(Column::Name, 3, Value::OctetString(b"a\x1b[2J\0".to_vec()));
    agent.set(Column::HighSpeed, 1, Value::Counter64(u64::MAX));
    let (_, polled) = poll(&mut poller, &mut agent);
    let names: Vec<_> = polled.interfaces.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names, ["<".repeat(128), "a [2J".to_owned(), "a [2J#3".to_owned()]);
}

#[test]
fn a_device_that_fails_often_is_only_asked_whether_it_lives() {
    let mut config = config();
    config.breaker_failures = 3;
    let mut poller = poller(config);
    let mut agent = Agent::with_interfaces(3);
    agent.quirk = Some(Quirk::Silent);
    for _ in 0..3 {
        poll(&mut poller, &mut agent);
    }
    assert_eq!(poller.counts().breakers, 1);
    agent.quirk = None;
    agent.asked.clear();
    let (_, polled) = poll(&mut poller, &mut agent);
    assert_eq!(value(&polled, None, "snmp_up"), Some(1.0));
    assert!(matches!(agent.asked[..], [Request::Get(_)]));
    for _ in 0..6 {
        poll(&mut poller, &mut agent);
    }
    let (_, polled) = poll(&mut poller, &mut agent);
    assert_eq!(whole(&polled), 3);
}

#[test]
fn polls_are_spread_and_one_that_is_late_is_counted_as_missed() {
    let mut config = config();
    config.in_flight_max = 2;
    let mut poller = Poller::new(config, "one");
    for i in 0..100 {
        poller.put(device(&format!("edge{i}")), START, Vec::new);
    }
    let mut agent = Agent::with_interfaces(1);
    let mut by_second = BTreeMap::new();
    for step in 0..INTERVAL / 100 {
        let now_ms = START + step * 100;
        loop {
            let asks = poller.due(now_ms);
            assert!(asks.len() <= 2);
            if asks.is_empty() {
                break;
            }
            for first in asks {
                *by_second.entry(step / 10).or_insert(0) += 1;
                let mut next = Some(first);
                while let Some(ask) = next {
                    let response = agent.ask(&ask.request);
                    next = poller.answer(&ask, now_ms, response.as_ref());
                }
            }
        }
    }
    assert_eq!(by_second.len(), 10);
    assert!(by_second.values().all(|&polls| polls < 25), "{by_second:?}");
    assert_eq!(poller.counts().missed, 0);
    let now_ms = START + INTERVAL + 9_999;
    let late = poller.due(now_ms);
    for ask in late {
        assert!(poller.answer(&ask, now_ms + 2 * INTERVAL, None).is_none());
    }
    assert!(poller.counts().missed >= 2);
}

#[test]
fn an_answer_after_the_device_went_to_another_is_nothing() {
    let mut poller = poller(config());
    let at_ms = poller.next_due().expect("a device");
    let asks = poller.due(at_ms);
    poller.remove("default/edge1");
    let mut agent = Agent::with_interfaces(1);
    let response = agent.ask(&asks[0].request);
    assert!(poller.answer(&asks[0], at_ms, response.as_ref()).is_none());
    assert_eq!((poller.take(), poller.next_due(), poller.devices()), (Vec::new(), None, 0));
}

#[test]
fn a_poll_ends_with_its_time() {
    let mut poller = poller(config());
    let mut agent = Agent::with_interfaces(300);
    let start_ms = poller.next_due().expect("a device");
    let mut now_ms = start_ms;
    let mut next = poller.due(now_ms).pop();
    while let Some(ask) = next {
        assert!(ask.limit_ms > 0);
        now_ms += 1_500;
        let response = agent.ask(&ask.request);
        next = poller.answer(&ask, now_ms, response.as_ref());
    }
    assert!(now_ms - start_ms <= 9_500);
    assert_eq!(poller.counts().deadlines, 1);
    assert_eq!(value(&poller.take()[0], None, "snmp_up"), Some(1.0));
}
