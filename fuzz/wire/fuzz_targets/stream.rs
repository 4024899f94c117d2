//! A TCP stream of syslog, in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ingest::syslog::fuzz::stream(bytes));
