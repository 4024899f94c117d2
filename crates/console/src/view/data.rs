//! Where the data comes from and whether it comes: each exporter and each device, with a verdict in
//! words and the next thing to look at.

use std::collections::{BTreeMap, BTreeSet};

use model::rows::Device;
use serde::Serialize;

use super::words;
use crate::store::State;
use crate::store::row::{Gauge, Heard};

#[derive(Clone, Debug, Serialize)]
pub struct DataPage {
    /// The latest time of any row: ages are counted from it.
    pub latest_ms: i64,
    pub exporters: Vec<ExporterRow>,
    pub devices: Vec<DeviceRow>,
    pub series: usize,
    pub evidence: usize,
    pub events: usize,
    pub elements: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct ExporterRow {
    pub address: String,
    pub device: Option<String>,
    pub packets_rate: String,
    pub records_rate: String,
    pub packets: String,
    pub records: String,
    /// Of what was sent, since this console started.
    pub loss: String,
    pub lost: String,
    pub waiting: String,
    pub undecodable: String,
    pub unresolved: String,
    pub options: String,
    pub restarts: String,
    pub seen_ms: i64,
    pub tone: &'static str,
    pub verdict: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct DeviceRow {
    pub name: String,
    pub address: Option<String>,
    pub role: Option<String>,
    pub is_known: bool,
    pub is_polled: bool,
    pub polls: &'static str,
    pub uptime: Option<String>,
    pub cpu: Option<String>,
    pub interfaces: usize,
    pub interfaces_down: usize,
    pub samples: u64,
    pub doubtful: u64,
    pub events: u64,
    pub last_event: Option<String>,
    pub seen_ms: i64,
    pub tone: &'static str,
    pub verdict: String,
}

/// Rows of each table.
const ROWS_MAX: usize = 500;
/// Ingest reports on every exporter each 10 s, a poll comes as often: three of them missed.
const SILENT_MS: i64 = 30_000;

pub fn data(state: &State) -> DataPage {
    DataPage {
        latest_ms: state.latest_ms,
        exporters: exporters(state),
        devices: devices(state),
        series: state.series.len(),
        evidence: state.evidence.rows.len(),
        events: state.events.rows.len(),
        elements: state.elements.len(),
    }
}

fn gauges<'a>(state: &'a State, device: &str) -> BTreeMap<&'a str, &'a Gauge> {
    let from = (device.to_owned(), String::new());
    let of_device = state.gauges.range(from..).take_while(|((name, _), _)| name == device);
    of_device.map(|((_, metric), gauge)| (metric.as_str(), gauge)).collect()
}

fn exporters(state: &State) -> Vec<ExporterRow> {
    let names: BTreeSet<&str> = state
        .gauges
        .keys()
        .filter(|(_, metric)| metric == "exporter_datagrams")
        .map(|(device, _)| device.as_str())
        .collect();
    names.into_iter().take(ROWS_MAX).map(|name| exporter(state, name)).collect()
}

fn exporter(state: &State, name: &str) -> ExporterRow {
    let gauges = gauges(state, name);
    let total = |metric: &str| gauges.get(metric).map_or(0.0, |gauge| gauge.total);
    let rate = |metric: &str| {
        let gauge = gauges.get(metric);
        words::number(gauge.and_then(|gauge| gauge.rate).unwrap_or(0.0))
    };
    let count = |metric: &str| words::number(total(metric));
    let seen_ms = gauges.values().map(|gauge| gauge.received_ms).max().unwrap_or(0);
    let (lost, received) = (total("exporter_lost"), total("exporter_received"));
    let share = lost / (lost + received).max(1.0);
    let waiting = gauges.get("exporter_waiting").map_or(0.0, |gauge| gauge.value);
    let now_datagrams = gauges.get("exporter_datagrams").map_or(0.0, |gauge| gauge.value);
    let (tone, verdict) = if state.latest_ms - seen_ms > SILENT_MS {
        ("bad", "no report for a while: does the ingest that heard it still run?")
    } else if now_datagrams == 0.0 {
        ("bad", "silent: nothing in the last report. Is the exporter up, is UDP let through?")
    } else if waiting > 0.0 {
        ("wait", "waits for its template; devices send it every 1 to 30 minutes")
    } else if share > 0.002 {
        ("bad", "loses flows on the way: look at the path and at ingest's receive buffer")
    } else if total("exporter_undecodable") > 0.0 {
        ("wait", "some records could not be decoded")
    } else if total("exporter_unresolved") > 0.0 {
        ("wait", "some records name an unknown sampler: their sampling rate is not known yet")
    } else {
        ("good", "well")
    };
    ExporterRow {
        address: name.to_owned(),
        device: device_of(state, name).map(|device| device.device.clone()),
        packets_rate: rate("exporter_datagrams"),
        records_rate: rate("exporter_records"),
        packets: count("exporter_datagrams"),
        records: count("exporter_records"),
        loss: if lost > 0.0 { words::percent(share) } else { "none".to_owned() },
        lost: words::number(lost),
        waiting: words::number(waiting),
        undecodable: count("exporter_undecodable"),
        unresolved: count("exporter_unresolved"),
        options: count("exporter_options"),
        restarts: count("exporter_restarts"),
        seen_ms,
        tone,
        verdict: verdict.to_owned(),
    }
}

fn device_of<'a>(state: &'a State, address: &str) -> Option<&'a Device> {
    let is = |device: &&Device| {
        device.address == address
            || device.exporter.as_deref() == Some(address)
            || device.device == address
    };
    state.devices.values().find(is)
}

/// What the inventory has, and what is heard without being there.
fn devices(state: &State) -> Vec<DeviceRow> {
    let mut names: BTreeSet<&str> =
        state.devices.values().map(|device| device.device.as_str()).collect();
    let exporters: BTreeSet<&str> = state
        .gauges
        .keys()
        .filter(|(_, metric)| metric == "exporter_datagrams")
        .map(|(device, _)| device.as_str())
        .collect();
    names.extend(state.heard.keys().map(String::as_str).filter(|n| !exporters.contains(n)));
    names.into_iter().take(ROWS_MAX).map(|name| device(state, name)).collect()
}

fn device(state: &State, name: &str) -> DeviceRow {
    let known = state.devices.values().find(|device| device.device == name);
    let gauges = gauges(state, name);
    let silent = Heard::default();
    let heard = state.heard.get(name).unwrap_or(&silent);
    let interfaces = state.interfaces.values().filter(|interface| interface.device == name);
    let (mut count, mut down) = (0, 0);
    for interface in interfaces {
        count += 1;
        // One that an operator shut is as it should be.
        let is_down = interface.oper_up == Some(false) && interface.admin_up != Some(false);
        down += usize::from(is_down);
    }
    let up = gauges.get("snmp_up").copied();
    let is_polled = known.is_some_and(|device| device.snmp_port.is_some());
    let (polls, tone, verdict) = judge(state, known.is_some(), is_polled, up, heard);
    DeviceRow {
        name: name.to_owned(),
        address: known.map(|device| device.address.clone()),
        role: known.map(|device| device.role.clone()),
        is_known: known.is_some(),
        is_polled,
        polls,
        uptime: gauges.get("sysUpTime").map(|g| words::span((g.value * 1000.0) as i64)),
        cpu: gauges.get("cpu_usage").map(|gauge| format!("{:.0} %", gauge.value)),
        interfaces: count,
        interfaces_down: down,
        samples: heard.samples,
        doubtful: heard.doubtful,
        events: heard.events,
        last_event: heard.last_event.as_deref().map(|text| words::clip(text, 140)),
        seen_ms: heard.metric_ms.max(heard.event_ms),
        tone,
        verdict: verdict.to_owned(),
    }
}

fn judge(
    state: &State,
    is_known: bool,
    is_polled: bool,
    up: Option<&Gauge>,
    heard: &Heard,
) -> (&'static str, &'static str, &'static str) {
    let is_old = |gauge: &Gauge| state.latest_ms - gauge.received_ms > SILENT_MS;
    match (is_known, is_polled, up) {
        (false, ..) => ("not polled", "wait", "not in the inventory: `gannet inventory apply`"),
        (_, false, _) if heard.samples + heard.events == 0 => {
            ("not polled", "wait", "nothing heard; the inventory gives it no SNMP port")
        }
        (_, false, _) => ("not polled", "plain", "heard, not polled"),
        (_, _, None) => ("none yet", "wait", "not polled yet: does an ingest with pollers run?"),
        (_, _, Some(gauge)) if is_old(gauge) => {
            ("stopped", "bad", "no poll for a while: does an ingest with pollers run?")
        }
        (_, _, Some(gauge)) if gauge.value < 0.5 => {
            ("no answer", "bad", "does not answer SNMP: address, port, credential, access list?")
        }
        _ => ("answered", "good", "well"),
    }
}
