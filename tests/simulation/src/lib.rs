//! A gateway, two banks and their clients in one thread, on a network of [turmoil]'s and on disks that
//! forget what was not synced.
//!
//! The services are the real ones, from the gRPC call to the store's file; the network, the disks and the
//! clock are not. So a hundred runs with cut links, messages that are held back, killed hosts and power
//! failures take seconds, and a fault can come at every message of a payment. A seed repeats the faults and
//! the network's delays, though not every choice inside the processes (the jitter of their retries).
//!
//! In reading order: [`net`] is the way of gRPC over the simulated network; [`hosts`] what runs where;
//! [`payers`] those who pay; [`faults`] what goes wrong; [`town`] all of it together; [`laws`] what must
//! be true at the end.
//!
//! [turmoil]: https://docs.rs/turmoil

#![allow(clippy::unwrap_used)] // A helper of tests may fail the test.

pub mod faults;
pub mod hosts;
pub mod laws;
pub mod net;
pub mod payers;
pub mod town;
