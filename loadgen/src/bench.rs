//! `strife bench`: the balancer side by side with others that are in use.
//!
//! `peers` is the comparison. `plan` says what is measured and in which order, `proxies` how each proxy
//! is set up, `child` and `procfs` start one and watch it, `traffic` is load and servers, `measure`
//! makes one run, `judge` says what all runs come to. `copy` and `pinned` are what `peers` starts.

mod child;
mod copy;
mod judge;
mod measure;
mod peers;
mod pinned;
mod plan;
mod procfs;
mod progress;
mod proxies;
mod record;
mod site;
mod table;
mod traffic;

use clap::{Args, Subcommand};
use strife_runtime::Failure;

pub use self::{copy::CopyArgs, peers::PeersArgs, pinned::PinnedArgs};

/// Compare the balancer with other proxies.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: BenchCommand,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    #[allow(missing_docs)]
    Peers(PeersArgs),
    #[command(hide = true)]
    #[allow(missing_docs)]
    Copy(CopyArgs),
    #[command(hide = true)]
    #[allow(missing_docs)]
    Pinned(PinnedArgs),
}

/// `strife bench …`.
pub fn run(args: BenchArgs) -> Result<(), Failure> {
    match args.command {
        BenchCommand::Peers(args) => peers::run(&args),
        BenchCommand::Copy(args) => copy::run(&args),
        BenchCommand::Pinned(args) => pinned::run(&args),
    }
}
