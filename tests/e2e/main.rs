//! End to end: the real command, real processes, real sockets, `kill -9`.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

mod accounts;
mod bad_input;
mod bad_payments;
mod balancing;
mod bench;
mod dashboard;
mod events;
mod foreign;
mod gateways;
mod hostile;
mod interop;
mod listing;
mod logs;
mod matrix;
mod money;
mod postgres;
mod python;
mod queue;
mod registration;
mod support;
mod sweep;
mod txid;
