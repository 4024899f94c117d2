//! Stages that end, fail, panic and hang.

use std::time::Duration;

use super::{Exit, ProcessConfig, ProcessError, StageThread, run};
use crate::shutdown::Shutdown;

fn drain(milliseconds: u64) -> ProcessConfig {
    ProcessConfig { drain: Duration::from_millis(milliseconds) }
}

fn waits(name: &str) -> StageThread {
    StageThread::new(name, |shutdown: Shutdown| -> Result<(), std::io::Error> {
        shutdown.wait(Duration::MAX);
        Ok(())
    })
}

#[test]
fn the_failure_of_one_stage_ends_the_others_and_is_returned() {
    let fails = StageThread::new("score", |_| Err(std::io::Error::other("no log")));
    let error = run(vec![waits("rollup"), fails], &drain(60_000), &Shutdown::new()).unwrap_err();
    assert!(matches!(&error, ProcessError::Stage { stage, .. } if stage == "score"), "{error}");
    assert_eq!(error.exit(), Exit::Failed);
}

#[test]
fn a_panic_is_a_failure_with_its_message() {
    let panics = StageThread::new("rollup", |_| -> Result<(), std::io::Error> { panic!("odd") });
    let error = run(vec![panics], &drain(60_000), &Shutdown::new()).unwrap_err();
    assert_eq!(error.to_string(), "rollup panicked: odd");
}

#[test]
fn a_stage_that_hangs_is_left_behind_at_the_deadline_and_named() {
    let shutdown = Shutdown::new();
    let never = Shutdown::new();
    let hangs = StageThread::new("correlate", move |_| -> Result<(), std::io::Error> {
        never.wait(Duration::MAX);
        Ok(())
    });
    shutdown.request();
    let error = run(vec![waits("rollup"), hangs], &drain(50), &shutdown).unwrap_err();
    assert!(error.to_string().starts_with("correlate still running"), "{error}");
    assert_eq!(error.exit(), Exit::DeadlinePassed);
}

#[test]
fn a_drained_process_has_no_error() {
    let shutdown = Shutdown::new();
    let asks = {
        let shutdown = shutdown.clone();
        StageThread::new("ingest", move |_| -> Result<(), std::io::Error> {
            shutdown.request();
            Ok(())
        })
    };
    run(vec![waits("rollup"), asks], &drain(60_000), &shutdown).unwrap();
}
