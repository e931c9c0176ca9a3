#![no_main]
//! See `strife_fuzz::hpack`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| strife_fuzz::hpack::run(input));
