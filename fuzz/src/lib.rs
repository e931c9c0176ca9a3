//! What no input may break in `strife-wire`: one module for each fuzz target, its `run` being all the
//! target does.

pub mod connections;
pub mod frames;
pub mod hostile;
pub mod hpack;
mod input;
