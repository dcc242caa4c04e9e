//! See `motet_fuzz::membership`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_fuzz::membership(data));
