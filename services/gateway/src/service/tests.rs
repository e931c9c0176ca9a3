//! The gateway over the wire, with small banks that do what they are told: a real server on both
//! sides, a real store, and restarts that lose everything but that store.

mod aborting;
mod access;
mod away;
mod batching;
mod committing;
mod events;
mod fake_bank;
mod hanging;
mod leaving;
mod queueing;
mod reading;
mod restarting;
mod resting;
mod same_bank;
mod system;
