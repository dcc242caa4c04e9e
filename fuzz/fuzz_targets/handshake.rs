//! See `motet_fuzz::handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_fuzz::handshake(data));
