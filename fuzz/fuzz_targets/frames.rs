//! See `motet_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_fuzz::frames(data));
