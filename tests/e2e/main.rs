//! End to end: the real command, real processes, real sockets, `kill -9`.

mod bad_input;
mod balancing;
mod money;
mod python;
mod support;
mod sweep;
