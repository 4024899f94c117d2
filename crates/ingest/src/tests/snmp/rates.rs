//! Rates are true or not there: by cases, and over anything.

use model::rows::Quality;
use proptest::prelude::*;

use crate::snmp::rates::{Bounds, Judged, Reading, Width, judge};

const INTERVAL: i64 = 10_000;
/// 1 Gbit/s in octets a second.
const GIGABIT: f64 = 125e6;

fn reading(at_s: i64, value: u64, width: Width) -> Reading {
    let uptime = Some(1_000_000 + at_s as u32 * 100);
    Reading { at_ms: at_s * 1_000, value, width, uptime, discontinuity: Some(7) }
}

fn bounds(ceiling: Option<f64>) -> Bounds {
    Bounds { ceiling, interval_ms: INTERVAL }
}

fn at_gigabit(before: Reading, now: Reading) -> (Option<f64>, Quality) {
    let Judged { rate, quality } = judge(Some(&before), &now, bounds(Some(GIGABIT)));
    (rate, quality)
}

#[test]
fn two_readings_give_the_rate_between_them() {
    for width in [Width::Bits32, Width::Bits64] {
        let (a, b) = (reading(0, 1_000, width), reading(10, 6_000, width));
        assert_eq!(at_gigabit(a, b), (Some(500.0), Quality::Ok));
    }
}

#[test]
fn the_first_reading_has_none() {
    let now = reading(0, 5, Width::Bits64);
    let judged = judge(None, &now, bounds(None));
    assert_eq!(judged, Judged { rate: None, quality: Quality::Gap });
}

#[test]
fn a_wrap_is_counted_on_where_it_can_be_one() {
    let near = u64::from(u32::MAX) - 999;
    let (a, b) = (reading(0, near, Width::Bits32), reading(10, 4_000, Width::Bits32));
    assert_eq!(at_gigabit(a, b), (Some(500.0), Quality::Wrap));
    let (a, b) = (reading(0, u64::MAX - 999, Width::Bits64), reading(10, 4_000, Width::Bits64));
    assert_eq!(at_gigabit(a, b), (Some(500.0), Quality::Wrap));
    // No link of its speed moves three quarters of the range in 10 s: somebody cleared it.
    let (a, b) = (reading(0, 1_000_000_000, Width::Bits32), reading(10, 5, Width::Bits32));
    assert_eq!(at_gigabit(a, b), (None, Quality::Reset));
    let (a, b) = (reading(0, 1 << 60, Width::Bits64), reading(10, 5, Width::Bits64));
    assert_eq!(at_gigabit(a, b), (None, Quality::Reset));
}

#[test]
fn a_narrow_counter_on_a_fast_link_says_nothing() {
    let (a, b) = (reading(0, 5, Width::Bits32), reading(10, 500, Width::Bits32));
    let judged = judge(Some(&a), &b, bounds(Some(10.0 * GIGABIT)));
    assert_eq!(judged, Judged { rate: None, quality: Quality::Wrap });
}

#[test]
fn a_restart_is_a_reset_however_the_counter_stands() {
    let before = reading(0, 1_000, Width::Bits64);
    let mut now = reading(10, 9_000, Width::Bits64);
    now.uptime = Some(300);
    assert_eq!(at_gigabit(before, now), (None, Quality::Reset));
    // It was away for an hour and its uptime is larger than then, but not by an hour.
    let mut young = reading(0, 1_000, Width::Bits64);
    young.uptime = Some(6_000);
    let mut later = reading(3_600, 9_000, Width::Bits64);
    later.uptime = Some(60_000);
    assert_eq!(at_gigabit(young, later), (None, Quality::Reset));
}

#[test]
fn an_uptime_that_begins_again_after_497_days_is_no_restart() {
    let mut before = reading(0, 1_000, Width::Bits64);
    before.uptime = Some(u32::MAX - 400);
    let mut now = reading(10, 6_000, Width::Bits64);
    now.uptime = Some(600);
    assert_eq!(at_gigabit(before, now), (Some(500.0), Quality::Ok));
    // An agent whose clock stands still is not always starting anew.
    now.uptime = before.uptime;
    assert_eq!(at_gigabit(before, now), (Some(500.0), Quality::Ok));
}

#[test]
fn a_discontinuity_is_a_reset() {
    let before = reading(0, 1_000, Width::Bits64);
    let mut now = reading(10, 9_000, Width::Bits64);
    now.discontinuity = Some(8);
    assert_eq!(at_gigabit(before, now), (None, Quality::Reset));
    now.discontinuity = None;
    assert_eq!(at_gigabit(before, now), (Some(800.0), Quality::Ok));
}

#[test]
fn a_missed_poll_is_a_gap_and_a_long_one_has_no_rate() {
    let before = reading(0, 1_000, Width::Bits64);
    assert_eq!(at_gigabit(before, reading(20, 11_000, Width::Bits64)), (Some(500.0), Quality::Gap));
    assert_eq!(at_gigabit(before, reading(600, 11_000, Width::Bits64)), (None, Quality::Gap));
}

#[test]
fn more_than_the_link_carries_is_implausible() {
    let before = reading(0, 1_000, Width::Bits64);
    let now = reading(10, 10_000_000_000, Width::Bits64);
    assert_eq!(at_gigabit(before, now), (None, Quality::Implausible));
}

fn any_reading(at: i64) -> impl Strategy<Value = Reading> {
    let width = prop_oneof![Just(Width::Bits32), Just(Width::Bits64)];
    let times = prop_oneof![Just(None), any::<u32>().prop_map(Some)];
    let value = prop_oneof![any::<u64>(), 0..5_000_000_000_u64, Just(u64::MAX)];
    (width, value, times.clone(), times).prop_map(move |(width, value, uptime, discontinuity)| {
        let value = if width == Width::Bits32 { value & 0xffff_ffff } else { value };
        Reading { at_ms: at, value, width, uptime, discontinuity }
    })
}

proptest! {
    /// Whatever is read: a rate is finite, not negative, under the ceiling, and there only where
    /// the quality says that it can be trusted.
    #[test]
    fn no_rate_is_invented(
        before in any_reading(0),
        elapsed in 1..100_000_i64,
        now in any_reading(0),
        ceiling in prop_oneof![Just(None), (1.0..1e11_f64).prop_map(Some)],
    ) {
        let now = Reading { at_ms: elapsed, ..now };
        let judged = judge(Some(&before), &now, bounds(ceiling));
        match judged.quality {
            Quality::Reset | Quality::Implausible => prop_assert_eq!(judged.rate, None),
            Quality::Ok => prop_assert!(judged.rate.is_some() && now.value >= before.value),
            Quality::Wrap | Quality::Gap => {}
        }
        if let Some(rate) = judged.rate {
            prop_assert!(rate.is_finite() && rate >= 0.0);
            prop_assert!(ceiling.is_none_or(|ceiling| rate <= ceiling * 1.25 + 1e-6));
        }
    }

    /// A counter that goes on truly, at any rate that its link carries, from any place, is told
    /// truly: the rate or nothing, and always the rate where it did not wrap.
    #[test]
    fn a_true_rate_is_told(
        start in any::<u64>(),
        per_second in 0..125_000_000_u64,
        width in prop_oneof![Just(Width::Bits32), Just(Width::Bits64)],
    ) {
        let mask = if width == Width::Bits32 { u64::from(u32::MAX) } else { u64::MAX };
        let (first, next) = (start & mask, start.wrapping_add(per_second * 10) & mask);
        let (before, now) = (reading(0, first, width), reading(10, next, width));
        let (rate, quality) = at_gigabit(before, now);
        prop_assert_eq!(rate, Some(per_second as f64));
        prop_assert_eq!(quality == Quality::Wrap, next < first);
    }

    /// A restart of the device within the interval never shows as a rate.
    #[test]
    fn a_restart_never_shows_as_a_rate(
        value in any::<u64>(),
        next in any::<u64>(),
        old_s in 60..10_000_000_u32,
        new_cs in 0..900_u32,
    ) {
        let before = Reading { uptime: Some(old_s * 100), ..reading(0, value, Width::Bits64) };
        let now = Reading { uptime: Some(new_cs), ..reading(10, next, Width::Bits64) };
        prop_assert_eq!(at_gigabit(before, now), (None, Quality::Reset));
    }
}
