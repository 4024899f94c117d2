//! A request wakes every waiting clone; a wait without one ends with its timeout.

use std::thread;
use std::time::{Duration, Instant};

use super::Shutdown;

#[test]
fn a_wait_ends_without_a_request_after_its_timeout() {
    let shutdown = Shutdown::new();
    let start = Instant::now();
    assert!(!shutdown.wait(Duration::from_millis(20)));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(!shutdown.requested());
}

#[test]
fn a_request_by_one_clone_wakes_the_others_at_once_and_for_good() {
    let shutdown = Shutdown::new();
    let other = shutdown.clone();
    let waiting = thread::spawn(move || other.wait(Duration::MAX));
    shutdown.request();
    assert!(waiting.join().unwrap());
    assert!(shutdown.requested());
    assert!(shutdown.wait(Duration::ZERO));
}
