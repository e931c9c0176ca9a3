//! The gRPC load balancer: any gRPC client calls through it unchanged, each call goes to the
//! endpoint that the pool's policy picks.
//!
//! [`config`] says what to balance, [`Bound`] does it: pools of endpoints, watched by health tasks,
//! behind a data plane that proxies calls and a control server that takes load reports, answers
//! look-aside picks and switches policies. The data plane asks a pool for a pick and tells the
//! endpoint's load what became of the call; nothing else knows how bytes move.

mod access_log;
mod admin;
mod balancer;
mod clock;
pub mod config;
mod dashboard;
mod data_plane;
mod discovery;
mod endpoint;
mod error;
mod health;
mod http;
mod line_log;
mod membership;
mod metrics;
mod operator;
mod picks;
mod pool;
mod probes;
mod records;
mod replay;
mod reports;
mod serve;
mod service;
mod snapshot;
mod switch;
mod trace;

pub use crate::{
    admin::{AdminCommand, run_admin},
    config::{Config, LbArgs, Limits, Observe, PoolConfig, SourceConfig},
    error::LbError,
    picks::SampledPicks,
    replay::{ReplayArgs, run_replay},
    serve::{Bound, run},
    switch::{ENDPOINT_HEADER, Loopback},
    trace::Tracing,
};
