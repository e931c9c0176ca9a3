//! What a unary call through the frame switch takes, in instructions and allocations: numbers that
//! are the same on a busy machine, held against those in `benches/instructions.toml`.
//!
//! `cargo bench --bench instructions` fails when a call takes more than 5% more than it did;
//! `cargo bench --bench instructions -- --save` makes the present numbers the ones to hold. Valgrind
//! counts the instructions: the bench runs itself under it. Without it nothing is checked.

mod baseline;
mod callgrind;
mod cell;

#[path = "../shared/in_memory.rs"]
mod in_memory;

use std::{alloc::System, process::ExitCode};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::{
    baseline::{Baseline, Cost},
    cell::CELLS,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    if asked(callgrind::COUNTED) {
        CELLS.iter().for_each(cell::run_counted);
        return ExitCode::SUCCESS;
    }
    let Some(instructions) = callgrind::instructions() else {
        println!("instructions NOT counted, nothing is checked: valgrind is not installed");
        return ExitCode::SUCCESS;
    };
    let allocations = CELLS.iter().map(|cell| cell::allocations(cell, ALLOCATOR));
    let costs = CELLS.iter().zip(instructions).zip(allocations);
    let costs = costs.map(|((cell, instructions), allocations)| {
        (cell.name(), Cost { instructions, allocations })
    });
    let measured = Baseline::of(costs.collect());
    print!("{measured}");
    if asked("--save") {
        return measured.save();
    }
    measured.compare()
}
