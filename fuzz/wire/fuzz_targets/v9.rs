//! NetFlow v9: the lengths of the datagram's sets put right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ingest::decode::fuzz::v9(bytes));
