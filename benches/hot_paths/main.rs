//! The hot paths, each alone: a pick, a ledger command, a message's encoding, the HTTP/2 core, calls
//! through the frame switch, one call with and without the balancer, one through the client-side
//! channel, one payment.
//!
//! `cargo bench` measures; `cargo bench -- --quick` takes a minute and is only roughly right.

mod call;
mod channel;
mod codec;
mod explain;
mod ledger;
mod payment;
mod picks;
mod stores;
mod switch;
mod wire;

#[path = "../shared/in_memory.rs"]
mod in_memory;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    // Numbers on the terminal; criterion's own charts would need a font of the system.
    config = Criterion::default().without_plots();
    targets = picks::bench, explain::bench, ledger::bench, stores::bench, codec::bench, wire::bench, switch::bench,
        call::bench, channel::bench, payment::bench
}
criterion_main!(benches);
