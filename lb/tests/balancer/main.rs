//! The balancer with real sockets: stub servers behind it, real gRPC clients in front of it.

mod calls;
mod certificates;
mod control;
mod dns;
mod drain;
mod failures;
mod files;
mod fleet;
mod handover;
mod health;
mod identity;
mod lifecycle;
mod load;
mod look_aside;
mod name_server;
mod picks;
mod registration;
mod reports;
mod resets;
mod retries;
mod routing;
mod stalls;
mod stub;
mod traces;
