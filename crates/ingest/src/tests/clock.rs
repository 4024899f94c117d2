//! The clock goes on and meets the wall clock slowly.

use crate::clock::{Clock, advance};

#[test]
fn a_stepped_wall_clock_is_met_slowly_and_never_backwards() {
    // An hour ahead: 5 % faster. An hour back: 5 % slower, but on.
    assert_eq!(advance(1_000.0, 100.0, 3_601_000.0), 1_105.0);
    assert_eq!(advance(3_600_000.0, 100.0, 0.0), 3_600_095.0);
    assert_eq!(advance(1_000.0, 100.0, 1_101.0), 1_101.0);
}

#[test]
fn reading_it_never_goes_back() {
    let clock = Clock::start();
    let readings: Vec<i64> = (0..1000).map(|_| clock.now()).collect();
    assert!(readings.is_sorted());
}
