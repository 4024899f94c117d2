//! A foreign message: headers, then a payload.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../panics.rs"]
mod panics;

fuzz_target!(init: panics::allow_caught(), |bytes: &[u8]| bus::fuzz::meta(bytes));
