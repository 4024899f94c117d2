//! Several datagrams to one engine, so that templates meet data: each has its length in front.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ingest::decode::fuzz::datagrams(bytes));
