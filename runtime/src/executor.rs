//! The tokio runtime a command runs on.

use std::future::Future;

use tokio::runtime::{Builder, LocalOptions};

use crate::Failure;

/// Runs `main` to its end on one thread, or on a pool of `threads` if that is more than one. Servers
/// that share a machine are cheapest on one thread each.
pub fn block_on(
    threads: usize,
    main: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut builder = if threads > 1 {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    } else {
        Builder::new_current_thread()
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the tokio runtime: {error}")))?;
    runtime.block_on(main)
}

/// As [`block_on`] on one thread, for what never leaves it: tasks that are spawned may share without
/// locks.
pub fn block_on_local(main: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime =
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .map_err(|error| Failure::new(format!("cannot start the tokio runtime: {error}")))?;
    runtime.block_on(main)
}
