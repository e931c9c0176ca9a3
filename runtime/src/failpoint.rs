//! Places at which a test may have a process die, stall or fail, by the `FAILPOINTS` environment variable:
//! `FAILPOINTS="gateway.decide.after=return"`. The grammar is that of the `fail` crate, so that
//! `1*off->return` spares the first who comes by.
//!
//! Only what `cargo test` builds has them. In any other build every function here is empty.

use std::{future::pending, io};

use fail::fail_point;

/// Whether this build has failpoints at all.
pub const fn are_built_in() -> bool {
    fail::has_failpoints()
}

/// Reads `FAILPOINTS`. To be called once, first of all.
pub fn arm() {
    if are_built_in() {
        // They stay as they are until the process ends.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// A place where a process may die, as by `kill -9`; or, told `NAME=return(stall)`, where whoever comes by
/// waits for ever; or, told `NAME=return(suspend)`, where the whole process stands still until it gets SIGCONT.
pub async fn reach(name: &str) {
    if is_to_stall(name) {
        pending().await
    }
}

fn is_to_stall(name: &str) -> bool {
    #[allow(unused_imports)] // Only failpoints use it.
    use rustix::process;
    fail_point!(name, |told: Option<String>| match told.as_deref() {
        Some("stall") => true,
        Some("suspend") => {
            eprintln!("strife: stands still at {name}");
            process::kill_process(process::getpid(), process::Signal::STOP).is_err()
        }
        _ => {
            eprintln!("strife: dies at {name}");
            std::process::abort();
        }
    });
    // Without failpoints nothing above is left of it.
    let _ = name;
    false
}

/// A place where the disk may fail: `NAME=return(28)` with the error of that number.
pub fn disk(name: &str) -> io::Result<()> {
    fail_point!(name, |number: Option<String>| {
        let number = number.and_then(|number| number.parse().ok());
        Err(number.map_or_else(|| io::Error::other(name.to_owned()), io::Error::from_raw_os_error))
    });
    let _ = name;
    Ok(())
}
