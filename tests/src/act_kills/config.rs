//! The configuration of the run's act: playbooks and bindings of its own, and short times, so that
//! a kill costs seconds.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::bed::CONFIG;
use super::point::{Means, Way};
use crate::process::site::Site;

pub const CREDENTIAL: &str = "lab";
/// Nothing begins while this file of the folder is there.
pub const KILL_SWITCH: &str = "stop";

/// What each means of a change is bound to.
const ACTIONS: &str = r#"actions:
  - action: snmp.change
    driver: snmp
    effect: restores
    mode: auto
    inputs: [device, interface]
    target: "{{ inputs.interface }}"
    read: { get: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}" }
    write: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "1" }
    inverse: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "{{ before }}" }
    want: "1"
    timeout_ms: 1000
  - action: command.change
    driver: command
    effect: restores
    mode: auto
    inputs: [device, interface]
    target: "{{ inputs.interface }}"
    write: { program: tell, arg0: "{{ inputs.interface }}" }
    inverse: { program: tell, arg0: "{{ inputs.interface }}", arg1: back }
    timeout_ms: 1000
  - action: webhook.change
    driver: webhook
    effect: restores
    mode: auto
    no_inverse: what the receiver does is its own
    inputs: [device, interface]
    target: "{{ inputs.interface }}"
    write: { url: hook, body: "{{ inputs.interface }}" }
    timeout_ms: 1000
  - action: webhook-tells.change
    driver: webhook
    effect: tells
    mode: auto
    inputs: [device, interface]
    write: { url: hook, body: "{{ inputs.interface }}" }
    timeout_ms: 1000
"#;

/// Gates are another check's matter: here the same device is mended again and again.
const ACT: &str = "act:
  playbooks: playbooks
  actions: actions.yaml
  kill_switch: stop
  verify_within_s: 120
  settle_s: 1
  look_every_s: 1
  lease_ms: 1000
  gates:
    devices_max: 1000
    executions_per_hour_max: 10000
    repeats_per_hour_max: 1000
    breaker_after: 10000
";

/// Writes all files into the site's folder.
pub fn write(site: &Site, hook_port: u16, program: &Path) -> Result<()> {
    let folder = site.dir();
    fs::write(folder.join("actions.yaml"), ACTIONS)?;
    fs::create_dir_all(folder.join("playbooks"))?;
    for means in Means::ALL {
        for way in Way::ALL {
            let file = format!("playbooks/{}.yaml", way.fault(means));
            fs::write(folder.join(file), playbook(means, way))?;
        }
    }
    let (prefix, bootstrap) = (&site.bus.prefix, &site.bus.kafka.bootstrap);
    let topics = &site.bus.topics;
    let (partitions, other) = (topics.partitions, topics.partitions_other);
    let program = program.display();
    let text = format!(
        "bus:\n  engine: kafka\n  prefix: {prefix:?}\n  kafka:\n    bootstrap: {bootstrap:?}\n    \
         timeouts: {{ session_ms: 2000, heartbeat_ms: 300, transaction_ms: 2000, \
         commit_ms: 1500 }}\n  \
         topics: {{ partitions: {partitions}, partitions_other: {other} }}\n{ACT}\
         drivers:\n  snmp: {{ credentials: {{ {CREDENTIAL}: private }}, timeout_ms: 300 }}\n  \
         command: {{ programs: {{ tell: '{program}' }} }}\n  \
         webhook: {{ urls: {{ hook: 'http://127.0.0.1:{hook_port}/' }}, retries: 0 }}\n"
    );
    Ok(fs::write(folder.join(CONFIG), text)?)
}

fn playbook(means: Means, way: Way) -> String {
    let (name, action) = (way.fault(means), means.name());
    let (mode, verify) = match way {
        Way::Auto => ("auto", ""),
        Way::Asked => ("approve", ""),
        Way::Back => ("auto", "  verify_within_s: 1\n"),
    };
    format!(
        r#"apiVersion: actions.scheduler.net/v1
kind: Playbook
metadata: {{ name: {name} }}
spec:
  mode: {mode}
{verify}  trigger: {{ fault: {name} }}
  steps:
    - name: one
      action: {action}.change
      inputs: {{ device: "{{{{ trigger.device }}}}", interface: "{{{{ trigger.interface }}}}" }}
"#
    )
}
