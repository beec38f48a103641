//! See `arbiter::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arbiter::fuzz::run("replay", data));
