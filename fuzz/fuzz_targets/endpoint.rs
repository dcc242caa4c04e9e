//! See `motet_fuzz::endpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_fuzz::endpoint(data));
