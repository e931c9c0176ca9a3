//! The switch between clients and endpoints that are all in one thread's memory.
//!
//! [`world`] is everything around a switch, [`peer`] a client or endpoint that judges what it hears.
//! `storm` lets calls meet chance; the other rooms each look at one matter.

mod director;
mod encoder;
mod examples;
mod hostile;
mod lifetime;
mod memory;
mod patience;
mod peer;
mod plan;
mod retries;
mod storm;
mod streams;
mod world;
