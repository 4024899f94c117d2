//! What the store keeps: rows as they last were, within limits, over a restart.

use model::rows::{ActionState, IncidentState};

use super::{Console, NOW_MS, seed};
use crate::config::{ConsoleConfig, StoreConfig};
use crate::store::state::State;
use crate::store::{Row, SeriesKey};

fn config(change: impl Fn(&mut StoreConfig)) -> ConsoleConfig {
    let mut config = ConsoleConfig::default();
    change(&mut config.store);
    config
}

fn state(change: impl Fn(&mut StoreConfig)) -> State {
    State::new(config(change).store, false)
}

#[test]
fn the_last_revision_counts_and_older_ones_are_its_story() {
    let mut state = state(|_| {});
    let mut incident = seed::waiting(NOW_MS);
    incident.revision = 1;
    state.apply(Row::Incident(incident.clone()));
    incident.revision = 3;
    incident.state = IncidentState::Quiet;
    state.apply(Row::Incident(incident.clone()));
    incident.revision = 2;
    incident.state = IncidentState::Open;
    state.apply(Row::Incident(incident));
    let doc = &state.incidents["inc-7f3a91c2"];
    assert_eq!(doc.incident.state, IncidentState::Quiet);
    assert_eq!(doc.revisions.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn the_oldest_resolved_incident_makes_room_for_a_new_one() {
    let mut state = state(|limits| limits.incidents_max = 3);
    let put = |state: &mut State, at: i64, over: bool| {
        let mut incident = seed::incident(&format!("inc-{at}"), NOW_MS + at, "one");
        if over {
            incident.state = IncidentState::Resolved;
        }
        state.apply(Row::Incident(incident));
    };
    put(&mut state, 0, false);
    put(&mut state, 1, true);
    put(&mut state, 2, true);
    put(&mut state, 3, false);
    put(&mut state, 4, false);
    let ids: Vec<&str> = state.incidents.keys().map(String::as_str).collect();
    assert_eq!(ids, ["inc-0", "inc-3", "inc-4"]);
}

#[test]
fn steps_come_in_any_order_and_twice() {
    let mut state = state(|_| {});
    for serial in [2, 0, 1, 1, 2] {
        let action = seed::action("exe", "inc", serial, ActionState::Proposed);
        state.apply(Row::Action(action));
    }
    let serials: Vec<u32> = state.executions["exe"].steps.iter().map(|s| s.serial).collect();
    assert_eq!(serials, [0, 1, 2]);
    assert_eq!(state.repairs["inc"], ["exe"]);
}

#[test]
fn every_table_keeps_its_limit() {
    let mut state = state(|limits| {
        limits.executions_max = 2;
        limits.steps_max = 8;
        limits.elements_max = 2;
        limits.revisions_max = 3;
    });
    for n in 0..20u32 {
        state.apply(Row::Action(seed::action(&format!("e{n}"), "i", 0, ActionState::Proposed)));
        state.apply(Row::Action(seed::action("e19", "i", n, ActionState::Proposed)));
        let element = seed::element(model::rows::ElementKind::Node, &format!("node/{n}"), "n");
        state.apply(Row::Element(element));
        let mut incident = seed::incident("inc", NOW_MS, "one");
        incident.revision = n + 1;
        state.apply(Row::Incident(incident));
    }
    assert_eq!(state.executions.len(), 2);
    assert!(state.executions.values().all(|e| e.steps.len() <= 8));
    assert_eq!(state.elements.len(), 2);
    let numbers: Vec<u32> = state.incidents["inc"].revisions.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [1, 19, 20]);
}

#[test]
fn a_restart_goes_on_where_the_file_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console.redb");
    let config = || {
        config(|limits| {
            limits.path = Some(path.clone());
            limits.points_max = 50;
        })
    };
    let mut console = Console::with(config());
    seed::network(&*console.log, &console.bus, NOW_MS).unwrap();
    let is_whole = |state: &State| {
        state.incidents.len() == 5
            && state.repairs.len() == 3
            && state.series.len() == 4
            && state.series.values().all(|series| series.points.len() == 50)
            && state.elements.len() == 41
            && state.devices.len() == 14
            && state.interfaces.len() == 56
            && state.events.rows.len() == 2
    };
    console.until(is_whole);
    console.stop();
    let (log, bus) = (console.log.clone(), console.bus.clone());
    let before = points(&console.store.read());
    drop(console);

    let mut again = Console::over(config(), log.clone(), bus.clone());
    assert!(is_whole(&again.store.read()), "all of it is in the file");
    assert_eq!(points(&again.store.read()), before);
    let mut seed = again.seed();
    seed.incident(&seed::incident("inc-new", NOW_MS, "one more")).unwrap();
    seed.send().unwrap();
    again.until(|state| state.incidents.len() == 6);
    again.stop();
    drop(again);

    // Another log of the same name: its topics have other ids, so it is read from its start.
    let other = Console::with(config());
    seed::network(&*other.log, &other.bus, NOW_MS + 1).unwrap();
    other.until(|state| state.incidents.len() == 6);
}

fn points(state: &State) -> Vec<(SeriesKey, u64, i64)> {
    let all = state.series.iter();
    let mut all: Vec<_> = all
        .map(|(key, s)| (key.clone(), s.first, s.points.iter().map(|p| p.end_ms).sum()))
        .collect();
    all.sort();
    all
}
