#![no_main]
//! See `strife_fuzz::frames`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| strife_fuzz::frames::run(input));
