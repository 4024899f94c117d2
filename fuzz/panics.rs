//! The product catches panics of the libraries that it calls (Arrow's reader, the planner);
//! libFuzzer's own hook would end the process before it can. One that escapes still ends it.

use std::collections::BTreeSet;
use std::panic;
use std::sync::Mutex;

/// Says each place of a panic once, and leaves the rest to whoever catches it.
pub fn allow_caught() {
    let known = Mutex::new(BTreeSet::new());
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let is_new = known.lock().is_ok_and(|mut known| known.insert(place));
        if is_new {
            eprintln!("panicked: {info}");
        }
    }));
}
