//! The ways through the state machine.

use model::rows::{ActionState, ApprovalVerdict, ChangeState, IncidentState};

use super::rig::{DOWN, HOOK, NOTIFY, OBJECT, Rig, UP, actions, incident, playbook};
use crate::config::ActConfig;
use crate::driver::fake::Temper;
use crate::engine::Plan;

fn repair(mode: &str) -> Rig {
    let mut rig = Rig::new(&actions(mode), &[playbook("up", mode, "admin-down", UP)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig
}

#[test]
fn a_repair_is_planned_approved_applied_and_verified() {
    let mut rig = repair("approve");
    rig.run();
    assert_eq!(rig.states(), ["proposed", "proposed", "planned", "awaiting-approval"]);
    assert!(rig.device.writes().is_empty(), "nothing is written without approval");
    let planned = &rig.rows[2];
    let plan = Plan::parse(planned.plan.as_deref().expect("it has a plan")).expect("it is one");
    assert_eq!(Some(plan.hash()), planned.plan_hash);
    let step = &plan.steps[0];
    assert_eq!((step.diff.as_str(), step.before.as_deref()), ("2 → 1", Some("2")));
    assert!(step.command.contains(OBJECT) && step.inverse_command.is_some(), "{step:?}");
    assert!(
        planned.gates.iter().all(|gate| gate.verdict.as_str() == "pass"),
        "{:?}",
        planned.gates
    );
    rig.approve();
    rig.run();
    let after = ["approved", "leased", "applying", "applied", "verifying"];
    assert_eq!(rig.states()[4..], after);
    assert_eq!(rig.device.writes(), [(OBJECT.to_owned(), "1".to_owned())]);
    rig.heal();
    rig.run();
    assert_eq!(rig.last(), ActionState::Confirmed);
    let changes: Vec<ChangeState> = rig.changes.iter().map(|change| change.state).collect();
    assert_eq!(changes, [ChangeState::Began, ChangeState::Ended]);
    let serials: Vec<u32> = rig.rows.iter().map(|row| row.serial).collect();
    assert_eq!(serials, (0..rig.rows.len() as u32).collect::<Vec<_>>());
    rig.run_for(5_000);
    assert_eq!(rig.device.writes().len(), 1, "it is done once");
}

#[test]
fn nothing_is_automatic_unless_playbook_and_action_say_so() {
    let mut rig = repair("auto");
    rig.run();
    assert_eq!(rig.device.writes().len(), 1);
    for (action, book) in [("approve", "auto"), ("auto", "approve")] {
        let mut rig = Rig::new(&actions(action), &[playbook("up", book, "admin-down", UP)]);
        rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
        rig.run_for(5_000);
        assert_eq!(rig.last(), ActionState::AwaitingApproval, "{action} {book}");
        assert!(rig.device.writes().is_empty());
    }
    let mut rig = Rig::new(&actions("auto"), &[playbook("up", "plan", "admin-down", UP)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Planned);
}

#[test]
fn a_word_for_another_plan_or_after_its_end_changes_nothing_and_says_so() {
    let mut rig = repair("approve");
    rig.run();
    let hash = rig.rows.last().and_then(|row| row.plan_hash.clone()).expect("there is a plan");
    rig.say("0123456789abcdef", ApprovalVerdict::Approve, rig.now_ms + 60_000);
    rig.run();
    assert!(rig.rows.last().expect("a row").reason.contains("it changes nothing"));
    rig.say(&hash, ApprovalVerdict::Approve, rig.now_ms - 1);
    rig.run();
    assert!(rig.rows.last().expect("a row").reason.contains("ended at"));
    let said = rig.rows.len();
    rig.restart();
    rig.run_for(6_000);
    assert_eq!(rig.rows.len(), said, "a restart does not say it again");
    assert_eq!(rig.last(), ActionState::AwaitingApproval);
    assert!(rig.device.writes().is_empty());
    rig.say(&hash, ApprovalVerdict::Reject, rig.now_ms + 1);
    rig.run();
    assert_eq!(rig.last(), ActionState::Rejected);
    rig.say(&hash, ApprovalVerdict::Approve, rig.now_ms + 60_000);
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Rejected);
    assert!(rig.device.writes().is_empty());
}

#[test]
fn a_plan_that_nobody_approves_expires_and_one_whose_incident_is_over_is_withdrawn() {
    let mut rig = repair("approve");
    rig.run();
    rig.wait(3_601_000);
    rig.run();
    assert_eq!(rig.last(), ActionState::Expired);
    let mut rig = repair("approve");
    rig.run();
    rig.heal();
    rig.run();
    assert_eq!(rig.last(), ActionState::Withdrawn);
    // It comes back: there is another plan.
    rig.change(|incident| {
        (incident.state, incident.reopened) = (IncidentState::Open, 1);
        incident.members[0].cleared_ms = None;
    });
    rig.run();
    assert_eq!(rig.last(), ActionState::AwaitingApproval);
    // Its root is another one now: that plan is no longer for it.
    rig.change(|incident| {
        incident.entity.as_mut().expect("it has one").name = "edge1 Gi0/3".to_owned();
    });
    rig.run();
    assert!(rig.rows.iter().any(|row| row.reason == "the root is now edge1 Gi0/3"));
    assert!(rig.device.writes().is_empty());
}

/// The demo's `--deaf`: the device accepts a repair and does not do it.
#[test]
fn a_repair_that_does_not_show_is_taken_back() {
    let mut rig = repair("auto");
    rig.device.behave(Temper::Deaf);
    rig.run();
    assert_eq!(rig.last(), ActionState::Verifying);
    rig.run_for(15_000);
    assert_eq!(rig.last(), ActionState::RolledBack);
    let failed = rig.rows.iter().find(|row| row.state == ActionState::Failed).expect("it failed");
    assert!(failed.reason.contains("edge1 reads 2, wanted is 1"), "{}", failed.reason);
    let back = rig.rows.iter().filter(|row| row.state == ActionState::RollingBack);
    assert_eq!(back.count(), 1);
    let last = rig.changes.last().expect("changes were told");
    assert_eq!(last.state, ChangeState::RolledBack);
}

#[test]
fn a_repair_whose_anomalies_do_not_clear_is_taken_back_on_the_device() {
    let mut rig = repair("auto");
    rig.run_for(125_000);
    assert_eq!(rig.last(), ActionState::RolledBack);
    assert_eq!(rig.device.get(OBJECT).as_deref(), Some("2"), "as it was before");
    assert_eq!(rig.device.writes().len(), 2);
}

#[test]
fn a_device_that_says_no_ends_it_and_one_that_is_gone_is_asked_again() {
    let mut rig = repair("approve");
    rig.run();
    rig.device.behave(Temper::Refusing);
    rig.approve();
    rig.run();
    assert_eq!(rig.last(), ActionState::Failed);
    let mut rig = repair("approve");
    rig.run();
    rig.device.behave(Temper::Gone);
    rig.approve();
    rig.run();
    assert_eq!(rig.last(), ActionState::Failed);
    let tries = rig.rows.iter().filter(|row| row.state == ActionState::Applying).count();
    assert_eq!(tries, 3);
}

#[test]
fn a_port_is_shut_where_there_is_another_way_and_what_hangs_on_it_decides() {
    let down = playbook("flap", "auto", "flapping", DOWN);
    let mut rig = Rig::new(&actions("auto"), std::slice::from_ref(&down));
    rig.device.set(OBJECT, "1");
    rig.incident(incident("flapping", "interface", "edge1 Gi0/2"));
    rig.run_for(30_000);
    assert_eq!(rig.last(), ActionState::Confirmed, "{:?}", rig.states());
    assert_eq!(rig.device.get(OBJECT).as_deref(), Some("2"));
    // The other way is gone: nothing may be shut.
    let mut rig = Rig::new(&actions("auto"), &[down]);
    rig.device.set(OBJECT, "1");
    let mut other = super::rig::link(("edge1", "Gi0/3"), ("core2", "Gi0/1"));
    other.removed = true;
    rig.network.element(other, 100);
    rig.incident(incident("flapping", "interface", "edge1 Gi0/2"));
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Refused);
    assert!(rig.rows.last().expect("a row").reason.starts_with("connectivity: "));
    assert!(rig.device.writes().is_empty());
}

#[test]
fn a_healthy_link_is_not_shut_where_redundancy_would_go() {
    let down = playbook("flap", "auto", "cpu", DOWN);
    let mut rig = Rig::new(&actions("auto"), &[down]);
    rig.device.set(OBJECT, "1");
    rig.incident(incident("cpu", "interface", "edge1 Gi0/2"));
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Refused);
    assert!(rig.rows.last().expect("a row").reason.starts_with("redundancy: "));
}

#[test]
fn the_kill_switch_and_a_freeze_hold_what_was_approved() {
    let mut rig = repair("approve");
    rig.run();
    rig.approve();
    rig.is_killed = true;
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Approved);
    rig.is_killed = false;
    rig.run();
    assert_eq!(rig.last(), ActionState::Verifying);
    let mut config = ActConfig::default();
    config.gates.freezes = vec!["2023-01-01T00:00:00Z/2024-01-01T00:00:00Z".to_owned()];
    let books = [playbook("up", "auto", "admin-down", UP)];
    let mut rig = Rig::with(config, &actions("auto"), &books);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Approved, "frozen: {:?}", rig.rows.last());
}

#[test]
fn after_repairs_that_did_not_work_nothing_is_automatic() {
    let mut config = ActConfig::default();
    config.gates.breaker_after = 1;
    let books = [playbook("up", "auto", "admin-down", UP)];
    let mut rig = Rig::with(config, &actions("auto"), &books);
    rig.device.behave(Temper::Deaf);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig.run_for(15_000);
    assert_eq!(rig.last(), ActionState::RolledBack);
    rig.change(|incident| incident.reopened = 1);
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::AwaitingApproval);
    assert!(rig.rows.last().expect("a row").reason.starts_with("breaker: "));
}

#[test]
fn what_only_tells_is_done_once_and_confirmed() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("tell", "auto", "cpu", NOTIFY)]);
    rig.incident(incident("cpu", "device", "edge1"));
    rig.run_for(5_000);
    assert_eq!(
        rig.states(),
        ["proposed", "planned", "approved", "applying", "applied", "confirmed"]
    );
    assert_eq!(rig.hook.writes(), [("message".to_owned(), "cpu of edge1".to_owned())]);
    assert!(rig.changes.is_empty(), "no device was changed");
}

#[test]
fn the_guides_playbook_tells_where_no_flow_takes_most_of_the_link() {
    let text = crate::playbook::tests::GUIDE.replace("spec:", "spec:\n  mode: auto");
    let mut rig = Rig::new(&actions("auto"), &[text]);
    let mut cpu = incident("cpu", "device", "edge1");
    cpu.members[0].rule = "playbook/network-high-cpu-remediation".to_owned();
    cpu.members[0].value = Some(97.0);
    rig.incident(cpu);
    rig.run_for(5_000);
    assert_eq!(rig.last(), ActionState::Confirmed, "{:?}", rig.rows.last());
    let plan = rig.rows.iter().find_map(|row| row.plan.clone()).expect("there is a plan");
    let plan = Plan::parse(&plan).expect("it is one");
    assert_eq!(plan.skipped[0].name, "apply_qos_policy");
    let told = ("message".to_owned(), "Auto-remediation applied to edge1".to_owned());
    assert_eq!(rig.hook.writes(), [told]);
}

#[test]
fn a_change_without_a_way_back_that_does_not_show_needs_a_person() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("hook", "auto", "admin-down", HOOK)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig.run_for(130_000);
    assert_eq!(rig.last(), ActionState::Stuck);
    assert_eq!(rig.hook.writes().len(), 1);
}
