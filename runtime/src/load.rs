//! What a server knows of its own load, and how the balancer gets to know it.
//!
//! A [`LoadTracker`] counts calls as they start, wait, run and end. [`Reports`] makes numbered
//! reports of that, which leave by four [`Channels`]: a [`Reporter`] pushes them to the balancer, the
//! trailers of calls carry them (ORCA, gRFC A51), and two services give them to whoever asks, once or
//! as a stream. All of them share one sequence of numbers, so that the newest is known wherever it
//! came from. [`registration`] is how a server joins its pool by itself, and leaves it in good order.

pub mod args;
mod latency;
pub(crate) mod orca;
pub mod registration;
mod reporter;
mod reports;
mod service_time;
mod services;
mod tracker;
mod usage;

pub use self::{
    args::{Channels, LoadArgs},
    registration::Registration,
    reporter::Reporter,
    reports::Reports,
    tracker::{CallGuard, LoadTracker, QueueGuard},
    usage::process_cpu_time,
};

pub(crate) use self::reports::Piggyback;
