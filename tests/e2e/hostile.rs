//! Hostile peers: the real balancer under the attacks an HTTP/2 endpoint must survive.
//!
//! Each attack speaks raw frames to a real `strife lb` process, as a client or as a server behind
//! it, while a bystander calls through the same thread of the same balancer. The attacker is cut
//! off with the right error, memory and CPU time of the process stay bounded, every call of the
//! bystander succeeds, and nothing is left in flight. What looks like an attack and is none (gRPC's
//! cancels, pings and window updates) must not be cut off.

mod balancer;
mod bystander;
mod enemy;
mod frames;
mod header;
mod peer;
mod scene;
mod server;

mod client_floods;
mod client_headers;
mod client_resets;
mod client_windows;
mod server_answers;
mod server_floods;
mod server_silence;
mod slow_peers;
mod tolerated;
