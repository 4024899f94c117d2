//! IPFIX: the lengths of the message and its sets put right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ingest::decode::fuzz::ipfix(bytes));
