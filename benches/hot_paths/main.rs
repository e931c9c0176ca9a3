//! The hot paths, each alone: a pick, a ledger command, a message's encoding, one call with and
//! without the balancer.
//!
//! `cargo bench` measures; `cargo bench -- --test` only sees that everything runs.

mod call;
mod codec;
mod ledger;
mod picks;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, picks::bench, ledger::bench, codec::bench, call::bench);
criterion_main!(benches);
