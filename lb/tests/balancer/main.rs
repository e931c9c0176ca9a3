//! The balancer with real sockets: stub servers behind it, real gRPC clients in front of it.

mod calls;
mod certificates;
mod control;
mod drain;
mod failures;
mod fleet;
mod handover;
mod identity;
mod lifecycle;
mod look_aside;
mod resets;
mod routing;
mod stalls;
mod stub;
