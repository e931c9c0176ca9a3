//! `strife bench pinned`: becomes another program, bound to one core and to its parent's life.
//!
//! A program that is not ours holds no lifeline. The kernel is asked to end it when whoever measures it
//! ends, however that happens; so no proxy outlives a benchmark. Both the core and the wish survive
//! `exec`, and hold for every thread the program starts.

use std::{os::unix::process::CommandExt, path::PathBuf, process::Command};

use clap::Args;
use rustix::{
    process::{Pid, Signal, getppid, set_parent_process_death_signal},
    thread::{CpuSet, sched_setaffinity},
};
use strife_runtime::Failure;

/// Run a program on one core; it ends with its parent
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  strife bench pinned --core 1 --parent $$ -- nginx -c nginx.conf"
)]
pub struct PinnedArgs {
    /// The core, from 0.
    #[arg(long, value_name = "N")]
    pub core: usize,
    /// The process that starts this one; if it is gone already, nothing is run.
    #[arg(long, value_name = "PID")]
    pub parent: i32,
    /// The program and its arguments.
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

impl PinnedArgs {
    /// The same as arguments of our own program.
    pub(super) fn to_arguments(&self) -> Vec<String> {
        let (core, parent) = (self.core.to_string(), self.parent.to_string());
        let words = ["bench", "pinned", "--core", &core, "--parent", &parent, "--"];
        words.into_iter().map(str::to_owned).chain(self.program.iter().cloned()).collect()
    }
}

/// Returns only if the program cannot be run.
pub(super) fn run(args: &PinnedArgs) -> Result<(), Failure> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot {what} ({error})"))
    };
    bind_to(args.core).map_err(|error| cannot(&format!("use core {}", args.core), &error))?;
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| cannot("tie a program to its parent", &error))?;
    // It may have ended before the wish was heard.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(args.parent) {
        return Err(Failure::new("the process that asked for it is gone"));
    }
    let mut words = args.program.iter();
    let program = PathBuf::from(words.next().map_or("", String::as_str));
    let error = Command::new(&program).args(words).exec();
    Err(cannot(&format!("run {}", program.display()), &error))
}

/// Binds the calling thread, and every thread and process it will start, to a core.
pub(super) fn bind_to(core: usize) -> rustix::io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
}
