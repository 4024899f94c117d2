//! NetFlow v5: the datagram's count of records put right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ingest::decode::fuzz::v5(bytes));
