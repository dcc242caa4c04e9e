//! See `motet_fuzz::endpoint_id`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_fuzz::endpoint_id(data));
