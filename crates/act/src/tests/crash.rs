//! A process that dies at each named point, once restarted and once taken over: the device is
//! written once, and never less.

use model::rows::{Action, ActionState};

use super::rig::{HOOK, OBJECT, Place, Rig, UP, actions, incident, playbook};
use crate::driver::fake::Temper;
use crate::engine::Kind;

/// After which row, or call, the process dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Row(ActionState),
    Call(Kind),
}

const POINTS: [Point; 8] = [
    Point::Row(ActionState::Planned),
    Point::Row(ActionState::Leased),
    Point::Row(ActionState::Applying),
    Point::Call(Kind::Write),
    Point::Row(ActionState::Applied),
    Point::Row(ActionState::Verifying),
    Point::Row(ActionState::RollingBack),
    Point::Call(Kind::WriteBack),
];

fn dies_at(rig: &mut Rig, point: Point) {
    rig.crash = Some(Box::new(move |place| match (place, point) {
        (Place::Stood(row), Point::Row(state)) => row.state == state,
        (Place::Called(effect), Point::Call(kind)) => effect.key.kind == kind,
        _ => false,
    }));
}

fn is_back(point: Point) -> bool {
    matches!(point, Point::Row(ActionState::RollingBack) | Point::Call(Kind::WriteBack))
}

#[test]
fn a_device_that_can_be_read_is_written_once_wherever_act_dies() {
    for point in POINTS {
        let mut rig = Rig::new(&actions("auto"), &[playbook("up", "auto", "admin-down", UP)]);
        rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
        dies_at(&mut rig, point);
        if is_back(point) {
            rig.run_for(150_000);
            assert_eq!(rig.last(), ActionState::RolledBack, "{point:?}: {:?}", rig.states());
            assert_eq!(rig.device.get(OBJECT).as_deref(), Some("2"), "{point:?}: lost");
            assert_eq!(rig.device.writes().len(), 2, "{point:?}: doubled");
        } else {
            rig.run_for(20_000);
            rig.heal();
            rig.run_for(10_000);
            assert_eq!(rig.last(), ActionState::Confirmed, "{point:?}: {:?}", rig.states());
            assert_eq!(rig.device.get(OBJECT).as_deref(), Some("1"), "{point:?}: lost");
            assert_eq!(rig.device.writes().len(), 1, "{point:?}: doubled");
        }
        assert_eq!(rig.crashes, 1, "{point:?} was not reached");
        assert_eq!(rig.device.repeated(), 0, "{point:?}");
    }
}

#[test]
fn what_cannot_be_read_is_never_doubled_and_each_cut_one_is_unknown() {
    for point in POINTS.into_iter().filter(|point| !is_back(*point)) {
        let mut rig = Rig::new(&actions("auto"), &[playbook("hook", "auto", "admin-down", HOOK)]);
        rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
        dies_at(&mut rig, point);
        rig.run_for(20_000);
        rig.heal();
        rig.run_for(10_000);
        assert_eq!(rig.crashes, 1, "{point:?} was not reached");
        assert!(rig.hook.writes().len() <= 1 && rig.hook.repeated() == 0, "{point:?}: doubled");
        let cut = matches!(point, Point::Row(ActionState::Applying) | Point::Call(Kind::Write));
        let end = if cut { ActionState::Unknown } else { ActionState::Confirmed };
        assert_eq!(rig.last(), end, "{point:?}: {:?}", rig.states());
    }
}

/// Nothing is written while the one before may still be writing.
#[test]
fn a_successor_waits_out_the_lease_and_the_call() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("up", "auto", "admin-down", UP)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    dies_at(&mut rig, Point::Row(ActionState::Applying));
    rig.run();
    assert_eq!(rig.crashes, 1);
    rig.run_for(8_500);
    assert_eq!(rig.last(), ActionState::Applying, "5 s of lease and 4 s of timeout are not over");
    rig.run_for(1_000);
    assert_eq!(rig.device.writes().len(), 1);
}

/// A write that its lease ran out on is not begun, and leased again.
#[test]
fn a_write_after_its_lease_is_not_begun() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("up", "auto", "admin-down", UP)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    while rig.rows.last().map(|row: &Action| row.state) != Some(ActionState::Leased) {
        assert!(rig.step());
    }
    // Between the turn that leased and the write.
    rig.wait(5_000);
    rig.run();
    assert_eq!(rig.device.writes().len(), 1);
    let leases = rig.rows.iter().filter(|row| row.state == ActionState::Leased).count();
    assert_eq!(leases, 2, "{:?}", rig.states());
}

#[test]
fn a_cut_write_is_made_where_it_is_absent_and_a_deaf_device_is_given_up() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("up", "auto", "admin-down", UP)]);
    rig.device.behave(Temper::Deaf);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    dies_at(&mut rig, Point::Call(Kind::Write));
    rig.run_for(60_000);
    assert_eq!(rig.last(), ActionState::RolledBack, "{:?}", rig.states());
}

/// The whole log may be folded at any place: it says what was decided there.
#[test]
fn rows_and_snapshots_say_the_same() {
    let mut rig = Rig::new(&actions("auto"), &[playbook("up", "auto", "admin-down", UP)]);
    rig.incident(incident("admin-down", "interface", "edge1 Gi0/2"));
    rig.run_for(150_000);
    let live: Vec<_> = rig.act.executions().cloned().collect();
    let blocks = rig.act.blocks();
    rig.restart();
    assert_eq!(rig.act.executions().cloned().collect::<Vec<_>>(), live);
    let mut saved = crate::engine::Act::new(rig.config.clone(), rig.library.clone());
    saved.restore(&blocks).expect("they are its own");
    assert_eq!(saved.executions().cloned().collect::<Vec<_>>(), live);
}
