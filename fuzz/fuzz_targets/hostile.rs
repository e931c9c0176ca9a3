#![no_main]
//! See `strife_fuzz::hostile`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| strife_fuzz::hostile::run(input));
