//! What the demo tells on the terminal: the network, its past, and the incident with its reasons.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bus::{Log, ReadEvent};
use model::rows::Incident;
use model::time::rfc3339;
use runtime::shutdown::Shutdown;

/// After so long without an incident something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

pub fn opening(scenario: &sim::Scenario, calm_s: u64) {
    let params = scenario.params();
    println!(
        "A simulated network: {} exporters, NetFlow v9 and IPFIX on loopback, about {} flows/s.",
        params.exporters, params.flows_per_s
    );
    println!("A SYN flood on one of its hosts begins {calm_s} s into the live traffic.");
}

pub fn past(took: Duration, history_s: u64) {
    println!("[{}] its last {history_s} s have been read; all stages start", seconds(took));
}

/// Tells each incident; the first one that opens is the end of the story.
pub fn tell(log: &dyn Log, topic: &str, begun: Instant, shutdown: &Shutdown) -> Result<()> {
    let mut reader = log.reader()?;
    let from = bus::from_start(log, &mut *reader, topic)?;
    reader.assign(&from)?;
    while !shutdown.requested() {
        if begun.elapsed() > PATIENCE {
            bail!("no incident within {PATIENCE:?}");
        }
        let ReadEvent::Record(record) = reader.poll(POLL)? else { continue };
        let limits = bus::config::LimitsConfig::default();
        let Ok((_, batch)) = bus::frame::read(&record, &limits) else { continue };
        if batch.num_rows() == 0 {
            continue;
        }
        for incident in Incident::from_batch(&batch)? {
            println!("[{}] an incident opened\n", seconds(begun.elapsed()));
            print!("{}", page(&incident));
        }
        closing(begun);
        shutdown.request();
    }
    Ok(())
}

/// An incident as text: what it names, why, what was expected, and who contributed most.
fn page(incident: &Incident) -> String {
    let mut text = format!("  {}\n", incident.headline);
    let line = |name: &str, value: &str| format!("    {name:<12} {value}\n");
    text += &line("incident", &incident.id);
    if let Some(entity) = &incident.entity {
        text += &line(&entity.kind, &entity.name);
    }
    text += &line("since", &rfc3339(incident.opened_ms));
    for member in &incident.members {
        text += &line("rule", &format!("{} ({})", member.rule, member.model));
        text += &line("why", &member.why);
        if let (Some(value), Some(expected)) = (member.value, member.expected) {
            text += &line("value", &format!("{value:.0}, expected {expected:.1}"));
        }
        if let Some(score) = member.score {
            text += &line("score", &format!("{score:.1} (once in 10^{score:.0} windows)"));
        }
    }
    for contributor in &incident.contributors {
        let share = contributor.share * 100.0;
        text += &line("seen by", &format!("{} ({share:.0} %)", contributor.name));
    }
    text
}

fn closing(begun: Instant) {
    let peak = peak_memory_mb().map_or("not known".to_owned(), |mb| format!("{mb} MB"));
    println!("\nDone after {}; peak memory {peak}. To try next:", seconds(begun.elapsed()));
    println!("  gannet all --config config/gannet.yaml    your own routers, on one machine");
    println!("  gannet decode FILE.pcap --json            what a capture says");
}

/// The process's largest resident size so far, as the kernel counts it (`VmHWM`, proc(5)).
fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1_024)
}

fn seconds(elapsed: Duration) -> String {
    format!("{:5.1} s", elapsed.as_secs_f64())
}
