//! A configuration: text, variables and included files, parted by zero bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../panics.rs"]
mod panics;

fuzz_target!(init: panics::allow_caught(), |bytes: &[u8]| gannet::fuzz::config(bytes));
