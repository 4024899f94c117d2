//! Playbooks and bindings: the guide's format, and what is refused with its place.

use super::*;
use crate::playbook::template::{TemplateError, condition_variables, holds, render, value};
use serde_json::json;

pub const GUIDE: &str = include_str!("guide.yaml");

pub const ACTIONS: &str = r#"
actions:
  - action: network.get_device_metrics
    driver: evidence
    effect: reads
    inputs: [device]
    read: { what: metrics }
  - action: network.get_top_talkers
    driver: evidence
    effect: reads
    inputs: [device]
    read: { what: talkers }
  - action: network.apply_qos
    driver: sim
    effect: limits
    inputs: [device, policy]
    target: policy
    write: { line: "qos {{ inputs.policy }}" }
    inverse: { line: "no qos" }
    read: { line: "show qos" }
    want_has: "{{ inputs.policy }}"
  - action: notification.send
    driver: notify
    effect: tells
    mode: auto
    inputs: [channel, message]
    write: { channel: "{{ inputs.channel }}", message: "{{ inputs.message }}" }
  - action: interface.up
    driver: snmp
    effect: restores
    inputs: [device, interface]
    target: "{{ inputs.interface }}"
    says: "{{ inputs.interface }} of {{ inputs.device }} administratively up"
    read: { get: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}" }
    write: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "1" }
    inverse: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "{{ before }}" }
    want: "1"
  - action: interface.down
    driver: snmp
    effect: cuts
    silences: true
    inputs: [device, interface]
    target: "{{ inputs.interface }}"
    says: "{{ inputs.interface }} of {{ inputs.device }} administratively down"
    read: { get: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}" }
    write: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "2" }
    inverse: { set: "1.3.6.1.2.1.2.2.1.7.{{ interface.index }}", integer: "{{ before }}" }
    want: "2"
  - action: hook.call
    driver: webhook
    effect: restores
    no_inverse: what the hook does is its own
    inputs: [device]
    write: { url: ticket, body: "{{ inputs.device }}" }
"#;

fn error(actions: &str, playbook: &str) -> String {
    check_texts(actions, &[("p.yaml", playbook)]).expect_err("it is wrong").to_string()
}

fn playbook(steps: &str) -> String {
    format!(
        "apiVersion: actions.scheduler.net/v1\nkind: Playbook\nmetadata: {{ name: p }}\nspec:\n  \
         trigger: {{ fault: admin-down }}\n  steps:\n{steps}"
    )
}

#[test]
fn the_guides_playbook_is_taken_as_it_stands() {
    let library = check_texts(ACTIONS, &[("guide.yaml", GUIDE)]).expect("it is the guide's own");
    let guide = &library.playbooks["network-high-cpu-remediation"];
    assert_eq!(guide.mode, Mode::Approve, "nothing is applied unless it says so");
    assert_eq!(guide.steps.len(), 4);
    assert_eq!(guide.metric(), Some("cpu_usage"));
    assert_eq!(
        guide.rule_yaml().expect("it has a condition"),
        "- name: \"playbook/network-high-cpu-remediation\"\n  \
         condition: \"cpu_usage > 90 for 5 minutes\"\n  source: \"network_metrics\"\n"
    );
}

#[test]
fn what_is_unknown_is_refused_with_its_line() {
    let unbound = playbook("    - { name: a, action: interface.upp }\n");
    let told = error(ACTIONS, &unbound);
    assert!(told.contains("nothing binds the action \"interface.upp\""), "{told}");
    assert!(told.contains("p.yaml:7:26"), "{told}");
    assert!(told.contains("did you mean `interface.up`?"), "{told}");
    let input =
        "    - { name: a, action: hook.call, inputs: { device: \"{{ trigger.devise }}\" } }\n";
    let told = error(ACTIONS, &playbook(input));
    assert!(told.contains("a trigger has no `devise`"), "{told}");
    assert!(told.contains("did you mean `device`?"), "{told}");
    let step = "    - { name: a, action: hook.call, inputs: { device: \"{{ steps.b.c }}\" } }\n";
    assert!(error(ACTIONS, &playbook(step)).contains("no step before this one is named `b`"));
    let root = "    - { name: a, action: hook.call, inputs: { device: \"{{ x }}\" } }\n";
    assert!(error(ACTIONS, &playbook(root)).contains("there is no variable `x`"));
    let missing = "    - { name: a, action: hook.call }\n";
    assert!(error(ACTIONS, &playbook(missing)).contains("hook.call needs the input `device`"));
    let key = "    - { name: a, action: hook.call, input: {} }\n";
    assert!(error(ACTIONS, &playbook(key)).contains("did you mean `inputs`?"));
    let broken = "    - { name: a, action: hook.call, inputs: { device: \"{{ trigger. }}\" } }\n";
    let told = error(ACTIONS, &playbook(broken));
    assert!(told.contains("p.yaml:7:"), "{told}");
}

#[test]
fn a_change_without_a_way_back_is_refused() {
    let actions = "actions:\n  - { action: a, driver: sim, effect: cuts, write: { line: x } }\n";
    let told = error(actions, &playbook("    - { name: a, action: a }\n"));
    assert!(told.contains("a changes a device and has no inverse"), "{told}");
    assert!(told.contains("actions.yaml:2:"), "{told}");
    let driver = "actions:\n  - { action: a, driver: snpm, effect: tells, write: { x: y } }\n";
    let told = error(driver, &playbook("    - { name: a, action: a }\n"));
    assert!(told.contains("did you mean `snmp`?"), "{told}");
}

#[test]
fn a_percentage_is_of_the_interfaces_speed() {
    let when = "{{ steps.f.top[0].bandwidth }} > 80%";
    let context = |bandwidth: f64, speed: f64| {
        json!({
            "steps": { "f": { "top": [{ "bandwidth": bandwidth }] } },
            "percent_bps": speed / 100.0,
        })
    };
    assert_eq!(holds(when, &context(81e6, 100e6)), Ok(true));
    assert_eq!(holds(when, &context(79e6, 100e6)), Ok(false));
    let names = condition_variables(when).expect("it is a condition");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["steps.f.top"]);
    assert_eq!(holds("10 % 4 == 2", &json!({})), Ok(true), "a remainder stays one");
    assert_eq!(holds("'80%' == '80%'", &json!({})), Ok(true), "a text stays one");
    let nothing = json!({ "steps": { "f": { "top": [] } }, "percent_bps": 1.0 });
    assert!(matches!(holds(when, &nothing), Err(TemplateError::Undefined(_))));
}

#[test]
fn a_template_keeps_kinds_and_ends() {
    let context = json!({ "steps": { "a": { "list": [1, 2] } }, "trigger": { "device": "r1" } });
    assert_eq!(value("{{ steps.a.list }}", &context), Ok(json!([1, 2])));
    assert_eq!(value("on {{ trigger.device }}", &context), Ok(json!("on r1")));
    assert!(matches!(value("{{ trigger.x }}", &context), Err(TemplateError::Undefined(_))));
    assert!(matches!(render("a {{ trigger.x }}", &context), Err(TemplateError::Undefined(_))));
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    assert!(matches!(render(endless, &json!({})), Err(TemplateError::Wrong { .. })));
    let long = "{{ 'x' * 1000000 }}";
    assert!(render(long, &json!({})).is_err() && value(long, &json!({})).is_err());
}

/// What is shipped is whole.
#[test]
fn the_shipped_playbooks_are_bound() {
    let config = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"));
    let paths = Paths { actions: config.join("actions.yaml"), playbooks: config.join("playbooks") };
    let library = check(&paths).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = library.playbooks.keys().map(String::as_str).collect();
    let shipped = [
        "drop-flood",
        "interface-up",
        "limit-talker",
        "network-high-cpu-remediation",
        "shut-flapping",
        "tell-of-silence",
    ];
    assert_eq!(names, shipped);
    assert!(library.rules_yaml().contains("playbook/network-high-cpu-remediation"));
}
