//! Rules as YAML, or the SQL or condition of one rule, through the plan check.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../panics.rs"]
mod panics;

fuzz_target!(init: panics::allow_caught(), |bytes: &[u8]| gannet::fuzz::rules(bytes));
