//! When a task counts as silent, and how long the next round waits.

use std::time::Duration;

use super::{Heard, LOOK, LOOK_MAX, Watch};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn only_undisturbed_waiting_is_silence() {
    let mut watch = Watch::default();
    let heard = Heard::now(s(100));
    assert!(!watch.is_silent(&heard, s(104)));
    assert!(watch.is_silent(&heard, s(105)));
    // Other tasks were taken over until then: nobody waited for this one's messages.
    watch.polling_since = s(112);
    assert!(!watch.is_silent(&heard, s(116)));
    assert!(watch.is_silent(&heard, s(117)));
}

#[test]
fn rounds_wait_longer_each_time_and_shorter_again_after_a_while() {
    let mut watch = Watch::default();
    let mut waits = Vec::new();
    for _ in 0..6 {
        watch.round(true, watch.look);
        waits.push(watch.look.as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 80, 80, 80]);
    assert_eq!(watch.look, LOOK_MAX);
    watch.round(true, LOOK_MAX * 4);
    assert_eq!(watch.look, s(10));
    watch.round(false, s(1));
    assert_eq!(watch.look, LOOK);
}
