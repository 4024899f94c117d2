//! What the demo prints: a line or a few for each turn of the story, in the words of the topics.

use std::time::Duration;

use model::rows::{Action, ActionState, Anomaly, Incident, IncidentState};
use serde_json::Value;
use sim::net::{Fault, Net};

use super::story::Times;

/// Columns of a name in front of its value.
const NAME: usize = 12;

pub fn opening(net: &Net, fault: Fault, calm_s: u64) {
    let devices = net.devices().count();
    println!(
        "A simulated network: {devices} routers and switches that speak NetFlow, SNMP and syslog."
    );
    match fault {
        Fault::None => println!("Nothing breaks in it."),
        _ => println!("Something breaks {calm_s} s after it goes live. Nobody tells Gannet what."),
    }
}

pub fn page(at: Duration, url: &str) {
    println!("\n[{}] the page is up: {url}", seconds(at));
}

pub fn anomaly(at: Duration, anomaly: &Anomaly) {
    let entity = anomaly.entity.as_ref().map_or("", |entity| entity.name.as_str());
    println!("[{}] anomaly: {entity}: {} ({})", seconds(at), anomaly.why, anomaly.rule);
}

pub fn incident(at: Duration, incident: &Incident) {
    let (id, state, headline) = (&incident.id, incident.state.as_str(), &incident.headline);
    println!("[{}] incident {id} is {state}: {headline}", seconds(at));
    let (IncidentState::Open, Some(cause)) = (incident.state, &incident.cause) else { return };
    let percent = cause.probability * 100.0;
    let root = incident.entity.as_ref().map_or("", |entity| entity.name.as_str());
    line("root", &format!("{root}: {} ({percent:.0} % probable)", cause.fault));
    if let Some(other) = &cause.runner_up {
        let percent = other.probability * 100.0;
        line("runner-up", &format!("{}: {} ({percent:.0} %)", other.entity.name, other.fault));
    }
    line("why", &cause.why);
}

pub fn other(at: Duration, incident: &Incident) {
    println!("[{}] another incident {}: {}", seconds(at), incident.id, incident.headline);
}

pub fn plan(at: Duration, action: &Action) {
    println!("[{}] plan {}: {}", seconds(at), action.execution, action.playbook);
    let plan: Value = action.plan.as_deref().and_then(parse).unwrap_or_default();
    for step in plan["steps"].as_array().into_iter().flatten() {
        line("step", text(step, "says"));
        for diff in text(step, "diff").lines() {
            line("", diff);
        }
        let back = step["inverse_command"].as_str().or(step["no_inverse"].as_str());
        line("way back", back.unwrap_or("none"));
    }
    for gate in &action.gates {
        line(
            &format!("gate {}", gate.verdict.as_str()),
            &format!("{}: {}", gate.name, gate.reason),
        );
    }
}

pub fn question(at: Duration, execution: &str, hash: &str, page: &str) {
    println!("[{}] it waits for a person: approve it on the page, or with", seconds(at));
    println!("    gannet approve {execution} --plan {hash} --console {page}");
}

pub fn step(at: Duration, action: &Action) {
    let what = match (action.state, &action.who) {
        (ActionState::Approved | ActionState::Rejected, Some(who)) => format!(" by {who}"),
        _ => String::new(),
    };
    let device = action.device.as_ref().map_or(String::new(), |device| format!(" on {device}"));
    let reason = if action.reason.is_empty() { "" } else { ": " };
    let state = action.state.as_str();
    println!("[{}] {state}{what}{device}{reason}{}", seconds(at), action.reason);
}

pub fn closing(times: &Times, incident: Option<&Incident>, last: &Action, page: &str) {
    let peak = peak_memory_mb().map_or("not known".to_owned(), |mb| format!("{mb} MB"));
    let at = |time: Option<Duration>| time.map_or("never".to_owned(), seconds);
    println!("\nThe repair ended as {}.", last.state.as_str());
    println!(
        "times: page {}, anomaly {}, incident {}, verified repair {}",
        at(times.page),
        at(times.anomaly),
        at(times.incident),
        at(times.repair)
    );
    if let Some(entity) = incident.and_then(|incident| incident.entity.as_ref()) {
        println!("root: {} {}", entity.kind, entity.name);
    }
    println!("peak memory: {peak}");
    println!("\nTo try next (Ctrl-C ends):");
    println!("  {page:<44} the incident, its topology and its repair");
    println!(
        "  gannet demo --fault syn-flood                another fault; --deaf: no device obeys"
    );
    println!(
        "  gannet inventory check FILE                  your own network, docs/howto-own-network.md"
    );
}

fn line(name: &str, value: &str) {
    println!("    {name:<NAME$} {value}");
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The process's largest resident size so far, as the kernel counts it (`VmHWM`, proc(5)).
pub fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1_024)
}

fn seconds(elapsed: Duration) -> String {
    format!("{:5.1} s", elapsed.as_secs_f64())
}
