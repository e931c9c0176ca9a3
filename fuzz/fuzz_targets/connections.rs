#![no_main]
//! See `strife_fuzz::connections`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| strife_fuzz::connections::run(input));
