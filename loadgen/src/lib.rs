//! The load generator: schedule → run → samples → summary → plots.
//!
//! A schedule says when calls are due; a run sends them and records what became of them; a summary
//! is computed from the records; charts are drawn from files alone. `strife load` does this once
//! against any gRPC service, `strife sweep` for every cell of a plan against a fleet it boots;
//! `strife bench` compares the balancer with other proxies.

pub mod bench;
pub mod load;
pub mod pace;
pub mod plot;
pub mod results;
pub mod run;
pub mod samples;
pub mod schedule;
pub mod summary;
pub mod sweep;
pub mod workload;

pub use bench::{BenchArgs, run as run_bench};
pub use load::{LoadArgs, run as run_load};
pub use plot::{PlotArgs, run as run_plot};
pub use sweep::{SweepArgs, run as run_sweep};
